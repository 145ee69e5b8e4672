/*-------------------------------------------------------------------------
 *
 * request.c
 *	  The signed request that the anchors send.
 *
 *-------------------------------------------------------------------------
 */
#include <time.h>

#include <openssl/rand.h>

#include "core/operation.h"
#include "core/signature.h"
#include "request.h"

static bool make_stamp(BenchRequest *request);

/*
 * Makes a StartVerification with a new nonce and the time, and signs it.
 * Returns false where OpenSSL fails or something does not fit.
 */
bool
bench_request_sign(BenchRequest *request, const char *host, const char *to)
{
	const PnvsQueryParameter parameters[] = {
		{"Channel", "SMS"},
		{"ServiceSid", "FA1"},
		{"To", to},
	};
	PnvsSignedRequest signed_request = {
		.method = "POST",
		.host = host,
		.action = "StartVerification",
		.version = PNVS_API_VERSION,
		.date = request->date,
		.nonce = request->nonce,
		.canonical_query = request->query,
	};
	PnvsTextBuffer query;
	PnvsTextBuffer canonical_request;
	PnvsTextBuffer string_to_sign;
	PnvsTextBuffer authorization;

	pnvs_text_buffer_init(&query, request->query, sizeof(request->query));
	pnvs_text_buffer_init(&canonical_request, request->canonical_request,
						  sizeof(request->canonical_request));
	pnvs_text_buffer_init(&string_to_sign, request->string_to_sign,
						  sizeof(request->string_to_sign));
	pnvs_text_buffer_init(&authorization, request->authorization,
						  sizeof(request->authorization));

	return make_stamp(request) &&
		pnvs_signature_canonical_query(&query, parameters, 3) &&
		pnvs_signature_canonical_request(&canonical_request, &signed_request) &&
		pnvs_signature_string_to_sign(&string_to_sign, &canonical_request) &&
		pnvs_signature_authorization(&authorization, &string_to_sign,
									 BENCH_ACCESS_KEY_ID, BENCH_ACCESS_KEY_SECRET,
									 false);
}

static bool
make_stamp(BenchRequest *request)
{
	static unsigned char random[BENCH_NONCES_IN_STOCK][BENCH_NONCE_LEN];
	static int	nrandom = 0;
	PnvsTextBuffer nonce;

	if ((nrandom == 0 && RAND_bytes(random[0], sizeof(random)) != 1) ||
		!pnvs_encoding_utc_timestamp((int64_t) time(NULL), request->date))
		return false;
	pnvs_text_buffer_init(&nonce, request->nonce, sizeof(request->nonce));
	if (nrandom == 0)
		nrandom = BENCH_NONCES_IN_STOCK;
	pnvs_encoding_append_hex(&nonce, random[--nrandom], BENCH_NONCE_LEN);
	return true;
}
