/*-------------------------------------------------------------------------
 *
 * http_setup.c
 *	  What keeps libcurl from being set up, by its name.
 *
 * The libcurl that the server runs with need not be the one that pnvs was built
 * with: a function or an option can be missing, and then whoever reads the error
 * has to know which.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "compat.h"
#include "errcodes.h"
#include "remote/http_setup.h"

/* Notes how an option was taken; the first refusal stays. */
void
pnvs_http_setup_note(PnvsHttpObstacle *obstacle, const char *what, CURLcode code)
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
pnvs_http_setup_note_multi(PnvsHttpObstacle *obstacle, const char *what, CURLMcode code)
{
	if (code == CURLM_OK || obstacle->what != NULL)
		return;
	obstacle->what = what;
	obstacle->why = code == CURLM_OUT_OF_MEMORY ? NULL : curl_multi_strerror(code);
}

/* Something could not be made, which libcurl has no other reason for. */
void
pnvs_http_setup_note_memory(PnvsHttpObstacle *obstacle, const char *what)
{
	pnvs_http_setup_note(obstacle, what, CURLE_OUT_OF_MEMORY);
}

/*
 * Throws for what was noted; where nothing was, for what errno says.  Nothing has
 * been sent.
 */
void
pnvs_http_setup_failed(const PnvsHttpObstacle *obstacle, const char *message)
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
