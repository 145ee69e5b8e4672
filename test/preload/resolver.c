/*-------------------------------------------------------------------------
 *
 * resolver.c
 *	  A name server that the tests can have fail: loaded before libc by
 *	  LD_PRELOAD, it takes the place of getaddrinfo() for names below .test.
 *
 * stall.test			never answers
 * slow-<ms>.test		is 127.0.0.1, after that many milliseconds; so is
 *						slow-<ms>.<anything>.test
 * noname.test			does not exist
 * again.test			could not be looked up: the name server failed for now
 * fail.test			could not be looked up: its answer was of no use
 *
 * Each look-up of such a name adds a byte to the file that the environment's
 * PNVS_RESOLVER_MARKER names, so that a test knows when one has begun.
 * Whatever else is looked up goes to libc.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int (*Lookup) (const char *node, const char *service,
					   const struct addrinfo *hints, struct addrinfo **result);

static const struct
{
	const char *name;
	int			error;
}			failures[] = {
	{"noname.test", EAI_NONAME},
	{"again.test", EAI_AGAIN},
	{"fail.test", EAI_FAIL},
};

static void
leave_mark(void)
{
	const char *path = getenv("PNVS_RESOLVER_MARKER");
	int			file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;

	if (file < 0)
		return;
	if (write(file, "x", 1) != 1)
		abort();
	close(file);
}

/* Signals that end the process are the only way out of a stall. */
static void
wait_ms(long ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0)
		;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Lookup		next = (Lookup) dlsym(RTLD_NEXT, "getaddrinfo");

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
	{
		if (node != NULL && strcmp(node, failures[i].name) == 0)
		{
			leave_mark();
			return failures[i].error;
		}
	}
	if (node != NULL && strcmp(node, "stall.test") == 0)
	{
		leave_mark();
		for (;;)
			wait_ms(60 * 60 * 1000);
	}
	if (node != NULL && strncmp(node, "slow-", 5) == 0 && strstr(node, ".test"))
	{
		leave_mark();
		wait_ms(strtol(node + 5, NULL, 10));
		node = "127.0.0.1";
	}
	return next(node, service, hints, result);
}
