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
 * SearchVerification finds what was accepted.  Signatures are not looked at.
 *
 * With a SEED the service is moody: the delay is anything up to four times
 * DELAY_MS, and of a thousand requests some are throttled, accepted and answered
 * by a gateway's error or by the end of the connection, or cut off unread (see
 * moods).
 *
 * LOG gets 16 bytes for each request that was accepted: the number and the time,
 * in nanoseconds since the epoch, at which it had been read.
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

#include <openssl/ssl.h>

#define MAX_CONNECTIONS 8192
#define REQUEST_SIZE 8192
#define REPLY_SIZE 1024
#define LOG_RECORDS 1024

/* A power of two, twice what the longest soak accepts. */
#define MAX_ACCEPTED (1 << 22)

typedef enum Mood
{
	FINE,
	THROTTLE,					/* refused: to be sent again later */
	FAIL_AFTER,					/* accepted, and answered with an error */
	CLOSE_AFTER,				/* accepted, and not answered */
	CLOSE_BEFORE				/* not accepted, and not answered */
} Mood;

/* Of a thousand requests; the others are FINE. */
static const struct
{
	Mood		mood;
	int			share;
}			moods[] = {
	{THROTTLE, 10}, {FAIL_AFTER, 3}, {CLOSE_AFTER, 3}, {CLOSE_BEFORE, 3}
};

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

/* A reply that is due; the one that is due first stands first. */
typedef struct Due
{
	int64_t		at_ns;
	int			fd;
	int			generation;
	int			close;
} Due;

typedef struct Accepted
{
	int64_t		number;
	int64_t		at_ns;
	int64_t		times;
} Accepted;

static Connection *connections[MAX_CONNECTIONS];
static Due	due[MAX_CONNECTIONS * 2];
static int	ndue;
static Accepted *accepted;
static int64_t log_records[LOG_RECORDS][2];
static int	nlog_records;
static int	log_fd;
static int	epoll_fd;
static int	timer_fd;
static SSL_CTX *tls;
static int	delay_ms;
static int	moody;
static uint64_t random_state;

static void fail(const char *what);
static SSL_CTX *open_tls(const char *certificate, const char *key);
static int	open_port(void);
static void watch(int fd);
static void serve(int listener);
static void take_connections(int listener);
static void read_requests(Connection *connection);
static void take_request(Connection *connection, int64_t now);
static void start_verification(Connection *connection, const char *query, int64_t now);
static void search_verification(Connection *connection, const char *query);
static Mood draw_mood(void);
static uint64_t draw(uint64_t below);
static Accepted *find(int64_t number);
static void note_accepted(int64_t number, int64_t now);
static void flush_log(void);
static void set_reply(Connection *connection, int status, const char *body);
static void reply_later(Connection *connection, int64_t at_ns, int close);
static void reply_due(void);
static Due	pop_due(void);
static void send_reply(Connection *connection);
static void end_connection(Connection *connection);
static const char *parameter(const char *query, const char *name);
static int64_t now_ns(clockid_t clock);

int
main(int argc, char **argv)
{
	int			listener;

	if (argc < 5 || argc > 6)
		fail("usage: service CERTIFICATE KEY LOG DELAY_MS [SEED]");
	signal(SIGPIPE, SIG_IGN);
	delay_ms = atoi(argv[4]);
	moody = argc == 6;
	random_state = moody ? strtoull(argv[5], NULL, 10) * 2 + 1 : 1;
	accepted = calloc(MAX_ACCEPTED, sizeof(Accepted));
	log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (accepted == NULL || log_fd < 0 || epoll_fd < 0 || timer_fd < 0)
		fail("could not begin");
	tls = open_tls(argv[1], argv[2]);
	listener = open_port();
	watch(listener);
	watch(timer_fd);
	serve(listener);
	return 0;
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
			flush_log();
			n = epoll_wait(epoll_fd, events, 256, -1);
		}
		for (int i = 0; i < n; i++)
		{
			int			fd = events[i].data.fd;

			if (fd == listener)
				take_connections(listener);
			else if (fd == timer_fd)
				reply_due();
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
		int			len = SSL_read(connection->ssl, connection->request + connection->request_len,
								   room);

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
	else
		start_verification(connection, query, now);
}

static void
start_verification(Connection *connection, const char *query, int64_t now)
{
	Mood		mood = draw_mood();
	const char *to = parameter(query, "To=");
	const char *service_sid = parameter(query, "ServiceSid=");
	int64_t		number = to ? strtoll(to, NULL, 10) : 0;
	int64_t		delay_ns = (moody ? (int64_t) draw(4000) : 1000) * delay_ms * 1000;
	char		body[512];

	if (mood == FINE || mood == FAIL_AFTER || mood == CLOSE_AFTER)
		note_accepted(number, now);
	if (service_sid && strncmp(service_sid, "hang", 4) == 0)
		return;
	if (mood == THROTTLE)
		set_reply(connection, 429, "{\"RequestId\":\"9D5A1A7E\",\"HostId\":\"bench\","
				  "\"Code\":\"Throttling.User\",\"Message\":\"Request was denied due to user flow control.\"}");
	else if (mood == FAIL_AFTER)
		set_reply(connection, 500, "{\"RequestId\":\"9D5A1A7E\",\"HostId\":\"bench\","
				  "\"Code\":\"InternalError\",\"Message\":\"The request processing has failed.\"}");
	else
	{
		snprintf(body, sizeof(body), "{\"RequestId\":\"9D5A1A7E-1C7F-5C0B-8B8F-%lld\",\"Message\":\"OK\","
				 "\"Model\":{\"verificationId\":\"V%lld-%lld\",\"status\":\"pending\"},"
				 "\"Code\":\"OK\",\"Success\":true}", (long long) number, (long long) number,
				 (long long) find(number)->times);
		set_reply(connection, 200, body);
	}
	if (delay_ns == 0 && !moody)
		send_reply(connection);
	else
		reply_later(connection, now_ns(CLOCK_MONOTONIC) + delay_ns,
					mood == CLOSE_AFTER || mood == CLOSE_BEFORE);
}

static void
search_verification(Connection *connection, const char *query)
{
	const char *to = parameter(query, "To=");
	Accepted   *entry = find(to ? strtoll(to, NULL, 10) : 0);
	char		record[256] = "";
	char		body[768];

	if (entry->times > 0)
		snprintf(record, sizeof(record), "{\"sendDate\":%lld,\"updatedDate\":%lld,\"channel\":\"SMS\","
				 "\"to\":\"%lld\",\"verificationId\":\"V%lld-%lld\",\"status\":\"pending\"}",
				 (long long) (entry->at_ns / 1000000), (long long) (entry->at_ns / 1000000),
				 (long long) entry->number, (long long) entry->number, (long long) entry->times);
	snprintf(body, sizeof(body), "{\"RequestId\":\"9D5A1A7E\",\"Message\":\"OK\",\"Model\":{\"records\":[%s],"
			 "\"pageNo\":1,\"totalPage\":1,\"pageSize\":100,\"totalCount\":%d},\"Code\":\"OK\",\"Success\":true}",
			 record, entry->times > 0);
	set_reply(connection, 200, body);
	send_reply(connection);
}

static Mood
draw_mood(void)
{
	int			drawn = moody ? (int) draw(1000) : 1000;

	for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++)
	{
		drawn -= moods[i].share;
		if (drawn < 0)
			return moods[i].mood;
	}
	return FINE;
}

/* xorshift64* */
static uint64_t
draw(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * UINT64_C(2685821657736338717) >> 11) % below;
}

/* The place of a number, whether it was accepted or not. */
static Accepted *
find(int64_t number)
{
	uint64_t	at = (uint64_t) number * UINT64_C(11400714819323198485) >> 42;

	while (accepted[at].number != number && accepted[at].times > 0)
		at = (at + 1) % MAX_ACCEPTED;
	return &accepted[at];
}

static void
note_accepted(int64_t number, int64_t now)
{
	Accepted   *entry = find(number);

	entry->number = number;
	entry->at_ns = now;
	entry->times++;
	log_records[nlog_records][0] = number;
	log_records[nlog_records][1] = now;
	if (++nlog_records == LOG_RECORDS)
		flush_log();
}

static void
flush_log(void)
{
	ssize_t		len = nlog_records * (ssize_t) sizeof(log_records[0]);

	if (len > 0 && write(log_fd, log_records, len) != len)
		fail("could not write the log");
	nlog_records = 0;
}

static void
set_reply(Connection *connection, int status, const char *body)
{
	connection->reply_len = snprintf(connection->reply, REPLY_SIZE,
									 "HTTP/1.1 %d -\r\nContent-Type: application/json\r\n"
									 "Content-Length: %zu\r\nConnection: keep-alive\r\n"
									 "x-acs-request-id: 9D5A1A7E-1C7F-5C0B-8B8F-3E1F2A6D4C11\r\n"
									 "\r\n%s", status, strlen(body), body);
	if (connection->reply_len >= REPLY_SIZE)
		fail("a reply is too long");
}

static void
reply_later(Connection *connection, int64_t at_ns, int close)
{
	int			at = ndue++;
	Due			entry = {at_ns, connection->fd, connection->generation, close};

	if (ndue > MAX_CONNECTIONS)
		fail("too many replies are due");
	while (at > 0 && due[(at - 1) / 2].at_ns > at_ns)
	{
		due[at] = due[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	due[at] = entry;
	if (at == 0)
	{
		struct itimerspec timer = {.it_value = {at_ns / 1000000000, at_ns % 1000000000}};

		timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
	}
}

static void
reply_due(void)
{
	uint64_t	expirations;
	struct itimerspec timer = {0};

	if (read(timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		fail("could not read the timer");
	while (ndue > 0 && due[0].at_ns <= now_ns(CLOCK_MONOTONIC))
	{
		Due			entry = pop_due();
		Connection *connection = connections[entry.fd];

		if (!connection->open || connection->generation != entry.generation)
			continue;
		if (entry.close)
			end_connection(connection);
		else
			send_reply(connection);
	}
	if (ndue == 0)
		return;
	timer.it_value.tv_sec = due[0].at_ns / 1000000000;
	timer.it_value.tv_nsec = due[0].at_ns % 1000000000;
	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static Due
pop_due(void)
{
	Due			first = due[0];
	Due			last = due[--ndue];
	int			at = 0;

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child + 1 < ndue && due[child + 1].at_ns < due[child].at_ns)
			child++;
		if (child >= ndue || due[child].at_ns >= last.at_ns)
			break;
		due[at] = due[child];
		at = child;
	}
	due[at] = last;
	return first;
}

/* A kilobyte always fits into the socket's buffer. */
static void
send_reply(Connection *connection)
{
	if (SSL_write(connection->ssl, connection->reply, connection->reply_len) <= 0)
		end_connection(connection);
}

static void
end_connection(Connection *connection)
{
	SSL_free(connection->ssl);
	close(connection->fd);
	connection->open = 0;
}

/* Where the value of a query's parameter begins, or NULL. */
static const char *
parameter(const char *query, const char *name)
{
	const char *at = query;

	while ((at = strstr(at + 1, name)) != NULL)
	{
		if (at[-1] == '?' || at[-1] == '&')
			return at + strlen(name);
	}
	return NULL;
}

static int64_t
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}
