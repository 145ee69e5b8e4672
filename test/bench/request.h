/*-------------------------------------------------------------------------
 *
 * request.h
 *	  The signed request that the anchors send, made as src/remote/client.c
 *	  makes it, from the same src/core.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BENCH_REQUEST_H
#define PNVS_BENCH_REQUEST_H

#include <stdbool.h>

#include "core/encoding.h"

#define BENCH_ACCESS_KEY_ID "testid"
#define BENCH_ACCESS_KEY_SECRET "testsecret"

#define BENCH_NONCE_LEN 16
#define BENCH_NONCES_IN_STOCK 64

typedef struct BenchRequest
{
	char		date[PNVS_UTC_TIMESTAMP_SIZE];
	char		nonce[BENCH_NONCE_LEN * 2 + 1];
	char		query[256];
	char		canonical_request[1024];
	char		string_to_sign[128];
	char		authorization[512];
} BenchRequest;

extern bool bench_request_sign(BenchRequest *request, const char *host,
							   const char *to);

#endif							/* PNVS_BENCH_REQUEST_H */
