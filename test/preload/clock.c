/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  A wall clock that the tests can set: loaded before libc by LD_PRELOAD, it
 *	  adds to the time of day the seconds that stand in the file that the
 *	  environment's PNVS_CLOCK_FILE names, as soon as that is there; they may be
 *	  negative.
 *
 * The monotonic clock, also the raw one that newer versions of libcurl go by, goes on,
 * and is ahead by the seconds that stand in the file that PNVS_CLOCK_MONOTONIC names:
 * as if the machine had been suspended.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* PostgreSQL asks for the time in signal handlers, too: nothing here allocates. */
static long
ahead_s(const char *variable)
{
	const char *path = getenv(variable);
	int			saved_errno = errno;
	int			file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char		text[32] = "";

	if (file >= 0)
	{
		if (read(file, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(file);
	}
	errno = saved_errno;
	return strtol(text, NULL, 10);
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	int			(*real) (struct timeval *, void *) =
	(int (*) (struct timeval *, void *)) dlsym(RTLD_NEXT, "gettimeofday");
	int			result = real(now, zone);

	now->tv_sec += ahead_s("PNVS_CLOCK_FILE");
	return result;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			(*real) (clockid_t, struct timespec *) =
	(int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	int			result = real(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += ahead_s("PNVS_CLOCK_FILE");
	else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW)
		now->tv_sec += ahead_s("PNVS_CLOCK_MONOTONIC");
	return result;
}

/* The kernel's own clock is not ahead. */
int
timerfd_settime(int timer, int flags, const struct itimerspec *wanted,
				struct itimerspec *before)
{
	int			(*real) (int, int, const struct itimerspec *, struct itimerspec *) =
	(int (*) (int, int, const struct itimerspec *, struct itimerspec *))
	dlsym(RTLD_NEXT, "timerfd_settime");
	struct itimerspec due = *wanted;

	if (flags & TFD_TIMER_ABSTIME)
		due.it_value.tv_sec -= ahead_s("PNVS_CLOCK_MONOTONIC");
	return real(timer, flags, &due, before);
}
