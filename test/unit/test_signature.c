/*-------------------------------------------------------------------------
 *
 * test_signature.c
 *	  Signature version 3, each stage by itself.
 *
 * The known answers are those of test/vectors, sign_v3.json first, which
 * test/vectors/to_c.py turns into vectors.h when this is built.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/operation.h"
#include "core/signature.h"
#include "exact.h"
#include "tap.h"
#include "vectors.h"

#define BIG 4096
#define MAX_PARAMETERS 64
#define MASK 0x80
#define LARGEST_REGION (256UL * 1024 * 1024)
#define NOT_SANITIZED __attribute__((no_sanitize_address))

static void test_vector(const struct signature_vector *vector);
static void test_vector_query(const struct signature_vector *vector);
static void test_vector_overflow(const struct signature_vector *vector);
static void test_documented_text(void);
static void test_empty_body(void);
static void test_queries(void);
static void test_query_order(void);
static void test_query_limits(void);
static void test_operations(void);
static void test_keys(void);
static void test_forgotten_keys(void);
static bool is_in_memory(const unsigned char *masked, size_t len);
static bool is_in_region(const unsigned char *region, const unsigned char *end,
						 const unsigned char *masked, size_t len);
static void test_failed_stages(void);
static bool run_stage(int stage, const struct signature_vector *vector, PnvsTextBuffer *out);
static void request_of(const struct signature_vector *vector, PnvsSignedRequest *request);
static char *authorization_of(const char *string_to_sign, const char *secret);

static const char *const stage_names[] = {
	"canonical query", "canonical request", "string to sign", "authorization"
};

int
main(void)
{
	tap_ok(TAP_LENGTH(signature_vectors) >= 3, "there are at least three known answers");
	for (size_t i = 0; i < TAP_LENGTH(signature_vectors); i++)
	{
		test_vector(&signature_vectors[i]);
		test_vector_query(&signature_vectors[i]);
		test_vector_overflow(&signature_vectors[i]);
	}
	test_documented_text();
	test_empty_body();
	test_queries();
	test_query_order();
	test_query_limits();
	test_operations();
	test_keys();
	test_forgotten_keys();
	test_failed_stages();
	return tap_done();
}

/* Each stage is fed with the known answer of the one before, not with its result. */
static void
test_vector(const struct signature_vector *vector)
{
	char		string_to_sign[PNVS_STRING_TO_SIGN_SIZE];
	char		authorization[512];
	char		signed_headers[256];
	PnvsTextBuffer out;

	exact_buffer_init(&out, strlen(vector->canonical_request) + 1);
	tap_ok(run_stage(1, vector, &out), "%s: the canonical request is made", vector->name);
	tap_text(out.data, vector->canonical_request, "%s: the canonical request is the expected text",
			 vector->name);
	exact_buffer_free(&out);

	snprintf(string_to_sign, sizeof(string_to_sign), "ACS3-HMAC-SHA256\n%s",
			 vector->hashed_canonical_request);
	exact_buffer_init(&out, PNVS_STRING_TO_SIGN_SIZE);
	tap_ok(run_stage(2, vector, &out), "%s: the string to sign is made", vector->name);
	tap_int((long long) out.len, PNVS_STRING_TO_SIGN_SIZE - 1,
			"%s: the string to sign has the length that its size says", vector->name);
	tap_text(strchr(out.data, '\n') ? strchr(out.data, '\n') + 1 : NULL,
			 vector->hashed_canonical_request,
			 "%s: the second line is the canonical request's hash", vector->name);
	tap_text(out.data, string_to_sign, "%s: the first line is the algorithm", vector->name);
	exact_buffer_free(&out);

	snprintf(authorization, sizeof(authorization),
			 "ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s",
			 vector->access_key_id, vector->signed_headers, vector->signature);
	snprintf(signed_headers, sizeof(signed_headers), ",SignedHeaders=%s,", vector->signed_headers);
	exact_buffer_init(&out, strlen(authorization) + 1);
	tap_ok(run_stage(3, vector, &out), "%s: the authorization is made", vector->name);
	tap_text(strstr(out.data, "Signature=") ? strstr(out.data, "Signature=") + 10 : NULL,
			 vector->signature, "%s: the signature is the known answer", vector->name);
	tap_ok(strstr(out.data, signed_headers) != NULL, "%s: the signed headers are listed: %s",
		   vector->name, vector->signed_headers);
	tap_text(out.data, authorization, "%s: the authorization is the expected text", vector->name);
	exact_buffer_free(&out);
}

/* The parameters in the order of the vectors and in the opposite one. */
static void
test_vector_query(const struct signature_vector *vector)
{
	PnvsQueryParameter reversed[MAX_PARAMETERS];
	PnvsTextBuffer out;

	exact_buffer_init(&out, strlen(vector->canonical_query) + 1);
	tap_ok(run_stage(0, vector, &out), "%s: the canonical query is made", vector->name);
	tap_text(out.data, vector->canonical_query, "%s: the canonical query is the known answer",
			 vector->name);
	exact_buffer_free(&out);

	for (int i = 0; i < vector->nparameters; i++)
		reversed[i] = vector->parameters[vector->nparameters - 1 - i];
	exact_buffer_init(&out, BIG);
	pnvs_signature_canonical_query(&out, reversed, vector->nparameters);
	tap_text(out.data, vector->canonical_query,
			 "%s: the canonical query is the same from parameters in the opposite order",
			 vector->name);
	exact_buffer_free(&out);
}

/* Every stage, with every size of buffer that is too small, and the first that is not. */
static void
test_vector_overflow(const struct signature_vector *vector)
{
	for (int stage = 0; stage < (int) TAP_LENGTH(stage_names); stage++)
	{
		PnvsTextBuffer out;
		size_t		needed;
		bool		reported = true;

		exact_buffer_init(&out, BIG);
		run_stage(stage, vector, &out);
		needed = out.len + 1;
		exact_buffer_free(&out);

		for (size_t size = 1; size <= needed; size++)
		{
			exact_buffer_init(&out, size);
			reported = reported && run_stage(stage, vector, &out) == (size == needed);
			exact_buffer_free(&out);
		}
		tap_ok(reported, "%s: the %s fails in each of %d buffers that are too small, and in no other",
			   vector->name, stage_names[stage], (int) needed - 1);
	}
}

/* Written by hand from the help page, so that not only scripts agree. */
static void
test_documented_text(void)
{
	static const PnvsSignedRequest request = {
		.method = "POST",
		.host = "ecs.cn-shanghai.aliyuncs.com",
		.action = "RunInstances",
		.version = "2014-05-26",
		.date = "2023-10-26T10:22:32Z",
		.nonce = "3156853299f313e23d1673dc12e1703d",
		.security_token = NULL,
		.canonical_query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"
		"&RegionId=cn-shanghai",
	};
	static const char expected[] =
	"POST\n"
	"/\n"
	"ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai\n"
	"host:ecs.cn-shanghai.aliyuncs.com\n"
	"x-acs-action:RunInstances\n"
	"x-acs-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
	"x-acs-date:2023-10-26T10:22:32Z\n"
	"x-acs-signature-nonce:3156853299f313e23d1673dc12e1703d\n"
	"x-acs-version:2014-05-26\n"
	"\n"
	"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version\n"
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	PnvsSignedRequest with_token = request;
	PnvsTextBuffer out;

	exact_buffer_init(&out, sizeof(expected));
	pnvs_signature_canonical_request(&out, &request);
	tap_text(out.data, expected, "the documented canonical request is made to the letter");
	exact_buffer_free(&out);

	with_token.security_token = "token";
	exact_buffer_init(&out, BIG);
	pnvs_signature_canonical_request(&out, &with_token);
	tap_ok(strstr(out.data, "\nx-acs-date:2023-10-26T10:22:32Z\nx-acs-security-token:token\n"
				  "x-acs-signature-nonce:") != NULL,
		   "a security token stands between date and nonce");
	tap_ok(strstr(out.data, "\n\nhost;x-acs-action;x-acs-content-sha256;x-acs-date;"
				  "x-acs-security-token;x-acs-signature-nonce;x-acs-version\n") != NULL,
		   "a security token is among the signed headers");
	exact_buffer_free(&out);

	with_token.security_token = "";
	exact_buffer_init(&out, BIG);
	pnvs_signature_canonical_request(&out, &with_token);
	tap_ok(strstr(out.data, "\nx-acs-security-token:\n") != NULL,
		   "an empty security token is signed as one: only NULL is none");
	exact_buffer_free(&out);
}

/* The digest of nothing, by the stage that hashes. */
static void
test_empty_body(void)
{
	PnvsTextBuffer empty;
	PnvsTextBuffer out;

	exact_buffer_init(&empty, 1);
	exact_buffer_init(&out, PNVS_STRING_TO_SIGN_SIZE);
	tap_ok(pnvs_signature_string_to_sign(&out, &empty), "an empty text can be hashed");
	tap_text(out.data, "ACS3-HMAC-SHA256\n" PNVS_EMPTY_BODY_SHA256,
			 "the empty body's hash is that of an empty text");
	exact_buffer_free(&out);
	exact_buffer_free(&empty);
}

static void
test_queries(void)
{
	static const struct
	{
		PnvsQueryParameter parameters[3];
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{{{"A", NULL}}, "", "a parameter without a value is left out"},
		{{{"A", ""}}, "A=", "an empty value leaves its name and the equals sign"},
		{{{"B", "2"}, {"A", ""}, {"C", NULL}}, "A=&B=2", "empty and missing values are told apart"},
		{{{"A", NULL}, {"B", "2"}, {"C", "3"}}, "B=2&C=3", "a missing first value leaves no ampersand"},
		{{{"A", "1"}, {"B", NULL}, {"C", "3"}}, "A=1&C=3", "a missing value between leaves no ampersand"},
		{{{"To", "a b"}}, "To=a%20b", "a space in a value is %20"},
		{{{"To", "*"}}, "To=%2A", "an asterisk in a value is %2A"},
		{{{"To", "~"}}, "To=~", "a tilde in a value stays"},
		{{{"To", "+62"}}, "To=%2B62", "a plus sign in a value is %2B"},
		{{{"Id", "a/b+c=="}}, "Id=a%2Fb%2Bc%3D%3D", "what a verification ID may hold is encoded"},
		{{{"Id", "100%"}}, "Id=100%25", "a percent sign in a value is %25"},
		{{{"Id", "a&b=c"}}, "Id=a%26b%3Dc", "a value cannot add a parameter"},
		{{{"Id", "\xE4\xB8\xAD\xC3\xA9"}}, "Id=%E4%B8%AD%C3%A9", "UTF-8 in a value is encoded byte by byte"},
		{{{"Na me", "v"}}, "Na%20me=v", "names are encoded too"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		int			n = 0;
		PnvsTextBuffer out;

		while (n < 3 && cases[i].parameters[n].name)
			n++;
		exact_buffer_init(&out, strlen(cases[i].expected) + 1);
		tap_text(pnvs_signature_canonical_query(&out, cases[i].parameters, n) ? out.data : NULL,
				 cases[i].expected, "query: %s", cases[i].sentence);
		exact_buffer_free(&out);
	}
}

static void
test_query_order(void)
{
	static const PnvsQueryParameter mixed[] = {
		{"b", "1"}, {"\xC3\xA9", "2"}, {"B", "3"}, {"a", "4"}, {"_", "5"}, {"AB", "6"},
		{"A", "7"}, {"A.B", "8"}, {"10", "9"}, {"9", "10"}, {"AA", "11"},
	};
	static const char sorted[] =
	"10=9&9=10&A=7&A.B=8&AA=11&AB=6&B=3&_=5&a=4&b=1&%C3%A9=2";
	static const PnvsQueryParameter twice[] = {{"B", "1"}, {"A", "2"}, {"B", "0"}, {"A", "1"}};
	PnvsTextBuffer out;

	exact_buffer_init(&out, sizeof(sorted));
	pnvs_signature_canonical_query(&out, mixed, (int) TAP_LENGTH(mixed));
	tap_text(out.data, sorted, "query: names are sorted as unsigned bytes, short before long");
	exact_buffer_free(&out);

	exact_buffer_init(&out, BIG);
	pnvs_signature_canonical_query(&out, twice, (int) TAP_LENGTH(twice));
	tap_text(out.data, "A=2&A=1&B=1&B=0", "query: parameters of one name keep their order");
	exact_buffer_free(&out);
}

static void
test_query_limits(void)
{
	PnvsQueryParameter *many = exact_alloc((MAX_PARAMETERS + 1) * sizeof(PnvsQueryParameter));
	char		names[MAX_PARAMETERS + 1][16];
	PnvsTextBuffer out;

	for (int i = 0; i <= MAX_PARAMETERS; i++)
	{
		snprintf(names[i], sizeof(names[i]), "%03d", MAX_PARAMETERS - i);
		many[i].name = names[i];
		many[i].value = "";
	}
	exact_buffer_init(&out, BIG);
	tap_ok(pnvs_signature_canonical_query(&out, many + 1, MAX_PARAMETERS) &&
		   strncmp(out.data, "000=&001=&", 10) == 0, "query: 64 parameters are sorted");
	exact_buffer_free(&out);

	exact_buffer_init(&out, BIG);
	tap_ok(!pnvs_signature_canonical_query(&out, many, MAX_PARAMETERS + 1),
		   "query: 65 parameters are refused");
	tap_text(out.data, "", "query: of too many parameters nothing is written");
	tap_ok(pnvs_signature_canonical_query(&out, many, 0), "query: there may be no parameters");
	tap_text(out.data, "", "query: no parameters make an empty query");

	out.overflowed = true;
	tap_ok(!pnvs_signature_canonical_query(&out, many, 1),
		   "query: a buffer that has overflowed before is a failure");
	exact_buffer_free(&out);
	free(many);
}

/* With every parameter given, the table's own order is the signed one. */
static void
test_operations(void)
{
	static const char *const expected[] = {
		[PNVS_START_VERIFICATION] = "Channel=v&ServiceSid=v&To=v",
		[PNVS_CHECK_VERIFICATION] = "Code=v&ServiceSid=v&To=v&VerificationId=v",
		[PNVS_SEARCH_VERIFICATION] =
		"Code=v&CurrentPage=v&PageSize=v&SendDate=v&ServiceSid=v&To=v&VerificationId=v",
	};

	for (int id = 0; id < PNVS_OPERATION_COUNT; id++)
	{
		const PnvsOperation *operation = pnvs_operation_get((PnvsOperationId) id);
		PnvsQueryParameter parameters[PNVS_MAX_PARAMETERS];
		PnvsTextBuffer out;

		for (int i = 0; i < operation->nparameters; i++)
		{
			parameters[i].name = operation->parameters[i].name;
			parameters[i].value = "v";
		}
		exact_buffer_init(&out, strlen(expected[id]) + 1);
		pnvs_signature_canonical_query(&out, parameters, operation->nparameters);
		tap_text(out.data, expected[id], "query: %s has all of its parameters in order",
				 operation->name);
		exact_buffer_free(&out);
	}
}

/*
 * Secrets of awkward lengths; the answers are of Python's hmac.  They are asked
 * for one after the other, for a key must not stay from one to the next.
 */
static void
test_keys(void)
{
	static const char string_to_sign[] = "ACS3-HMAC-SHA256\n" PNVS_EMPTY_BODY_SHA256;
	static const struct
	{
		size_t		len;
		const char *expected;
	}			cases[] = {
		{30, "885af80a99a5a33c0eaaf5724f844deddbcf21a90153e38cc1b439916afd5dd5"},
		{0, "72209fe9cf269ac30c7c3013ba3a2f42cc7f85cc0e17de4ac130b1e3611af374"},
		{1, "c47c3783c18ffb5838b82d4d1e4828494d9297a039fd6e65aac5e96f8e73193d"},
		{64, "90050df655d806ea1b47613e74f9486d5e84b1b264d5db0ee872cde27d1b23d2"},
		{65, "f2cafbc285e6298a99d3087260cc2aaa6bff1a1ec0b439538499005aa834d228"},
		{200, "793579dbe2c862959f68666aebee0432829a480d6c29397bbe4b679d60430933"},
		{0, "72209fe9cf269ac30c7c3013ba3a2f42cc7f85cc0e17de4ac130b1e3611af374"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *secret = exact_alloc(cases[i].len + 1);
		char	   *authorization;

		memset(secret, 'k', cases[i].len);
		secret[cases[i].len] = '\0';
		authorization = authorization_of(string_to_sign, secret);
		tap_text(authorization ? strstr(authorization, "Signature=") + 10 : NULL, cases[i].expected,
				 "a secret of %d bytes signs as it should", (int) cases[i].len);
		free(authorization);
		free(secret);
	}
}

/*
 * Once a request is signed its key is nowhere in this process, whose own copy is
 * kept masked.
 */
static void
test_forgotten_keys(void)
{
	static const size_t lens[] = {30, 64, 200};

	for (size_t i = 0; i < TAP_LENGTH(lens); i++)
	{
		unsigned char masked[200];
		char	   *secret = exact_alloc(lens[i] + 1);

		for (size_t j = 0; j < lens[i]; j++)
		{
			masked[j] = (unsigned char) (('a' + (j * 7 + i) % 26) ^ MASK);
			secret[j] = (char) (masked[j] ^ MASK);
		}
		secret[lens[i]] = '\0';
		tap_ok(is_in_memory(masked, lens[i]), "a secret of %d bytes that is kept is found",
			   (int) lens[i]);
		free(authorization_of("ACS3-HMAC-SHA256\n" PNVS_EMPTY_BODY_SHA256, secret));
		explicit_bzero(secret, lens[i]);
		free(secret);
		tap_ok(!is_in_memory(masked, lens[i]), "a secret of %d bytes is forgotten once it has signed",
			   (int) lens[i]);
	}
}

/* Whether a text stands anywhere in what this process can write to. */
static bool
is_in_memory(const unsigned char *masked, size_t len)
{
	FILE	   *maps = fopen("/proc/self/maps", "r");
	char		line[4096];
	bool		found = false;

	while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL)
	{
		unsigned long begin;
		unsigned long end;
		char		rights[5];

		/* a sanitizer's own are terabytes */
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, rights) == 3 &&
			strncmp(rights, "rw", 2) == 0 && end - begin < LARGEST_REGION)
			found = is_in_region((const unsigned char *) begin, (const unsigned char *) end,
								 masked, len);
	}
	if (maps != NULL)
		fclose(maps);
	return found;
}

NOT_SANITIZED static bool
is_in_region(const unsigned char *region, const unsigned char *end,
			 const unsigned char *masked, size_t len)
{
	for (; region + len <= end; region++)
	{
		size_t		n = 0;

		while (n < len && (region[n] ^ MASK) == masked[n])
			n++;
		if (n == len)
			return true;
	}
	return false;
}

/* A stage whose input has overflowed must not sign half a text. */
static void
test_failed_stages(void)
{
	PnvsTextBuffer input;
	PnvsTextBuffer out;

	exact_buffer_init(&input, 8);
	pnvs_text_buffer_append(&input, "too long for it");
	exact_buffer_init(&out, BIG);
	tap_ok(!pnvs_signature_string_to_sign(&out, &input),
		   "a canonical request that overflowed is not hashed");
	tap_ok(!pnvs_signature_authorization(&out, &input, "id", "secret", false),
		   "a string to sign that overflowed is not signed");
	tap_text(out.data, "", "nothing is written for a stage that failed before");
	exact_buffer_free(&out);
	exact_buffer_free(&input);
}

/* Runs one stage on the known answer of the one before. */
static bool
run_stage(int stage, const struct signature_vector *vector, PnvsTextBuffer *out)
{
	PnvsSignedRequest request;
	PnvsTextBuffer input;
	bool		done = false;

	request_of(vector, &request);
	exact_buffer_init(&input, BIG);
	switch (stage)
	{
		case 0:
			done = pnvs_signature_canonical_query(out, vector->parameters, vector->nparameters);
			break;
		case 1:
			done = pnvs_signature_canonical_request(out, &request);
			break;
		case 2:
			pnvs_text_buffer_append(&input, vector->canonical_request);
			done = pnvs_signature_string_to_sign(out, &input);
			break;
		case 3:
			pnvs_text_buffer_append(&input, "ACS3-HMAC-SHA256\n");
			pnvs_text_buffer_append(&input, vector->hashed_canonical_request);
			done = pnvs_signature_authorization(out, &input, vector->access_key_id,
												vector->access_key_secret,
												vector->security_token != NULL);
			break;
	}
	exact_buffer_free(&input);
	return done;
}

static void
request_of(const struct signature_vector *vector, PnvsSignedRequest *request)
{
	request->method = vector->method;
	request->host = vector->host;
	request->action = vector->action;
	request->version = vector->version;
	request->date = vector->date;
	request->nonce = vector->nonce;
	request->security_token = vector->security_token;
	request->canonical_query = vector->canonical_query;
}

/* NULL where it fails; else free() it. */
static char *
authorization_of(const char *string_to_sign, const char *secret)
{
	PnvsTextBuffer input;
	PnvsTextBuffer out;

	exact_buffer_init(&input, BIG);
	pnvs_text_buffer_append(&input, string_to_sign);
	exact_buffer_init(&out, BIG);
	if (!pnvs_signature_authorization(&out, &input, "id", secret, false))
		exact_buffer_free(&out);
	exact_buffer_free(&input);
	return out.data;
}
