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

#include "handle.h"

static CURLM *multi;
static CURLSH *sessions;
static int	epoll_fd;
static long timeout_ms = -1;
static const char *url;
static const char *host;
static BenchHandle *handles;
static int	window;
static int64_t next_number;
static long left_to_start;
static long left_to_end;

static void open_handles(const char *ca_file);
static void drain(void);
static void wait_and_act(void);
static void take_finished(void);
static void start(BenchHandle *handle);
static int	on_socket(CURL *easy, curl_socket_t socket, int what, void *userp,
					  void *socketp);
static int	on_timer(CURLM *handle, long ms, void *userp);
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
	open_handles(argv[1]);

	while (fgets(line, sizeof(line), stdin))
	{
		int64_t		wall_ns = bench_now_ns(CLOCK_MONOTONIC);
		int64_t		cpu_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (sscanf(line, "%ld %lld", &count, (long long *) &next_number) != 2)
			fail("expected: N FIRST");
		left_to_start = left_to_end = count;
		drain();
		wall_ns = bench_now_ns(CLOCK_MONOTONIC) - wall_ns;
		cpu_ns = bench_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
		printf("%ld %lld %lld\n", count, (long long) wall_ns, (long long) cpu_ns);
		fflush(stdout);
	}
	return 0;
}

static void
open_handles(const char *ca_file)
{
	unsigned	failed = 0;

	failed |= curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	sessions = curl_share_init();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	handles = calloc(window, sizeof(BenchHandle));
	if (failed || multi == NULL || sessions == NULL || epoll_fd < 0 || handles == NULL)
		fail("could not begin");
	failed |= curl_share_setopt(sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	failed |= curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	failed |= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	failed |= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) window);
	if (failed)
		fail("could not set libcurl up");
	for (int i = 0; i < window; i++)
	{
		if (!bench_handle_open(&handles[i], sessions, host, ca_file, NULL))
			fail("could not set libcurl up");
	}
}

static void
drain(void)
{
	for (int i = 0; i < window && left_to_start > 0; i++)
		start(&handles[i]);
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
		BenchHandle *handle;

		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &handle);
		if (code != CURLE_OK)
			fail(curl_easy_strerror(code));
		if (!bench_handle_has_reply(handle))
			fail("the reply is not what the service is to send");
		curl_multi_remove_handle(multi, easy);
		left_to_end--;
		if (left_to_start > 0)
			start(handle);
	}
}

static void
start(BenchHandle *handle)
{
	left_to_start--;
	if (!bench_handle_prepare(handle, url, host, next_number++) ||
		curl_multi_add_handle(multi, handle->easy) != CURLM_OK)
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

static void
fail(const char *what)
{
	fprintf(stderr, "bare_multi: %s\n", what);
	exit(1);
}
