/*-------------------------------------------------------------------------
 *
 * handle.h
 *	  An easy handle of libcurl for the anchors' requests, used well: what does
 *	  not change from call to call is set once, and the list of headers needs no
 *	  memory of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BENCH_HANDLE_H
#define PNVS_BENCH_HANDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <curl/curl.h>

#define BENCH_HEADER_SIZE 640
#define BENCH_HEADER_COUNT 11

typedef struct BenchHandle
{
	CURL	   *easy;
	struct curl_slist headers[BENCH_HEADER_COUNT];
	char		texts[BENCH_HEADER_COUNT][BENCH_HEADER_SIZE];
	char		body[4096];
	size_t		body_len;
} BenchHandle;

extern bool bench_handle_open(BenchHandle *handle, CURLSH *sessions, const char *host,
							  const char *ca_file, const char *ca_path);
extern bool bench_handle_prepare(BenchHandle *handle, const char *url, const char *host,
								 int64_t number);
extern bool bench_handle_has_reply(const BenchHandle *handle);
extern int64_t bench_now_ns(clockid_t clock);

#endif							/* PNVS_BENCH_HANDLE_H */
