/*-------------------------------------------------------------------------
 *
 * http_trust.h
 *	  Whose certificates are trusted, and for how long what was trusted is.
 *
 * Known to http.c and http_slot.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_TRUST_H
#define PNVS_HTTP_TRUST_H

#include <curl/curl.h>

#include "remote/http_route.h"
#include "remote/http_setup.h"

/* TLS sessions that can be resumed.  malloc'ed, for transfers outlive what replaces it. */
typedef struct PnvsHttpSessions
{
	CURLSH	   *share;
	int			nusers;			/* transfers, and one while it is current */
} PnvsHttpSessions;

extern void pnvs_http_trust_open(PnvsHttpObstacle *obstacle);
extern void pnvs_http_trust_close(void);
extern void pnvs_http_trust_renew(const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle);
extern void pnvs_http_trust_doubt(void);
extern const PnvsHttpAuthorities *pnvs_http_trust_authorities(void);
extern PnvsHttpSessions *pnvs_http_trust_use_sessions(void);
extern void pnvs_http_trust_leave_sessions(PnvsHttpSessions *sessions);
extern long pnvs_http_trust_connections_s(void);
extern long pnvs_http_trust_cache_s(void);

#endif							/* PNVS_HTTP_TRUST_H */
