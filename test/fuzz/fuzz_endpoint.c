/*-------------------------------------------------------------------------
 *
 * fuzz_endpoint.c
 *	  Fuzzes the endpoint setting against libcurl's own URL parser: what we
 *	  accept, libcurl must read as the same host and port and as nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/endpoint.h"
#include "fuzz.h"

static void check_part(CURLU *url, CURLUPart part, const char *expected);
static void check_host(CURLU *url, const PnvsEndpoint *endpoint);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);
	PnvsEndpoint endpoint;

	if (pnvs_endpoint_parse(text, &endpoint) == PNVS_ENDPOINT_OK)
	{
		CURLU	   *url = curl_url();

		FUZZ_ASSERT(url != NULL);
		if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK)
		{
			check_part(url, CURLUPART_SCHEME, endpoint.tls ? "https" : "http");
			check_part(url, CURLUPART_USER, NULL);
			check_part(url, CURLUPART_PASSWORD, NULL);
			check_part(url, CURLUPART_PATH, "/");
			check_part(url, CURLUPART_QUERY, NULL);
			check_part(url, CURLUPART_FRAGMENT, NULL);
			check_host(url, &endpoint);
		}
		curl_url_cleanup(url);
	}
	free(text);
	return 0;
}

static void
check_part(CURLU *url, CURLUPart part, const char *expected)
{
	char	   *actual = NULL;

	curl_url_get(url, part, &actual, 0);
	FUZZ_ASSERT((actual == NULL) == (expected == NULL));
	FUZZ_ASSERT(actual == NULL || strcmp(actual, expected) == 0);
	curl_free(actual);
}

/*
 * libcurl rewrites the forms of addresses, so only names are compared letter by
 * letter.
 */
static void
check_host(CURLU *url, const PnvsEndpoint *endpoint)
{
	const char *digits = "0123456789.:[]abcdefxABCDEFX";
	char	   *host = NULL;
	char	   *port = NULL;
	size_t		host_len;
	const char *rest;

	FUZZ_ASSERT(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK);
	host_len = strlen(host);
	if (host[strspn(host, digits)] != '\0')
	{
		FUZZ_ASSERT(strncasecmp(host, endpoint->host_header, host_len) == 0);
		rest = endpoint->host_header + host_len;
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
		FUZZ_ASSERT(port ? *rest == ':' && strcmp(rest + 1, port) == 0 : *rest == '\0');
	}
	curl_free(host);
	curl_free(port);
}
