/*-------------------------------------------------------------------------
 *
 * bare.c
 *	  What a call costs without PostgreSQL: libcurl's easy interface, used well.
 *
 *	  bare system                     print libcurl's own CA folder and bundle
 *	  bare file|path CA URL HOST      call, as told by standard input
 *
 * Each line "N FIRST" of standard input makes N calls, one after the other, to
 * the numbers FIRST, FIRST + 1, ...; then a line "N WALL CPU" is printed, both in
 * nanoseconds and measured here.  One handle, one connection for as long as the
 * service keeps it, TLS sessions kept; what does not change from call to call is
 * set once, and the list of headers needs no memory of its own.
 *
 * The request, its headers and its signature are those of the extension.  The
 * reply is taken, its HTTP status is looked at, and nothing is made of it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "handle.h"

typedef struct Caller
{
	BenchHandle handle;
	CURLSH	   *sessions;
	const char *url;
	const char *host;
} Caller;

static Caller caller;

static void open_caller(const char *ca_kind, const char *ca);
static void call(int64_t number);
static void print_system_ca(void);
static void fail(const char *what);

int
main(int argc, char **argv)
{
	char		line[64];
	long		calls;
	int64_t		first;

	if (argc == 2 && strcmp(argv[1], "system") == 0)
	{
		print_system_ca();
		return 0;
	}
	if (argc != 5)
		fail("usage: bare system | bare file|path CA URL HOST");
	caller.url = argv[3];
	caller.host = argv[4];

	while (fgets(line, sizeof(line), stdin))
	{
		int64_t		wall_ns = bench_now_ns(CLOCK_MONOTONIC);
		int64_t		cpu_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (sscanf(line, "%ld %lld", &calls, (long long *) &first) != 2)
			fail("expected: N FIRST");
		if (caller.handle.easy == NULL)
			open_caller(argv[1], argv[2]);
		for (long i = 0; i < calls; i++)
			call(first + i);

		wall_ns = bench_now_ns(CLOCK_MONOTONIC) - wall_ns;
		cpu_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
		printf("%ld %lld %lld\n", calls, (long long) wall_ns, (long long) cpu_ns);
		fflush(stdout);
	}
	return 0;
}

/* Within the first measured line, so that a first call counts all of itself. */
static void
open_caller(const char *ca_kind, const char *ca)
{
	bool		is_file = strcmp(ca_kind, "file") == 0;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fail("curl_global_init");
	caller.sessions = curl_share_init();
	if (caller.sessions == NULL ||
		curl_share_setopt(caller.sessions, CURLSHOPT_SHARE,
						  CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK ||
		!bench_handle_open(&caller.handle, caller.sessions, caller.host,
						   is_file ? ca : NULL, is_file ? NULL : ca))
		fail("could not set libcurl up");
}

static void
call(int64_t number)
{
	CURLcode	code;

	if (!bench_handle_prepare(&caller.handle, caller.url, caller.host, number))
		fail("could not prepare a request");
	code = curl_easy_perform(caller.handle.easy);
	if (code != CURLE_OK)
		fail(curl_easy_strerror(code));
	if (!bench_handle_has_reply(&caller.handle))
		fail("the reply is not what the service is to send");
}

static void
print_system_ca(void)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	printf("%s\n%s\n%s %s\n", info->capath ? info->capath : "",
		   info->cainfo ? info->cainfo : "", info->version, info->ssl_version);
}

static void
fail(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(1);
}
