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

#include <curl/curl.h>

#include "core/operation.h"
#include "core/signature.h"
#include "request.h"

#define HEADER_SIZE 640

/* The headers that change stand first. */
enum
{
	AUTHORIZATION,
	DATE,
	NONCE,
	HOST,
	ACCEPT,
	CONTENT_TYPE,
	EXPECT,
	USER_AGENT,
	ACTION,
	CONTENT_SHA256,
	VERSION,
	HEADER_COUNT
};

typedef struct Caller
{
	CURL	   *easy;
	CURLSH	   *sessions;
	const char *url;
	const char *host;
	struct curl_slist headers[HEADER_COUNT];
	char		texts[HEADER_COUNT][HEADER_SIZE];
	char		body[4096];
	size_t		body_len;
} Caller;

static Caller caller;

static void open_caller(const char *ca_kind, const char *ca);
static void set_options(const char *ca_kind, const char *ca);
static void link_headers(void);
static void call(int64_t number);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);
static int64_t now_ns(clockid_t clock);
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
		int64_t		wall_ns = now_ns(CLOCK_MONOTONIC);
		int64_t		cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (sscanf(line, "%ld %lld", &calls, (long long *) &first) != 2)
			fail("expected: N FIRST");
		if (caller.easy == NULL)
			open_caller(argv[1], argv[2]);
		for (long i = 0; i < calls; i++)
			call(first + i);

		wall_ns = now_ns(CLOCK_MONOTONIC) - wall_ns;
		cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
		printf("%ld %lld %lld\n", calls, (long long) wall_ns, (long long) cpu_ns);
		fflush(stdout);
	}
	return 0;
}

/* Within the first measured line, so that a first call counts all of itself. */
static void
open_caller(const char *ca_kind, const char *ca)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fail("curl_global_init");
	caller.easy = curl_easy_init();
	caller.sessions = curl_share_init();
	if (caller.easy == NULL || caller.sessions == NULL ||
		curl_share_setopt(caller.sessions, CURLSHOPT_SHARE,
						  CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
		fail("curl_easy_init or curl_share_init");
	set_options(ca_kind, ca);
	link_headers();
}

static void
set_options(const char *ca_kind, const char *ca)
{
	CURL	   *easy = caller.easy;
	int			is_file = strcmp(ca_kind, "file") == 0;
	unsigned	failed = 0;

	failed |= curl_easy_setopt(easy, CURLOPT_SHARE, caller.sessions);
	failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, is_file ? ca : NULL);
	failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, is_file ? NULL : ca);
	failed |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, caller.headers);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	if (failed)
		fail("curl_easy_setopt");
}

static void
link_headers(void)
{
	static const char *const fixed[HEADER_COUNT] = {
		[ACCEPT] = "Accept: application/json",
		[CONTENT_TYPE] = "Content-Type:",
		[EXPECT] = "Expect:",
		[USER_AGENT] = "User-Agent: pnvs/1.0",
		[ACTION] = "x-acs-action: StartVerification",
		[CONTENT_SHA256] = "x-acs-content-sha256: " PNVS_EMPTY_BODY_SHA256,
		[VERSION] = "x-acs-version: " PNVS_API_VERSION,
	};

	for (int i = 0; i < HEADER_COUNT; i++)
	{
		if (fixed[i])
			snprintf(caller.texts[i], HEADER_SIZE, "%s", fixed[i]);
		caller.headers[i].data = caller.texts[i];
		caller.headers[i].next = i + 1 < HEADER_COUNT ? &caller.headers[i + 1] : NULL;
	}
	snprintf(caller.texts[HOST], HEADER_SIZE, "Host: %s", caller.host);
}

static void
call(int64_t number)
{
	BenchRequest request;
	char		to[24];
	char		url[512];
	long		status = 0;
	CURLcode	code;

	snprintf(to, sizeof(to), "%lld", (long long) number);
	if (!bench_request_sign(&request, caller.host, to))
		fail("could not sign");
	snprintf(caller.texts[AUTHORIZATION], HEADER_SIZE, "Authorization: %s",
			 request.authorization);
	snprintf(caller.texts[DATE], HEADER_SIZE, "x-acs-date: %s", request.date);
	snprintf(caller.texts[NONCE], HEADER_SIZE, "x-acs-signature-nonce: %s",
			 request.nonce);
	snprintf(url, sizeof(url), "%s/?%s", caller.url, request.query);

	caller.body_len = 0;
	if (curl_easy_setopt(caller.easy, CURLOPT_URL, url) != CURLE_OK)
		fail("CURLOPT_URL");
	code = curl_easy_perform(caller.easy);
	if (code != CURLE_OK)
		fail(curl_easy_strerror(code));
	curl_easy_getinfo(caller.easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || caller.body_len == 0)
		fail("the reply is not what the service is to send");
}

static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	size_t		len = size * nmemb;

	(void) userdata;
	if (len > sizeof(caller.body) - caller.body_len)
		return 0;
	memcpy(caller.body + caller.body_len, data, len);
	caller.body_len += len;
	return len;
}

static int64_t
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
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
