/*-------------------------------------------------------------------------
 *
 * service.c
 *	  A service that takes its time, and remembers what it accepted.
 *
 *	  service CERTIFICATE KEY LOG DELAY_MS [SEED]
 *
 * HTTP/1.1 over TLS on loopback, one thread, one epoll set; the port is printed
 * once it listens.  Each StartVerification is accepted when it has been read,
 * and answered DELAY_MS later; one for the ServiceSid "hang" is never answered.
 * CheckVerification approves the code of a message, once (see service_checks.c).
 * SearchVerification finds what was accepted.  Signatures are not looked at.
 *
 * With a SEED the service is moody until it gets SIGUSR1: the delay is anything
 * up to four times DELAY_MS, or ten times that, some of a thousand requests go
 * wrong in one of many ways (see service_moods.c), some searches fail, and what was
 * just accepted is not found yet.
 *
 * LOG gets 16 bytes for each request that was accepted: the number and the time,
 * in nanoseconds since the epoch, at which it had been read.  Where the number is
 * negative it was read and not accepted, and the caller cannot know.  LOG.checks
 * gets 40 bytes for each check (see service_checks.c).
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "service_accepted.h"
#include "service_checks.h"
#include "service_due.h"
#include "service_moods.h"
#include "service_query.h"

#define MAX_CONNECTIONS 8192
#define REQUEST_SIZE 8192
#define REPLY_SIZE 2048

/* What was accepted is found after this, in a mood. */
#define INDEXED_NS INT64_C(1000000000)

/* Of a thousand searches, in a mood. */
#define FAILING_SEARCHES 20

typedef struct Connection
{
	SSL		   *ssl;
	int			fd;
	int			open;
	int			generation;		/* of this descriptor */
	int			request_len;
	char		request[REQUEST_SIZE];
	int			reply_len;
	char		reply[REPLY_SIZE];
} Connection;

static Connection *connections[MAX_CONNECTIONS];
static int	epoll_fd;
static int	timer_fd;
static SSL_CTX *tls;
static int	delay_ms;
static int64_t nstarted;

static void calm_down(int signal_number);
static void fail(const char *what);
static SSL_CTX *open_tls(const char *certificate, const char *key);
static int	open_port(void);
static void watch(int fd);
static void serve(int listener);
static void take_connections(int listener);
static void read_requests(Connection *connection);
static void take_request(Connection *connection, int64_t now);
static void start_verification(Connection *connection, const char *query, int64_t now);
static void check_verification(Connection *connection, const char *query, int64_t now);
static void search_verification(Connection *connection, const char *query);
static int64_t draw_delay_ns(void);
static void set_reply(Connection *connection, int status, const char *body);
static void reply_later(Connection *connection, const Mood *mood, Due entry);
static void do_later(Due entry);
static void set_timer(void);
static void do_due(void);
static void end_request(Connection *connection, Ending ending);
static void end_connection(Connection *connection);
static int64_t now_ns(clockid_t clock);

int
main(int argc, char **argv)
{
	int			listener;

	if (argc < 5 || argc > 6)
		fail("usage: service CERTIFICATE KEY LOG DELAY_MS [SEED]");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, calm_down);
	delay_ms = atoi(argv[4]);
	if (argc == 6)
		moods_begin(strtoull(argv[5], NULL, 10));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (accepted_open(argv[3]) != 0 || checks_open(argv[3]) != 0 || epoll_fd < 0 || timer_fd < 0)
		fail("could not begin");
	tls = open_tls(argv[1], argv[2]);
	listener = open_port();
	watch(listener);
	watch(timer_fd);
	serve(listener);
	return 0;
}

static void
calm_down(int signal_number)
{
	(void) signal_number;
	moods_end();
}

static void
fail(const char *what)
{
	fprintf(stderr, "service: %s\n", what);
	exit(1);
}

static SSL_CTX *
open_tls(const char *certificate, const char *key)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL ||
		SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		fail("could not set TLS up");
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	return context;
}

/* Prints the port. */
static int
open_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, len) != 0 ||
		listen(listener, 4096) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
		fail("could not listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

static void
watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
}

static void
serve(int listener)
{
	struct epoll_event events[256];

	for (;;)
	{
		int			n = epoll_wait(epoll_fd, events, 256, 0);

		if (n == 0)
		{
			if (accepted_flush() != 0 || checks_flush() != 0)
				fail("could not write the log");
			n = epoll_wait(epoll_fd, events, 256, -1);
		}
		for (int i = 0; i < n; i++)
		{
			int			fd = events[i].data.fd;

			if (fd == listener)
				take_connections(listener);
			else if (fd == timer_fd)
				do_due();
			else if (connections[fd] && connections[fd]->open)
				read_requests(connections[fd]);
		}
	}
}

static void
take_connections(int listener)
{
	int			fd;
	int			on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Connection *connection;

		if (fd >= MAX_CONNECTIONS)
			fail("too many connections");
		if (connections[fd] == NULL)
			connections[fd] = calloc(1, sizeof(Connection));
		connection = connections[fd];
		connection->fd = fd;
		connection->open = 1;
		connection->generation++;
		connection->request_len = connection->reply_len = 0;
		connection->ssl = SSL_new(tls);
		SSL_set_fd(connection->ssl, fd);
		SSL_set_accept_state(connection->ssl);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(fd);
	}
}

static void
read_requests(Connection *connection)
{
	for (;;)
	{
		int			room = REQUEST_SIZE - 1 - connection->request_len;
		int			len;

		/* SSL_get_error() takes another connection's error for this one's */
		ERR_clear_error();
		len = SSL_read(connection->ssl, connection->request + connection->request_len, room);
		if (len <= 0)
		{
			if (SSL_get_error(connection->ssl, len) != SSL_ERROR_WANT_READ)
				end_connection(connection);
			return;
		}
		connection->request_len += len;
		connection->request[connection->request_len] = '\0';
		if (strstr(connection->request, "\r\n\r\n"))
		{
			connection->request_len = 0;
			take_request(connection, now_ns(CLOCK_REALTIME));
			if (!connection->open)
				return;
		}
		else if (room < 2)
			fail("a request is too long");
	}
}

static void
take_request(Connection *connection, int64_t now)
{
	const char *query = strchr(connection->request, '?');

	if (query == NULL)
		fail("a request has no query");
	if (strstr(connection->request, "x-acs-action: SearchVerification"))
		search_verification(connection, query);
	else if (strstr(connection->request, "x-acs-action: CheckVerification"))
		check_verification(connection, query, now);
	else
		start_verification(connection, query, now);
}

static void
start_verification(Connection *connection, const char *query, int64_t now)
{
	const Mood *mood = moods_draw();
	const char *to = service_parameter(query, "To=");
	const char *service_sid = service_parameter(query, "ServiceSid=");
	int64_t		number = to ? strtoll(to, NULL, 10) : 0;
	const char *channel = service_parameter(query, "Channel=");
	int			is_voice = channel && strncmp(channel, "VOICE", 5) == 0;
	Due			entry = {draw_delay_ns(), connection->fd, connection->generation, mood->ending, 0, ++nstarted, is_voice};
	char		body[512];

	if (mood->acceptance == LATE)
		entry.number = number;
	else if ((mood->acceptance == AT_ONCE ? accepted_note(number, nstarted, is_voice, now) :
			  mood->status >= 500 || mood->ending != ANSWER ? accepted_note_dropped(number, now) : 0) != 0)
		fail("could not note what was accepted");
	if (service_sid && strncmp(service_sid, "hang", 4) == 0)
		return;
	snprintf(body, sizeof(body), "{\"RequestId\":\"9D5A1A7E-1C7F-5C0B-8B8F-%lld\",\"Message\":\"OK\","
			 "\"Model\":{\"verificationId\":\"V%lld-%lld\",\"status\":\"pending\"},"
			 "\"Code\":\"OK\",\"Success\":true}", (long long) number, (long long) number,
			 (long long) nstarted);
	set_reply(connection, mood->status, mood->body ? mood->body : body);
	reply_later(connection, mood, entry);
}

static void
check_verification(Connection *connection, const char *query, int64_t now)
{
	const Mood *mood = moods_draw_of_check();
	Due			entry = {draw_delay_ns(), connection->fd, connection->generation, mood->ending, 0, 0, 0};
	char		body[512];

	if (checks_answer(query, mood, now, body, sizeof(body)) != 0)
		fail("could not note what was checked");
	set_reply(connection, mood->status, mood->body ? mood->body : body);
	reply_later(connection, mood, entry);
}

/* A number's messages, as many as have room, or one; the service is the one that is asked for. */
static void
search_verification(Connection *connection, const char *query)
{
	const char *to = service_parameter(query, "To=");
	const char *service_sid = service_parameter(query, "ServiceSid=");
	int			service_sid_len = service_sid ? (int) strcspn(service_sid, "& ") : 0;
	const char *id = service_parameter(query, "VerificationId=V");
	int64_t		serial = service_serial(query);
	const Accepted *entry = accepted_last(to || id ? strtoll(to ? to : id, NULL, 10) : 0);
	int64_t		until = now_ns(CLOCK_REALTIME) - (moods_are_on() ? INDEXED_NS : 0);
	char		records[1024] = "";
	char		body[1536];
	int			nrecords = 0;

	if (moods_are_on() && moods_random(1000) < FAILING_SEARCHES)
	{
		set_reply(connection, 503, FAILURE("ServiceUnavailable"));
		end_request(connection, moods_random(2) ? ANSWER : RESET);
		return;
	}
	for (; entry; entry = entry->before)
	{
		size_t		len = strlen(records);

		if (entry->at_ns > until || len > sizeof(records) - 256 || (serial != 0 && entry->serial != serial))
			continue;
		snprintf(records + len, sizeof(records) - len,
				 "%s{\"sendDate\":%lld,\"updatedDate\":%lld,\"channel\":\"%s\","
				 "\"to\":\"%lld\",\"serviceSid\":\"%.*s\",\"verificationId\":\"V%lld-%lld\",\"status\":\"%s\"}",
				 len > 0 ? "," : "", (long long) (entry->at_ns / 1000000),
				 (long long) (entry->at_ns / 1000000), entry->is_voice ? "VOICE" : "SMS", (long long) entry->number,
				 service_sid_len, service_sid ? service_sid : "", (long long) entry->number, (long long) entry->serial,
				 entry->approved ? "approved" : "pending");
		nrecords++;
	}
	snprintf(body, sizeof(body), "{\"RequestId\":\"9D5A1A7E\",\"Message\":\"OK\",\"Model\":{\"records\":[%s],"
			 "\"pageNo\":1,\"totalPage\":1,\"pageSize\":100,\"totalCount\":%d},\"Code\":\"OK\",\"Success\":true}",
			 records, nrecords);
	set_reply(connection, 200, body);
	end_request(connection, ANSWER);
}

static int64_t
draw_delay_ns(void)
{
	int64_t		share = moods_are_on() ? moods_random(4000) * (moods_random(20) ? 1 : 10) : 1000;

	return share * delay_ms * 1000;
}

static void
set_reply(Connection *connection, int status, const char *body)
{
	connection->reply_len = snprintf(connection->reply, REPLY_SIZE,
									 "HTTP/1.1 %d -\r\nContent-Type: application/json\r\n"
									 "Content-Length: %zu\r\nConnection: keep-alive\r\n"
									 "x-acs-request-id: 9D5A1A7E-1C7F-5C0B-8B8F-3E1F2A6D4C11\r\n"
									 "%s\r\n%s", status, strlen(body),
									 status == 429 ? "x-acs-retry-after: 100\r\n" : "", body);
	if (connection->reply_len >= REPLY_SIZE)
		fail("a reply is too long");
}

/* Ends a request as its mood is; entry.at_ns is the delay. */
static void
reply_later(Connection *connection, const Mood *mood, Due entry)
{
	if (entry.at_ns == 0 && mood == &moods_fine)
		end_request(connection, ANSWER);
	else
	{
		entry.at_ns = now_ns(CLOCK_MONOTONIC) + (mood->late ? LATE_NS : entry.at_ns);
		do_later(entry);
	}
}

static void
do_later(Due entry)
{
	if (due_push(entry) != 0)
		fail("too many replies are due");
	if (due_first()->at_ns == entry.at_ns)
		set_timer();
}

static void
set_timer(void)
{
	int64_t		at_ns = due_first()->at_ns;
	struct itimerspec timer = {.it_value = {at_ns / 1000000000, at_ns % 1000000000}};

	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void
do_due(void)
{
	uint64_t	expirations;

	if (read(timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		fail("could not read the timer");
	while (due_first() && due_first()->at_ns <= now_ns(CLOCK_MONOTONIC))
	{
		Due			entry = due_pop();
		Connection *connection = connections[entry.fd];

		if (entry.number != 0 && accepted_note(entry.number, entry.serial, entry.is_voice, now_ns(CLOCK_REALTIME)) != 0)
			fail("could not note what was accepted");
		if (connection->open && connection->generation == entry.generation)
			end_request(connection, entry.ending);
	}
	if (due_first())
		set_timer();
}

/* Two kilobytes always fit into the socket's buffer. */
static void
end_request(Connection *connection, Ending ending)
{
	if (ending == RESET)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &(struct linger) {1, 0}, sizeof(struct linger));
	if (ending == CLOSE || ending == RESET ||
		(ending == ANSWER && SSL_write(connection->ssl, connection->reply, connection->reply_len) <= 0))
		end_connection(connection);
}

static void
end_connection(Connection *connection)
{
	SSL_free(connection->ssl);
	close(connection->fd);
	connection->open = 0;
}

static int64_t
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}
