/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP requests under way, behind a single descriptor.
 *
 * Start transfers, as many as you like.  Wait until pnvs_http_descriptor() is
 * readable, call pnvs_http_advance(), and read the result of each transfer that is
 * done.  A transfer ends with its memory context.  Nothing here waits or looks for
 * interrupts; the caller does both, and waits for its latch at the same time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_H
#define PNVS_HTTP_H

#include "core/outcome.h"

/* A reply of the service has a few hundred bytes, a full page of a search 250 kB. */
#define PNVS_MAX_BODY_LEN (1024 * 1024)

/* Alibaba Cloud's gateway sends about 500 bytes. */
#define PNVS_MAX_REPLY_HEADERS_LEN (64 * 1024)

/* libcurl's CURL_ERROR_SIZE */
#define PNVS_HTTP_DETAIL_SIZE 256

typedef enum PnvsHttpFault
{
	PNVS_HTTP_NO_FAULT,
	PNVS_HTTP_TIMED_OUT,
	PNVS_HTTP_UNTRUSTED,		/* the certificate or its host name is wrong */
	PNVS_HTTP_BAD_CA,			/* the trusted certificates cannot be read */
	PNVS_HTTP_TOO_LARGE,		/* the reply passes a limit above */
	PNVS_HTTP_MALFORMED,		/* the reply is not HTTP */
	PNVS_HTTP_REPEAT_STOPPED,	/* libcurl was about to send it again */
	PNVS_HTTP_OUT_OF_MEMORY,
	PNVS_HTTP_BROKEN			/* anything else: detail says what */
} PnvsHttpFault;

typedef struct PnvsHttpRequest
{
	const char *origin;			/* scheme, host and port, as a URL */
	const char *method;			/* in capital letters; not HEAD */
	const char *target;			/* path and query, encoded */
	const char *const *headers; /* "Name: value", the last one NULL */
	const char *body;			/* NULL: none, as for a GET */
	size_t		body_len;
	bool		may_repeat;		/* libcurl may send it twice if a kept
								 * connection has died */
	bool		tls;			/* https, not http */
	const char *ca_file;		/* or empty: the system's */
	const char *proxy;			/* or empty: none */
	int			connect_timeout_ms;
	int			request_timeout_ms;
} PnvsHttpRequest;

/*
 * When a stage was over, in microseconds from the start; 0: not reached.  On a kept
 * connection the stages before the request take next to nothing.
 */
typedef struct PnvsHttpTimes
{
	int64		looked_up_us;
	int64		connected_us;
	int64		secured_us;		/* TLS */
	int64		first_byte_us;	/* of the reply */
	int64		total_us;
} PnvsHttpTimes;

typedef struct PnvsHttpResult
{
	PnvsHttpFault fault;
	PnvsStage	stage;			/* the furthest that it got */
	bool		maybe_sent;		/* some of the request may have arrived */
	int			status;			/* 0 before a status line */
	const char *body;			/* the transfer's, until its release */
	size_t		body_len;
	char		server_date[32];	/* the Date header, or empty */
	int64		retry_after_ms; /* the x-acs-retry-after header, or -1 */
	PnvsHttpTimes times;
	char		detail[PNVS_HTTP_DETAIL_SIZE];	/* libcurl's words on a fault,
												 * in ASCII */
} PnvsHttpResult;

typedef struct PnvsHttpTransfer PnvsHttpTransfer;

extern PnvsHttpTransfer *pnvs_http_start(const PnvsHttpRequest *request);
extern int	pnvs_http_descriptor(void);
extern void pnvs_http_keep_connections(int nconnections);
extern void pnvs_http_advance(void);
extern void pnvs_http_time_out(PnvsHttpTransfer *transfer);
extern bool pnvs_http_needs_rest(void);
extern bool pnvs_http_is_done(const PnvsHttpTransfer *transfer);
extern PnvsStage pnvs_http_stage(const PnvsHttpTransfer *transfer);
extern bool pnvs_http_maybe_sent(const PnvsHttpTransfer *transfer);
extern int64 pnvs_http_server_time_s(const PnvsHttpResult *result);
extern void pnvs_http_result(const PnvsHttpTransfer *transfer, PnvsHttpResult *result);

#endif							/* PNVS_HTTP_H */
