/*-------------------------------------------------------------------------
 *
 * signed_request.c
 *	  Makes a signed HTTP request of an action and its parameters.
 *
 * Clocks.  The service refuses a request whose time stamp is more than 15
 * minutes off.  Such a refusal is answered once, with the clock of the
 * service's own Date header, and the difference is kept for the requests that
 * follow in this process; that a clock is set right later is found out in the
 * same way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"

#include "compat.h"
#include "core/encoding.h"
#include "core/signature.h"
#include "errcodes.h"
#include "remote/signed_request.h"
#include "settings.h"

#define USER_AGENT "pnvs/1.0"
#define NONCE_LEN 16

/* OpenSSL takes as long for 16 bytes as for a thousand. */
#define NONCES_IN_STOCK 64

/*
 * A time zone that is taken for another, or a day.  What somebody else makes of the
 * Date header is signed: a request for next year would be good until then.
 */
#define MAX_CLOCK_OFFSET_S INT64CONST(86400)

/*
 * The longest query is a check's: a code of 16 characters, a verification ID
 * and a service ID, every byte of them encoded.
 */
#define QUERY_SIZE 4096
#define CANONICAL_REQUEST_SIZE (QUERY_SIZE + PNVS_MAX_SECURITY_TOKEN_LEN + 1024)
#define AUTHORIZATION_SIZE 512
#define MAX_HEADERS 16
#define HEADERS_SIZE 2048		/* beside the security token's */

/* What one request says beside its query. */
typedef struct Stamp
{
	char		date[PNVS_UTC_TIMESTAMP_SIZE];
	char		nonce[NONCE_LEN * 2 + 1];
} Stamp;

/* The service's clock minus ours, in seconds. */
static int64 clock_offset_s = 0;

static bool is_near(int64 offset_s);
static void make_stamp(Stamp *stamp);
static void make_authorization(const PnvsSignedRequest *request,
							   const PnvsCredentials *credentials,
							   PnvsTextBuffer *authorization);
static const char **make_headers(const PnvsSignedRequest *request,
								 const char *authorization);
static const char *make_header(PnvsTextBuffer *texts, const char *name,
							   const char *value);
pg_noreturn static void signing_failed(void);

/*
 * Makes a POST with an empty body that may not be repeated.  The caller fills in
 * how it is sent: authorities, proxy, time-outs.  parameters are in UTF-8 and end
 * with one without a name; one without a value is left out.  The request is
 * allocated in the current memory context, except for the origin, which is the
 * endpoint's.  Throws if it cannot be signed.
 */
PnvsHttpRequest *
pnvs_signed_request_make(const PnvsEndpoint *endpoint, const PnvsCredentials *credentials,
						 const char *action, const char *version,
						 const PnvsQueryParameter *parameters)
{
	PnvsHttpRequest *http = palloc0(sizeof(PnvsHttpRequest));
	PnvsSignedRequest request;
	PnvsTextBuffer query;
	PnvsTextBuffer authorization;
	Stamp		stamp;
	char		target[2 + QUERY_SIZE];
	char		authorization_data[AUTHORIZATION_SIZE];
	int			nparameters = 0;

	make_stamp(&stamp);
	while (parameters[nparameters].name != NULL)
		nparameters++;
	memcpy(target, "/?", 2);
	pnvs_text_buffer_init(&query, target + 2, QUERY_SIZE);
	if (!pnvs_signature_canonical_query(&query, parameters, nparameters))
		signing_failed();

	http->method = request.method = "POST";
	request.host = endpoint->host_header;
	request.action = action;
	request.version = version;
	request.date = stamp.date;
	request.nonce = stamp.nonce;
	request.security_token = credentials->security_token;
	request.canonical_query = query.data;
	pnvs_text_buffer_init(&authorization, authorization_data, sizeof(authorization_data));
	make_authorization(&request, credentials, &authorization);

	http->origin = endpoint->origin;
	http->target = pstrdup(target);
	http->headers = make_headers(&request, authorization.data);
	http->body = "";
	http->tls = endpoint->tls;
	return http;
}

/*
 * Takes over the service's clock, in seconds since the epoch, or -1 where it is
 * not known.  False where it is none.
 */
bool
pnvs_signed_request_correct_clock(int64 server_time_s)
{
	int64		offset_s = server_time_s - (int64) time(NULL);

	if (server_time_s < 0 || !is_near(offset_s))
		return false;
	clock_offset_s = offset_s;
	return true;
}

/* Whether a clock may be followed; the log says once that one is not. */
static bool
is_near(int64 offset_s)
{
	static bool told = false;
	bool		near = offset_s <= MAX_CLOCK_OFFSET_S && offset_s >= -MAX_CLOCK_OFFSET_S;

	if (!near && !told)
		ereport(LOG,
				(errmsg("pnvs does not follow the clock of the verification service, which is more than a day off"),
				 errhint("Set the clock of this server."),
				 pnvs_errhide()));
	told = !near;
	return near;
}

/* The time, by the service's clock as far as it is known, and a new nonce. */
static void
make_stamp(Stamp *stamp)
{
	static unsigned char random[NONCES_IN_STOCK][NONCE_LEN];
	static int	nrandom = 0;
	PnvsTextBuffer nonce;

	if ((nrandom == 0 && !pg_strong_random(random, sizeof(random))) ||
		!pnvs_encoding_utc_timestamp((int64) time(NULL) + clock_offset_s, stamp->date))
		signing_failed();
	pnvs_text_buffer_init(&nonce, stamp->nonce, sizeof(stamp->nonce));
	if (nrandom == 0)
		nrandom = NONCES_IN_STOCK;
	pnvs_encoding_append_hex(&nonce, random[--nrandom], NONCE_LEN);
}

static void
make_authorization(const PnvsSignedRequest *request, const PnvsCredentials *credentials,
				   PnvsTextBuffer *authorization)
{
	char		canonical_request_data[CANONICAL_REQUEST_SIZE];
	char		string_to_sign_data[PNVS_STRING_TO_SIGN_SIZE];
	PnvsTextBuffer canonical_request;
	PnvsTextBuffer string_to_sign;

	/*
	 * Where it is deepest: after the send, PostgreSQL's JSON parser looks at
	 * the stack, and then the verification ID would be lost.
	 */
	check_stack_depth();

	pnvs_text_buffer_init(&canonical_request, canonical_request_data,
						  sizeof(canonical_request_data));
	pnvs_text_buffer_init(&string_to_sign, string_to_sign_data,
						  sizeof(string_to_sign_data));
	if (!pnvs_signature_canonical_request(&canonical_request, request) ||
		!pnvs_signature_string_to_sign(&string_to_sign, &canonical_request) ||
		!pnvs_signature_authorization(authorization, &string_to_sign,
									  credentials->access_key_id,
									  credentials->access_key_secret,
									  credentials->security_token != NULL))
		signing_failed();
}

/*
 * The request's headers, NULL-terminated, in the current memory context.  An
 * empty value stops libcurl from adding that header by itself: it would not be
 * among those that are signed.
 */
static const char **
make_headers(const PnvsSignedRequest *request, const char *authorization)
{
	const char **headers = palloc(MAX_HEADERS * sizeof(char *));
	size_t		size = HEADERS_SIZE;
	PnvsTextBuffer texts;
	int			n = 0;

	if (request->security_token)
		size += strlen(request->security_token);
	pnvs_text_buffer_init(&texts, palloc(size), size);
	headers[n++] = "Accept: application/json";
	headers[n++] = "Content-Type:";
	headers[n++] = "User-Agent: " USER_AGENT;
	headers[n++] = make_header(&texts, "Host: ", request->host);
	headers[n++] = make_header(&texts, "x-acs-action: ", request->action);
	headers[n++] = "x-acs-content-sha256: " PNVS_EMPTY_BODY_SHA256;
	headers[n++] = make_header(&texts, "x-acs-date: ", request->date);
	headers[n++] = make_header(&texts, "x-acs-signature-nonce: ", request->nonce);
	headers[n++] = make_header(&texts, "x-acs-version: ", request->version);
	if (request->security_token)
		headers[n++] = make_header(&texts, "x-acs-security-token: ",
								   request->security_token);
	headers[n++] = make_header(&texts, "Authorization: ", authorization);
	headers[n] = NULL;
	if (texts.overflowed)
		signing_failed();
	return headers;
}

/* A header, with its NUL, at the end of texts. */
static const char *
make_header(PnvsTextBuffer *texts, const char *name, const char *value)
{
	const char *header = texts->data + texts->len;

	pnvs_text_buffer_append(texts, name);
	pnvs_text_buffer_append(texts, value);
	pnvs_text_buffer_append_len(texts, "", 1);
	return header;
}

static void
signing_failed(void)
{
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_UNSENT),
			 errmsg("could not sign a request to the verification service"),
			 errdetail("sent=no stage=resolve: OpenSSL or the clock failed."),
			 errhint("Nothing was sent. Check the clock and the OpenSSL library of this server."),
			 pnvs_errhide()));
}
