/*-------------------------------------------------------------------------
 *
 * http_slot.h
 *	  One easy handle of libcurl, what it is told and what it reports.
 *
 * Known to http.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_SLOT_H
#define PNVS_HTTP_SLOT_H

#include <curl/curl.h>

#include "remote/http.h"
#include "remote/http_route.h"
#include "remote/http_setup.h"
#include "remote/http_trust.h"

/* malloc'ed: it outlives the memory contexts of the transfers that use it. */
typedef struct PnvsHttpSlot
{
	CURL	   *easy;
	struct PnvsHttpSlot *next_idle;
	bool		done;
	CURLcode	code;			/* once done */
	PnvsHttpRoute route;
	PnvsHttpSessions *sessions; /* while there is a transfer */
	bool		may_repeat;
	bool		tls_begun;
	int			begun;			/* times that the request was about to be
								 * written */
	bool		repeat_stopped;
	bool		too_large;
	bool		endless;
	uint64		turn;			/* the last in which there was progress */
	int			progress;		/* times that there was, in that turn */
	bool		out_of_memory;
	char	   *body;			/* malloc'ed */
	size_t		body_len;
	size_t		body_size;
	size_t		headers_len;
	char		server_date[32];	/* the Date header, or empty */
	int64		retry_after_ms;
	char		error[CURL_ERROR_SIZE];
} PnvsHttpSlot;

/* What every request of the process has in common. */
typedef struct PnvsHttpShared
{
	curl_opensocket_callback on_open;
	curl_closesocket_callback on_close;
	curl_resolver_start_callback on_resolver_start;
} PnvsHttpShared;

extern PnvsHttpSlot *pnvs_http_slot_create(const PnvsHttpShared *shared,
										   PnvsHttpObstacle *obstacle);
extern void pnvs_http_slot_destroy(PnvsHttpSlot *slot);
extern void pnvs_http_slot_clear(PnvsHttpSlot *slot);
extern void pnvs_http_slot_prepare(PnvsHttpSlot *slot, const PnvsHttpRequest *request,
								   PnvsHttpObstacle *obstacle);
extern void pnvs_http_slot_wipe(PnvsHttpSlot *slot);
extern PnvsStage pnvs_http_slot_stage(const PnvsHttpSlot *slot);
extern bool pnvs_http_slot_maybe_sent(const PnvsHttpSlot *slot);
extern void pnvs_http_slot_result(const PnvsHttpSlot *slot, PnvsHttpResult *result);

#endif							/* PNVS_HTTP_SLOT_H */
