/*-------------------------------------------------------------------------
 *
 * http_internal.h
 *	  What the files http*.c, the only ones that know libcurl, share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_INTERNAL_H
#define PNVS_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "compat.h"
#include "remote/http.h"

/* The first thing that libcurl did not do, and why; cleared: none. */
typedef struct PnvsHttpObstacle
{
	const char *what;			/* an option, or a function of libcurl */
	const char *why;			/* libcurl's words; NULL: out of memory */
	bool		no_openssl;
} PnvsHttpObstacle;

/* Whose certificates are trusted. */
typedef struct PnvsHttpAuthorities
{
	const char *file;			/* NULL: none beside the folder */
	const char *folder;			/* NULL: none */
	const char *no_folder;		/* what libcurl takes for none: NULL or a path */
} PnvsHttpAuthorities;

/* TLS sessions that can be resumed; malloc'ed, until the last user leaves them. */
typedef struct PnvsHttpSessions
{
	CURLSH	   *share;
	int			nusers;			/* transfers, and one while they are current */
} PnvsHttpSessions;

/* Where and how requests go, as a handle of libcurl was told last. */
typedef struct PnvsHttpRoute
{
	CURLU	   *url;			/* the origin; NULL if libcurl cannot parse it */
	char	   *origin;			/* malloc'ed, as the next two; or NULL */
	char	   *ca_file;
	char	   *proxy;
	int			connect_timeout_ms;
	int			request_timeout_ms;
} PnvsHttpRoute;

/*
 * A handle of libcurl with the request that it is used for.  It is malloc'ed and
 * kept for other requests, so it outlives the memory contexts of each.
 */
struct PnvsHttpTransfer
{
	CURL	   *easy;
	PnvsHttpRoute route;
	PnvsHttpTransfer *next_idle;
	char	   *body;			/* of the reply; malloc'ed */
	size_t		body_size;
	char		error[CURL_ERROR_SIZE];

	/* of one request; from may_repeat on, cleared before the next */
	MemoryContextCallback on_reset;
	PnvsHttpSessions *sessions;
	bool		may_repeat;
	bool		done;
	CURLcode	code;			/* if done */
	bool		tls_begun;
	int			begun;			/* how often the request was about to be
								 * written */
	bool		repeat_stopped;
	bool		too_large;
	bool		endless;
	bool		out_of_memory;
	uint64		turn;			/* the last one with progress */
	int			progress;		/* how often there was some in that turn */
	size_t		body_len;
	size_t		headers_len;
	char		server_date[32];
	int64		retry_after_ms;
};

/* http.c: callbacks of libcurl */
extern curl_socket_t pnvs_http_on_open(void *clientp, curlsocktype purpose,
									   struct curl_sockaddr *address);
extern int	pnvs_http_on_close(void *clientp, curl_socket_t socket);
extern int	pnvs_http_on_resolver_start(void *resolver, void *reserved, void *userp);

/* http_setup.c: sets an option of an easy handle, or of the multi handle. */
#define pnvs_http_set(obstacle, easy, option, value) \
	pnvs_http_note(obstacle, #option, curl_easy_setopt(easy, option, value))
#define pnvs_http_multi_set(obstacle, multi, option, value) \
	pnvs_http_note_multi(obstacle, #option, curl_multi_setopt(multi, option, value))

extern void pnvs_http_note(PnvsHttpObstacle *obstacle, const char *what, CURLcode code);
extern void pnvs_http_note_multi(PnvsHttpObstacle *obstacle, const char *what, CURLMcode code);
pg_noreturn extern void pnvs_http_failed(const PnvsHttpObstacle *obstacle, const char *message);
extern void pnvs_http_set_route(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request,
								PnvsHttpObstacle *obstacle);
extern bool pnvs_http_has_proxy(const PnvsHttpTransfer *transfer, const char *scheme);
extern void pnvs_http_forget_route(PnvsHttpRoute *route);

/* http_transfer.c */
extern PnvsHttpTransfer *pnvs_http_transfer_create(PnvsHttpObstacle *obstacle);
extern void pnvs_http_transfer_destroy(PnvsHttpTransfer *transfer);
extern void pnvs_http_transfer_begin(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request,
									 PnvsHttpObstacle *obstacle);
extern void pnvs_http_transfer_end(PnvsHttpTransfer *transfer);

/* http_trust.c */
extern void pnvs_http_trust_open(PnvsHttpObstacle *obstacle);
extern void pnvs_http_trust_close(void);
extern void pnvs_http_trust_renew(const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle);
extern void pnvs_http_trust_doubt(void);
extern const PnvsHttpAuthorities *pnvs_http_trust_authorities(void);
extern PnvsHttpSessions *pnvs_http_trust_use_sessions(void);
extern void pnvs_http_trust_leave_sessions(PnvsHttpSessions *sessions);
extern long pnvs_http_trust_connections_s(void);
extern long pnvs_http_trust_cache_s(void);

/* http_turn.c */
extern void pnvs_http_turn_begin(void);
extern uint64 pnvs_http_turn_number(void);
extern void pnvs_http_turn_watch(SSL_CTX *context);

#endif							/* PNVS_HTTP_INTERNAL_H */
