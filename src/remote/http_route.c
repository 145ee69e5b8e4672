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
 * for a request that names none.  Returns false where there is no memory, or where
 * libcurl does not take an option; the route is forgotten then.
 */
bool
pnvs_http_route_set(PnvsHttpRoute *route, CURL *easy,
					const PnvsHttpAuthorities *authorities,
					const PnvsHttpRequest *request)
{
	bool		own_ca = request->ca_file[0] != '\0';
	const char *ca_file = own_ca ? request->ca_file : authorities->file;
	const char *ca_path = own_ca ? authorities->no_folder : authorities->folder;
	unsigned	failed = 0;

	pnvs_http_route_forget(route);
	if (!keep(route, request))
		return false;

	/*
	 * Given the URL as a text alone, libcurl would take it apart for each
	 * request.  The text counts where it cannot be taken apart, and libcurl
	 * says why.
	 */
	failed |= curl_easy_setopt(easy, CURLOPT_CURLU, route->url);
	failed |= curl_easy_setopt(easy, CURLOPT_URL, request->origin);
	failed |= curl_easy_setopt(easy, PNVS_CURLOPT_PROTOCOLS,
							   request->tls ? PNVS_PROTOCOL_HTTPS : PNVS_PROTOCOL_HTTP);
	failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, ca_path);
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, ca_file);
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, ca_path);

	/* An empty text, unlike NULL, also switches the environment's proxy off. */
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY, request->proxy);
	failed |= curl_easy_setopt(easy, CURLOPT_NOPROXY,
							   request->proxy[0] != '\0' ? "" : "*");
	failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
							   (long) request->connect_timeout_ms);
	failed |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
							   (long) request->request_timeout_ms);
	if (failed != CURLE_OK)
		pnvs_http_route_forget(route);
	return failed == CURLE_OK;
}

/* Whether requests go through a proxy. */
bool
pnvs_http_route_has_proxy(const PnvsHttpRoute *route)
{
	return route->proxy != NULL && route->proxy[0] != '\0';
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
