/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  A wall clock that the tests can set: loaded before libc by LD_PRELOAD, it
 *	  adds to the time of day the seconds that stand in the file that the
 *	  environment's PNVS_CLOCK_FILE names, as soon as that is there.
 *
 * The monotonic clock goes on.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long
ahead_s(void)
{
	const char *path = getenv("PNVS_CLOCK_FILE");
	FILE	   *file = path ? fopen(path, "r") : NULL;
	long		seconds = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%ld", &seconds) != 1)
		seconds = 0;
	fclose(file);
	return seconds;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	int			(*real) (struct timeval *, void *) =
		(int (*) (struct timeval *, void *)) dlsym(RTLD_NEXT, "gettimeofday");
	int			result = real(now, zone);

	now->tv_sec += ahead_s();
	return result;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			(*real) (clockid_t, struct timespec *) =
		(int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	int			result = real(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += ahead_s();
	return result;
}
