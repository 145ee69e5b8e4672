/*-------------------------------------------------------------------------
 *
 * signed_request.c
 *	  Makes a signed HTTP request of an action and its parameters.
 *
 * The service refuses a request whose time stamp is more than 15 minutes off, and
 * tells its time in the Date header.  The difference is kept and corrects the
 * requests that follow in this process, until another refusal replaces it.
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
#include "random.h"
#include "remote/signed_request.h"
#include "settings.h"

#define USER_AGENT "pnvs/1.0"
#define NONCE_LEN 16

/*
 * Enough for a wrong time zone or date.  Whoever forges the Date header chooses the
 * time stamp that we sign: a request for next year could be used until then.
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

typedef struct Stamp
{
	char		date[PNVS_UTC_TIMESTAMP_SIZE];
	char		nonce[NONCE_LEN * 2 + 1];
} Stamp;

/* The service's clock minus ours, in seconds. */
static int64 clock_offset_s = 0;

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
 * Follows the service's clock, in seconds since the epoch or -1 if not known.
 * False if it is not followed; the log says once that it is too far off.
 */
bool
pnvs_signed_request_correct_clock(int64 server_time_s)
{
	static bool told = false;
	int64		offset_s = server_time_s - (int64) time(NULL);
	bool		near = offset_s <= MAX_CLOCK_OFFSET_S && offset_s >= -MAX_CLOCK_OFFSET_S;

	if (server_time_s < 0)
		return false;
	if (near)
		clock_offset_s = offset_s;
	else if (!told)
		ereport(LOG,
				(errmsg("pnvs does not follow the clock of the verification service, which is more than a day off"),
				 errhint("Set the clock of this server."),
				 pnvs_errhide()));
	told = !near;
	return near;
}

/* The time, by the service's clock if that is known, and a new nonce. */
static void
make_stamp(Stamp *stamp)
{
	unsigned char random[NONCE_LEN];
	PnvsTextBuffer nonce;

	pnvs_random(random, sizeof(random));
	if (!pnvs_encoding_utc_timestamp((int64) time(NULL) + clock_offset_s, stamp->date))
		signing_failed();
	pnvs_text_buffer_init(&nonce, stamp->nonce, sizeof(stamp->nonce));
	pnvs_encoding_append_hex(&nonce, random, NONCE_LEN);
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
	 * Checked before the send, where the stack is deepest: PostgreSQL's JSON
	 * parser checks it after the send, and would lose the verification ID.
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
 * The request's headers, with a NULL at the end, in the current memory context.  A
 * header without a value stops libcurl from adding it unsigned.
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

/* Appends a header to texts, with its NUL. */
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
