/*-------------------------------------------------------------------------
 *
 * http_route.h
 *	  Where and how a request goes: address, proxy, authorities, time-outs.
 *
 * Known to http_slot.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_ROUTE_H
#define PNVS_HTTP_ROUTE_H

#include <curl/curl.h>

#include "remote/http.h"
#include "remote/http_setup.h"

/* Whose certificates are trusted. */
typedef struct PnvsHttpAuthorities
{
	const char *file;			/* NULL: none beside the folder */
	const char *folder;			/* NULL: none */
	const char *no_folder;		/* in place of one: NULL, or what holds none */
} PnvsHttpAuthorities;

/* How a request is sent, as libcurl was told last. */
typedef struct PnvsHttpRoute
{
	CURLU	   *url;			/* the origin, taken apart; or NULL where it
								 * cannot be */
	char	   *origin;			/* malloc'ed, as the next two; or NULL */
	char	   *ca_file;
	char	   *proxy;
	int			connect_timeout_ms;
	int			request_timeout_ms;
} PnvsHttpRoute;

extern bool pnvs_http_route_is_of(const PnvsHttpRoute *route, const PnvsHttpRequest *request);
extern void pnvs_http_route_set(PnvsHttpRoute *route, CURL *easy,
								const PnvsHttpAuthorities *authorities,
								const PnvsHttpRequest *request,
								PnvsHttpObstacle *obstacle);
extern bool pnvs_http_route_has_proxy(const PnvsHttpRoute *route);
extern bool pnvs_http_route_has_tls_proxy(const PnvsHttpRoute *route);
extern void pnvs_http_route_forget(PnvsHttpRoute *route);

#endif							/* PNVS_HTTP_ROUTE_H */
