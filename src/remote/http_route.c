/*-------------------------------------------------------------------------
 *
 * http_route.c
 *	  Where and how a request goes: address, proxy, authorities, time-outs.
 *
 * They seldom change from one request to the next, so libcurl is told them where
 * they do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "compat.h"
#include "remote/http_route.h"

static bool keep(PnvsHttpRoute *route, const PnvsHttpRequest *request);

/* Whether libcurl was told last what it is to be told now. */
bool
pnvs_http_route_is_of(const PnvsHttpRoute *route, const PnvsHttpRequest *request)
{
	return route->origin != NULL &&
		strcmp(route->origin, request->origin) == 0 &&
		strcmp(route->ca_file, request->ca_file) == 0 &&
		strcmp(route->proxy, request->proxy) == 0 &&
		route->connect_timeout_ms == request->connect_timeout_ms &&
		route->request_timeout_ms == request->request_timeout_ms;
}

/*
 * Tells libcurl where requests go, and how, and keeps that.  authorities are those
 * for a request that names none.  What keeps it from that is noted; the route is
 * forgotten then.
 */
void
pnvs_http_route_set(PnvsHttpRoute *route, CURL *easy,
					const PnvsHttpAuthorities *authorities,
					const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle)
{
	bool		own_ca = request->ca_file[0] != '\0';
	const char *ca_file = own_ca ? request->ca_file : authorities->file;
	const char *ca_path = own_ca ? authorities->no_folder : authorities->folder;

	pnvs_http_route_forget(route);
	if (!keep(route, request))
	{
		pnvs_http_setup_note_memory(obstacle, "curl_url");
		return;
	}

	/*
	 * Given the URL as a text alone, libcurl would take it apart for each
	 * request.  The text counts where it cannot be taken apart, and libcurl
	 * says why.
	 */
	pnvs_http_set(obstacle, easy, CURLOPT_CURLU, route->url);
	pnvs_http_set(obstacle, easy, CURLOPT_URL, request->origin);
	pnvs_http_set(obstacle, easy, PNVS_CURLOPT_PROTOCOLS,
				  request->tls ? PNVS_PROTOCOL_HTTPS : PNVS_PROTOCOL_HTTP);
	pnvs_http_set(obstacle, easy, CURLOPT_CAINFO, ca_file);
	pnvs_http_set(obstacle, easy, CURLOPT_CAPATH, ca_path);
	pnvs_http_set(obstacle, easy, CURLOPT_PROXY_CAINFO, ca_file);
	pnvs_http_set(obstacle, easy, CURLOPT_PROXY_CAPATH, ca_path);

	/* An empty text, unlike NULL, also switches the environment's proxy off. */
	pnvs_http_set(obstacle, easy, CURLOPT_PROXY, request->proxy);
	pnvs_http_set(obstacle, easy, CURLOPT_NOPROXY,
				  request->proxy[0] != '\0' ? "" : "*");
	pnvs_http_set(obstacle, easy, CURLOPT_CONNECTTIMEOUT_MS,
				  (long) request->connect_timeout_ms);
	pnvs_http_set(obstacle, easy, CURLOPT_TIMEOUT_MS,
				  (long) request->request_timeout_ms);
	if (obstacle->what != NULL)
		pnvs_http_route_forget(route);
}

/* Whether requests go through a proxy. */
bool
pnvs_http_route_has_proxy(const PnvsHttpRoute *route)
{
	return route->proxy != NULL && route->proxy[0] != '\0';
}

/* Whether they go through one that is spoken to by TLS. */
bool
pnvs_http_route_has_tls_proxy(const PnvsHttpRoute *route)
{
	return route->proxy != NULL && pg_strncasecmp(route->proxy, "https://", 8) == 0;
}

/* Frees what belongs to a route, which then is none. */
void
pnvs_http_route_forget(PnvsHttpRoute *route)
{
	if (route->url)
		curl_url_cleanup(route->url);
	free(route->origin);
	free(route->ca_file);
	free(route->proxy);
	memset(route, 0, sizeof(*route));
}

/* Keeps what libcurl was told; false where there is no memory. */
static bool
keep(PnvsHttpRoute *route, const PnvsHttpRequest *request)
{
	CURLUcode	code = CURLUE_OUT_OF_MEMORY;

	route->url = curl_url();
	if (route->url != NULL)
		code = curl_url_set(route->url, CURLUPART_URL, request->origin, 0);
	if (code != CURLUE_OK && code != CURLUE_OUT_OF_MEMORY)
	{
		curl_url_cleanup(route->url);
		route->url = NULL;
	}
	route->origin = strdup(request->origin);
	route->ca_file = strdup(request->ca_file);
	route->proxy = strdup(request->proxy);
	route->connect_timeout_ms = request->connect_timeout_ms;
	route->request_timeout_ms = request->request_timeout_ms;
	if (code != CURLUE_OUT_OF_MEMORY && route->origin != NULL && route->ca_file != NULL &&
		route->proxy != NULL)
		return true;
	pnvs_http_route_forget(route);
	return false;
}
