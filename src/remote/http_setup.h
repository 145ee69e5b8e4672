/*-------------------------------------------------------------------------
 *
 * http_setup.h
 *	  What keeps libcurl from being set up, by its name.
 *
 * Known to http.c, http_slot.c and http_route.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_SETUP_H
#define PNVS_HTTP_SETUP_H

#include <curl/curl.h>

#include "compat.h"

/* The first thing that libcurl did not do, and why; cleared: none. */
typedef struct PnvsHttpObstacle
{
	const char *what;			/* an option, or a function of libcurl */
	const char *why;			/* libcurl's words; NULL: out of memory */
	bool		no_openssl;
} PnvsHttpObstacle;

/* Sets an option of an easy handle, or of the multi handle. */
#define pnvs_http_set(obstacle, easy, option, value) \
	pnvs_http_setup_note(obstacle, #option, curl_easy_setopt(easy, option, value))
#define pnvs_http_multi_set(obstacle, multi, option, value) \
	pnvs_http_setup_note_multi(obstacle, #option, curl_multi_setopt(multi, option, value))

extern void pnvs_http_setup_note(PnvsHttpObstacle *obstacle, const char *what, CURLcode code);
extern void pnvs_http_setup_note_multi(PnvsHttpObstacle *obstacle, const char *what,
									   CURLMcode code);
extern void pnvs_http_setup_note_memory(PnvsHttpObstacle *obstacle, const char *what);
pg_noreturn extern void pnvs_http_setup_failed(const PnvsHttpObstacle *obstacle,
											   const char *message);

#endif							/* PNVS_HTTP_SETUP_H */
