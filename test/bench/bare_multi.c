/*-------------------------------------------------------------------------
 *
 * bare_multi.c
 *	  What a queue's requests cost without a queue: libcurl's multi interface,
 *	  used well, with a window of them under way.
 *
 *	  bare_multi CA_FILE URL HOST WINDOW
 *
 * Each line "N FIRST" of standard input makes N calls, WINDOW at a time, to the
 * numbers FIRST, FIRST + 1, ...; then a line "N WALL CPU" is printed, both in
 * nanoseconds.  libcurl is driven by curl_multi_socket_action() and one epoll
 * set, which is its fastest way with many connections; a reply that has come is
 * followed by the next request at once.  Handles, connections and lists of
 * headers are kept.  The request and its signature are those of the extension.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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

typedef struct Call
{
	CURL	   *easy;
	struct curl_slist headers[HEADER_COUNT];
	char		texts[HEADER_COUNT][HEADER_SIZE];
	char		body[4096];
	size_t		body_len;
} Call;

static CURLM *multi;
static CURLSH *sessions;
static int	epoll_fd;
static long timeout_ms = -1;
static const char *url;
static const char *host;
static Call *calls;
static int	window;
static int64_t next_number;
static long left_to_start;
static long left_to_end;

static void open_calls(const char *ca_file);
static void open_call(Call *call, const char *ca_file);
static void drain(void);
static void wait_and_act(void);
static void take_finished(void);
static void start(Call *call);
static int	on_socket(CURL *easy, curl_socket_t socket, int what, void *userp,
					  void *socketp);
static int	on_timer(CURLM *handle, long ms, void *userp);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);
static int64_t now_ns(clockid_t clock);
static void fail(const char *what);

int
main(int argc, char **argv)
{
	char		line[64];
	long		count;

	if (argc != 5)
		fail("usage: bare_multi CA_FILE URL HOST WINDOW");
	url = argv[2];
	host = argv[3];
	window = atoi(argv[4]);
	open_calls(argv[1]);

	while (fgets(line, sizeof(line), stdin))
	{
		int64_t		wall_ns = now_ns(CLOCK_MONOTONIC);
		int64_t		cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (sscanf(line, "%ld %lld", &count, (long long *) &next_number) != 2)
			fail("expected: N FIRST");
		left_to_start = left_to_end = count;
		drain();
		wall_ns = now_ns(CLOCK_MONOTONIC) - wall_ns;
		cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
		printf("%ld %lld %lld\n", count, (long long) wall_ns, (long long) cpu_ns);
		fflush(stdout);
	}
	return 0;
}

static void
open_calls(const char *ca_file)
{
	unsigned	failed = 0;

	failed |= curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	sessions = curl_share_init();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	calls = calloc(window, sizeof(Call));
	if (failed || multi == NULL || sessions == NULL || epoll_fd < 0 || calls == NULL)
		fail("could not begin");
	failed |= curl_share_setopt(sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	failed |= curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	failed |= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	failed |= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) window);
	if (failed)
		fail("could not set libcurl up");
	for (int i = 0; i < window; i++)
		open_call(&calls[i], ca_file);
}

static void
open_call(Call *call, const char *ca_file)
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
	unsigned	failed = 0;

	for (int i = 0; i < HEADER_COUNT; i++)
	{
		if (fixed[i])
			snprintf(call->texts[i], HEADER_SIZE, "%s", fixed[i]);
		call->headers[i].data = call->texts[i];
		call->headers[i].next = i + 1 < HEADER_COUNT ? &call->headers[i + 1] : NULL;
	}
	snprintf(call->texts[HOST], HEADER_SIZE, "Host: %s", host);

	call->easy = curl_easy_init();
	failed |= curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	failed |= curl_easy_setopt(call->easy, CURLOPT_SHARE, sessions);
	failed |= curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	failed |= curl_easy_setopt(call->easy, CURLOPT_PROXY, "");
	failed |= curl_easy_setopt(call->easy, CURLOPT_CAINFO, ca_file);
	failed |= curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
	failed |= curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
	failed |= curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, "");
	failed |= curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, 0L);
	failed |= curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	failed |= curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
	failed |= curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	if (failed)
		fail("curl_easy_setopt");
}

static void
drain(void)
{
	for (int i = 0; i < window && left_to_start > 0; i++)
		start(&calls[i]);
	while (left_to_end > 0)
		wait_and_act();
}

static void
wait_and_act(void)
{
	struct epoll_event events[64];
	int			running;
	int			n = timeout_ms == 0 ? 0 : epoll_wait(epoll_fd, events, 64, (int) timeout_ms);

	if (n <= 0)
	{
		timeout_ms = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(multi, events[i].data.fd, what, &running);
	}
	take_finished();
}

static void
take_finished(void)
{
	CURLMsg    *message;
	int			remaining;

	while ((message = curl_multi_info_read(multi, &remaining)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		CURLcode	code = message->data.result;
		Call	   *call;
		long		status = 0;

		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &call);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (code != CURLE_OK)
			fail(curl_easy_strerror(code));
		if (status != 200 || call->body_len == 0)
			fail("the reply is not what the service is to send");
		curl_multi_remove_handle(multi, easy);
		left_to_end--;
		if (left_to_start > 0)
			start(call);
	}
}

static void
start(Call *call)
{
	BenchRequest request;
	char		to[24];
	char		full_url[512];

	snprintf(to, sizeof(to), "%lld", (long long) next_number++);
	left_to_start--;
	if (!bench_request_sign(&request, host, to))
		fail("could not sign");
	snprintf(call->texts[AUTHORIZATION], HEADER_SIZE, "Authorization: %s",
			 request.authorization);
	snprintf(call->texts[DATE], HEADER_SIZE, "x-acs-date: %s", request.date);
	snprintf(call->texts[NONCE], HEADER_SIZE, "x-acs-signature-nonce: %s",
			 request.nonce);
	snprintf(full_url, sizeof(full_url), "%s/?%s", url, request.query);
	call->body_len = 0;
	if (curl_easy_setopt(call->easy, CURLOPT_URL, full_url) != CURLE_OK ||
		curl_multi_add_handle(multi, call->easy) != CURLM_OK)
		fail("could not start a request");
}

static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *userp, void *socketp)
{
	struct epoll_event event = {.data.fd = socket};

	(void) easy;
	(void) userp;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, socket, NULL);
		curl_multi_assign(multi, socket, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(epoll_fd, socketp ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event) != 0)
		fail("epoll_ctl");
	curl_multi_assign(multi, socket, &epoll_fd);
	return 0;
}

static int
on_timer(CURLM *handle, long ms, void *userp)
{
	(void) handle;
	(void) userp;
	timeout_ms = ms;
	return 0;
}

static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	Call	   *call = userdata;
	size_t		len = size * nmemb;

	if (len > sizeof(call->body) - call->body_len)
		return 0;
	memcpy(call->body + call->body_len, data, len);
	call->body_len += len;
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
fail(const char *what)
{
	fprintf(stderr, "bare_multi: %s\n", what);
	exit(1);
}
