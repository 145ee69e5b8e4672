/*-------------------------------------------------------------------------
 *
 * signing.c
 *	  What a signature costs beside the digests that it cannot do without.
 *
 *	  signing ROUNDS SIGNATURES
 *
 * Prints for each round "OURS OPENSSL": the CPU time, in nanoseconds, of one
 * signature by src/core with nonce, date, query and canonical request, and of
 * what OpenSSL does for one at least: the digest of the body, the digest of the
 * canonical request, the HMAC of the string to sign.  OpenSSL gets texts of the
 * same lengths, objects fetched once and contexts that are kept.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/params.h>

#include "request.h"

#define HOST "dypnsapi-intl.ap-southeast-1.aliyuncs.com"
#define TO "6281234567890"

typedef struct Digests
{
	EVP_MD	   *sha256;
	EVP_MD_CTX *digest;
	EVP_MAC_CTX *hmac;
	size_t		canonical_request_len;
	size_t		string_to_sign_len;
	BenchRequest request;
} Digests;

static void open_digests(Digests *digests);
static int64_t time_signatures(long count);
static int64_t time_digests(Digests *digests, long count);
static int	digest_once(Digests *digests, const char *text, size_t len);
static int	hmac_once(Digests *digests, const char *text, size_t len);
static int64_t cpu_ns(void);
static void fail(const char *what);

int
main(int argc, char **argv)
{
	Digests		digests;
	long		rounds = argc == 3 ? atol(argv[1]) : 0;
	long		count = argc == 3 ? atol(argv[2]) : 0;

	if (rounds < 1 || count < 1)
		fail("usage: signing ROUNDS SIGNATURES");
	open_digests(&digests);
	time_signatures(count);
	time_digests(&digests, count);
	for (long round = 0; round < rounds; round++)
	{
		int64_t		ours_ns = time_signatures(count);
		int64_t		openssl_ns = time_digests(&digests, count);

		printf("%.1f %.1f\n", (double) ours_ns / count, (double) openssl_ns / count);
	}
	return 0;
}

static void
open_digests(Digests *digests)
{
	EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	OSSL_PARAM	with_sha256[] = {
		OSSL_PARAM_construct_utf8_string("digest", (char *) "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	digests->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	digests->digest = EVP_MD_CTX_new();
	digests->hmac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	if (digests->sha256 == NULL || digests->digest == NULL || digests->hmac == NULL ||
		!EVP_MAC_CTX_set_params(digests->hmac, with_sha256))
		fail("OpenSSL has no SHA-256 or no HMAC");
	if (!bench_request_sign(&digests->request, HOST, TO))
		fail("could not sign");
	digests->canonical_request_len = strlen(digests->request.canonical_request);
	digests->string_to_sign_len = strlen(digests->request.string_to_sign);
}

static int64_t
time_signatures(long count)
{
	BenchRequest request;
	int64_t		start_ns = cpu_ns();

	for (long i = 0; i < count; i++)
	{
		if (!bench_request_sign(&request, HOST, TO))
			fail("could not sign");
	}
	return cpu_ns() - start_ns;
}

static int64_t
time_digests(Digests *digests, long count)
{
	const BenchRequest *request = &digests->request;
	int64_t		start_ns = cpu_ns();

	for (long i = 0; i < count; i++)
	{
		if (!digest_once(digests, "", 0) ||
			!digest_once(digests, request->canonical_request,
						 digests->canonical_request_len) ||
			!hmac_once(digests, request->string_to_sign, digests->string_to_sign_len))
			fail("OpenSSL failed");
	}
	return cpu_ns() - start_ns;
}

static int
digest_once(Digests *digests, const char *text, size_t len)
{
	unsigned char out[EVP_MAX_MD_SIZE];

	return EVP_DigestInit_ex2(digests->digest, digests->sha256, NULL) &&
		EVP_DigestUpdate(digests->digest, text, len) &&
		EVP_DigestFinal_ex(digests->digest, out, NULL);
}

static int
hmac_once(Digests *digests, const char *text, size_t len)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	size_t		out_len;

	return EVP_MAC_init(digests->hmac, (const unsigned char *) BENCH_ACCESS_KEY_SECRET,
						strlen(BENCH_ACCESS_KEY_SECRET), NULL) &&
		EVP_MAC_update(digests->hmac, (const unsigned char *) text, len) &&
		EVP_MAC_final(digests->hmac, out, &out_len, sizeof(out));
}

static int64_t
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
fail(const char *what)
{
	fprintf(stderr, "signing: %s\n", what);
	exit(1);
}
