/*-------------------------------------------------------------------------
 *
 * http_setup.c
 *	  Tells libcurl where requests go, and names the option that it does not take.
 *
 * The libcurl that the server runs with need not be the one that pnvs was built
 * with.  If a function or an option is missing, the error says which.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errcodes.h"
#include "remote/http_internal.h"

static bool is_route_of(const PnvsHttpRoute *route, const PnvsHttpRequest *request);
static bool keep_route(PnvsHttpRoute *route, const PnvsHttpRequest *request);

/* Notes how an option was taken; the first refusal stays. */
void
pnvs_http_note(PnvsHttpObstacle *obstacle, const char *what, CURLcode code)
{
	if (code == CURLE_OK || obstacle->what != NULL)
		return;
	obstacle->what = what;
	obstacle->why = code == CURLE_OUT_OF_MEMORY ? NULL : curl_easy_strerror(code);
	obstacle->no_openssl = code == CURLE_NOT_BUILT_IN &&
		strcmp(what, "CURLOPT_SSL_CTX_FUNCTION") == 0;
}

/* The same of the multi handle. */
void
pnvs_http_note_multi(PnvsHttpObstacle *obstacle, const char *what, CURLMcode code)
{
	if (code == CURLM_OK || obstacle->what != NULL)
		return;
	obstacle->what = what;
	obstacle->why = code == CURLM_OUT_OF_MEMORY ? NULL : curl_multi_strerror(code);
}

/* Throws for the obstacle, or for errno if there is none.  Nothing has been sent. */
void
pnvs_http_failed(const PnvsHttpObstacle *obstacle, const char *message)
{
	const char *hint = "The session has run out of memory or of file descriptors.";

	if (obstacle->why != NULL)
		hint = obstacle->no_openssl ? "Build pnvs with a libcurl that uses OpenSSL." :
			"Build pnvs with the libcurl that it is to run with.";
	else if (obstacle->what != NULL)
		errno = ENOMEM;
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_UNSENT),
			 errmsg("%s", message),
			 obstacle->why != NULL ?
			 errdetail("sent=no stage=resolve: %s is not taken by libcurl %s: %s.",
					   obstacle->what, curl_version_info(CURLVERSION_NOW)->version,
					   obstacle->why) :
			 errdetail("sent=no stage=resolve: %m"),
			 errhint("%s", hint),
			 pnvs_errhide()));
}

/*
 * Tells libcurl where and how a request goes: address, proxy, authorities,
 * time-outs.  They seldom change from one request of a handle to the next, so
 * they are told only if they do.
 */
void
pnvs_http_set_route(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request,
					PnvsHttpObstacle *obstacle)
{
	const PnvsHttpAuthorities *authorities = pnvs_http_trust_authorities();
	bool		own_ca = request->ca_file[0] != '\0';
	const char *ca_file = own_ca ? request->ca_file : authorities->file;
	const char *ca_path = own_ca ? authorities->no_folder : authorities->folder;
	PnvsHttpRoute *route = &transfer->route;
	CURL	   *easy = transfer->easy;

	if (is_route_of(route, request))
		return;
	pnvs_http_forget_route(route);
	if (!keep_route(route, request))
		pnvs_http_note(obstacle, "curl_url", CURLE_OUT_OF_MEMORY);

	/*
	 * From the text alone libcurl would parse the URL for each request.  If
	 * it cannot be parsed, libcurl uses the text, and says why in its error.
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
		pnvs_http_forget_route(route);
}

/* Whether requests go through a proxy whose URL begins with scheme. */
bool
pnvs_http_has_proxy(const PnvsHttpTransfer *transfer, const char *scheme)
{
	const char *proxy = transfer->route.proxy;

	return proxy != NULL && proxy[0] != '\0' &&
		pg_strncasecmp(proxy, scheme, strlen(scheme)) == 0;
}

/* Frees a route's members and clears it, so that it is told again. */
void
pnvs_http_forget_route(PnvsHttpRoute *route)
{
	if (route->url)
		curl_url_cleanup(route->url);
	free(route->origin);
	free(route->ca_file);
	free(route->proxy);
	memset(route, 0, sizeof(*route));
}

static bool
is_route_of(const PnvsHttpRoute *route, const PnvsHttpRequest *request)
{
	return route->origin != NULL &&
		strcmp(route->origin, request->origin) == 0 &&
		strcmp(route->ca_file, request->ca_file) == 0 &&
		strcmp(route->proxy, request->proxy) == 0 &&
		route->connect_timeout_ms == request->connect_timeout_ms &&
		route->request_timeout_ms == request->request_timeout_ms;
}

/* Keeps what libcurl is told; false if there is no memory. */
static bool
keep_route(PnvsHttpRoute *route, const PnvsHttpRequest *request)
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
	return code != CURLUE_OUT_OF_MEMORY && route->origin != NULL && route->ca_file != NULL &&
		route->proxy != NULL;
}
