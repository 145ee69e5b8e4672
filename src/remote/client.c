/*-------------------------------------------------------------------------
 *
 * client.c
 *	  One operation of the service, from its parameters to its answer.
 *
 * Clocks.  The service refuses a request whose time stamp is more than 15
 * minutes off.  Such a refusal is answered once, with the clock of the
 * service's own Date header, and the difference is kept for the calls that
 * follow in this process; that a clock is set right later is found out in the
 * same way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/encoding.h"
#include "core/signature.h"
#include "errcodes.h"
#include "remote/client.h"
#include "remote/credentials.h"
#include "settings.h"

#define USER_AGENT "pnvs/1.0"
#define NONCE_LEN 16

/* OpenSSL takes as long for 16 bytes as for a thousand. */
#define NONCES_IN_STOCK 64

/* A clock that is wrong by more than years is somebody's mistake. */
#define MAX_CLOCK_OFFSET_S (INT64CONST(100) * 365 * 86400)

/*
 * The longest query is a check's: a code of 16 characters, a verification ID
 * and a service ID, every byte of them encoded.
 */
#define QUERY_SIZE 4096
#define URL_SIZE (QUERY_SIZE + PNVS_ENDPOINT_HOST_SIZE + sizeof("https:///?"))
#define CANONICAL_REQUEST_SIZE (QUERY_SIZE + PNVS_MAX_SECURITY_TOKEN_LEN + 1024)
#define AUTHORIZATION_SIZE 512
#define MAX_HEADERS 16

/* libcurl ends a call by itself in time; only where it does not, we do. */
#define GRACE_MS 1000
#define HEADERS_SIZE (PNVS_MAX_SECURITY_TOKEN_LEN + 2048)

struct PnvsCall
{
	PnvsHttpTransfer *transfer;
	int			connect_timeout_ms;
	int			request_timeout_ms;
	TimestampTz end;			/* by our own clock, some time after libcurl's */
};

/* What one request says beside its query. */
typedef struct Stamp
{
	char		date[PNVS_UTC_TIMESTAMP_SIZE];
	char		nonce[NONCE_LEN * 2 + 1];
} Stamp;

/* The service's clock minus ours, in seconds. */
static int64 clock_offset_s = 0;

static void make_stamp(Stamp *stamp);
static void make_query(const PnvsOperation *operation, const char *const *values,
					   PnvsTextBuffer *query);
static void make_authorization(const PnvsSignedRequest *request,
							   const PnvsCredentials *credentials,
							   PnvsTextBuffer *authorization);
static const char **make_headers(const PnvsSignedRequest *request,
								 const char *authorization);
static const char *make_header(PnvsTextBuffer *texts, const char *name,
							   const char *value);
static void perform(const PnvsOperation *operation, const char *const *values,
					PnvsAnswer *answer);
static void serve_interrupts(void);
static void wait_for(const PnvsCall *call);
static WaitEventSet *wait_set(void);
static bool can_open_descriptor(void);
static void describe_wait(void *arg);
pg_noreturn static void signing_failed(void);

/*
 * Starts an operation with the settings of this moment.  values are by the
 * operation's own enumeration, in UTF-8, NULL where left out; they are not
 * kept.  The call lives in the current memory context and is given up when that
 * is reset.  Throws where it cannot be started; then nothing has been sent.
 */
PnvsCall *
pnvs_client_start(const PnvsOperation *operation, const char *const *values)
{
	const PnvsEndpoint *endpoint = pnvs_settings_endpoint();
	PnvsCredentials credentials;
	PnvsSignedRequest request;
	PnvsHttpRequest http;
	PnvsTextBuffer query;
	PnvsTextBuffer authorization;
	Stamp		stamp;
	char		query_data[QUERY_SIZE];
	char		authorization_data[AUTHORIZATION_SIZE];
	char		url[URL_SIZE];
	PnvsCall   *call = palloc(sizeof(PnvsCall));

	pnvs_credentials_get(&credentials);
	make_stamp(&stamp);
	pnvs_text_buffer_init(&query, query_data, sizeof(query_data));
	make_query(operation, values, &query);

	request.method = "POST";
	request.host = endpoint->host_header;
	request.action = operation->name;
	request.version = PNVS_API_VERSION;
	request.date = stamp.date;
	request.nonce = stamp.nonce;
	request.security_token = credentials.security_token;
	request.canonical_query = query.data;
	pnvs_text_buffer_init(&authorization, authorization_data, sizeof(authorization_data));
	make_authorization(&request, &credentials, &authorization);

	snprintf(url, sizeof(url), "%s://%s/?%s", endpoint->tls ? "https" : "http",
			 endpoint->host_header, query.data);
	http.url = url;
	http.headers = make_headers(&request, authorization.data);
	http.tls = endpoint->tls;
	http.ca_file = pnvs_ca_file;
	http.proxy = pnvs_proxy;
	http.connect_timeout_ms = call->connect_timeout_ms = pnvs_connect_timeout_ms;
	http.request_timeout_ms = call->request_timeout_ms = pnvs_request_timeout_ms;
	call->end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											call->request_timeout_ms + GRACE_MS);
	call->transfer = pnvs_http_start(&http);
	return call;
}

/* Whether the call has ended, well or not; pnvs_client_wait() moves it. */
bool
pnvs_client_is_done(const PnvsCall *call)
{
	return pnvs_http_is_done(call->transfer);
}

/*
 * Ends a call that libcurl should have ended long ago.  Returns how many
 * milliseconds it has left otherwise, and 0 where it is done.
 */
long
pnvs_client_time_left_ms(const PnvsCall *call)
{
	long		left_ms;

	if (pnvs_client_is_done(call))
		return 0;
	left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), call->end);
	if (left_ms <= 0)
		pnvs_http_time_out(call->transfer);
	return Max(left_ms, 0);
}

/* How far a call has got that is still under way. */
bool
pnvs_client_maybe_sent(const PnvsCall *call)
{
	return pnvs_http_maybe_sent(call->transfer);
}

/*
 * Opens what pnvs_client_wait() waits with, or throws: nothing has been sent
 * then.
 */
void
pnvs_client_prepare_to_wait(void)
{
	(void) wait_set();
}

/* So many calls at once are to find a kept connection. */
void
pnvs_client_expect_calls(int ncalls)
{
	pnvs_http_keep_connections(ncalls);
}

/*
 * Waits for the latch and for the network, wait_ms milliseconds at the most, or
 * without end where that is negative, and moves every call of the process as
 * far as it gets.  Returns whether the latch was set; it is reset then, and
 * serving what it was set for is left to the caller.
 */
bool
pnvs_client_wait(long wait_ms, uint32 wait_event)
{
	WaitEvent	happened;
	bool		latch_set;

	latch_set = WaitEventSetWait(wait_set(), wait_ms, &happened, 1, wait_event) == 1 &&
		(happened.events & WL_LATCH_SET);
	if (latch_set)
		ResetLatch(MyLatch);
	pnvs_http_advance();
	return latch_set;
}

/*
 * Judges a call that is done.  The answer's texts are allocated in the current
 * memory context; http.body belongs to the call.
 */
void
pnvs_client_finish(PnvsCall *call, PnvsAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->connect_timeout_ms = call->connect_timeout_ms;
	answer->request_timeout_ms = call->request_timeout_ms;
	pnvs_http_result(call->transfer, &answer->http);

	if (answer->http.fault == PNVS_HTTP_NO_FAULT)
	{
		answer->reply_fault = pnvs_reply_parse(answer->http.body, answer->http.body_len,
											   &answer->reply);
		answer->has_reply = answer->reply_fault == PNVS_REPLY_OK;
	}
	if (!answer->has_reply)
	{
		answer->code_group = PNVS_CODE_UNKNOWN;
		answer->outcome = pnvs_outcome_of_failure(answer->http.maybe_sent);
		return;
	}
	answer->code_group = pnvs_code_group(answer->reply.code);
	answer->outcome = pnvs_outcome_of_reply(answer->http.status, answer->reply.code,
											answer->reply.success, false);
	answer->succeeded = answer->outcome == PNVS_ACCEPTED;
}

/*
 * Performs an operation and waits for its answer, which is allocated in the
 * current memory context.  Interrupts are served at once; one that throws takes
 * the call back, and its message says how far the call had got.
 */
void
pnvs_client_call(const PnvsOperation *operation, const char *const *values,
				 PnvsAnswer *answer)
{
	perform(operation, values, answer);
	if (pnvs_client_correct_clock(answer))
		perform(operation, values, answer);
}

/*
 * Whether the service refused the request for its time stamp and has told the
 * time, so that another try is worth it.
 */
bool
pnvs_client_correct_clock(const PnvsAnswer *answer)
{
	int64		server_time_s;
	int64		offset_s;

	if (answer->code_group != PNVS_CODE_CLOCK || answer->outcome != PNVS_REFUSED)
		return false;
	server_time_s = pnvs_http_server_time_s(&answer->http);
	if (server_time_s < 0)
		return false;
	offset_s = server_time_s - (int64) time(NULL);
	if (offset_s > MAX_CLOCK_OFFSET_S || offset_s < -MAX_CLOCK_OFFSET_S)
		return false;
	clock_offset_s = offset_s;
	return true;
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
make_query(const PnvsOperation *operation, const char *const *values,
		   PnvsTextBuffer *query)
{
	PnvsQueryParameter parameters[PNVS_MAX_PARAMETERS];

	for (int i = 0; i < operation->nparameters; i++)
	{
		Assert(values[i] != NULL || !operation->parameters[i].required);
		parameters[i].name = operation->parameters[i].name;
		parameters[i].value = values[i];
	}
	if (!pnvs_signature_canonical_query(query, parameters, operation->nparameters))
		signing_failed();
}

static void
make_authorization(const PnvsSignedRequest *request, const PnvsCredentials *credentials,
				   PnvsTextBuffer *authorization)
{
	char		canonical_request_data[CANONICAL_REQUEST_SIZE];
	char		string_to_sign_data[PNVS_STRING_TO_SIGN_SIZE];
	PnvsTextBuffer canonical_request;
	PnvsTextBuffer string_to_sign;

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
	PnvsTextBuffer texts;
	int			n = 0;

	pnvs_text_buffer_init(&texts, palloc(HEADERS_SIZE), HEADERS_SIZE);
	headers[n++] = "Accept: application/json";
	headers[n++] = "Content-Type:";
	headers[n++] = "Expect:";
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

/* One request and its answer. */
static void
perform(const PnvsOperation *operation, const char *const *values, PnvsAnswer *answer)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;

	serve_interrupts();
	(void) wait_set();
	context = AllocSetContextCreate(caller, "pnvs call", ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		PnvsCall   *call;

		MemoryContextSwitchTo(context);
		call = pnvs_client_start(operation, values);
		wait_for(call);
		MemoryContextSwitchTo(caller);
		pnvs_client_finish(call, answer);
		answer->http.body = NULL;
	}
	PG_FINALLY();
	{
		/*
		 * Not left to the caller's context: in a PL/pgSQL block that traps a
		 * cancel, that one lives on, and the request with it.
		 */
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
	}
	PG_END_TRY();
}

/* A cancel that is waiting before a call must not cost a message. */
static void
serve_interrupts(void)
{
	ErrorContextCallback context;

	context.callback = describe_wait;
	context.arg = NULL;
	context.previous = error_context_stack;
	error_context_stack = &context;
	CHECK_FOR_INTERRUPTS();
	error_context_stack = context.previous;
}

/* Waits for the end of a call, on the latch and on the network together. */
static void
wait_for(const PnvsCall *call)
{
	static uint32 wait_event = 0;
	ErrorContextCallback context;

	if (wait_event == 0)
		wait_event = pnvs_new_wait_event("PnvsReply");

	context.callback = describe_wait;
	context.arg = unconstify(PnvsCall *, call);
	context.previous = error_context_stack;
	error_context_stack = &context;
	for (;;)
	{
		long		left_ms = pnvs_client_time_left_ms(call);

		if (left_ms == 0)
			break;
		if (pnvs_client_wait(left_ms, wait_event))
			CHECK_FOR_INTERRUPTS();
	}
	error_context_stack = context.previous;
}

/*
 * What every wait of this process is for.  WaitLatchOrSocket() would make, fill
 * and close such a set for each wait, by five system calls.
 */
static WaitEventSet *
wait_set(void)
{
	static WaitEventSet *kept = NULL;
	WaitEventSet *set;

	if (kept != NULL)
		return kept;
	if (!can_open_descriptor())
		ereport(ERROR,
				(errcode(PNVS_ERRCODE_UNSENT),
				 errmsg("could not create a descriptor to wait on"),
				 errdetail("sent=no stage=resolve: %m"),
				 errhint("The session has run out of file descriptors."),
				 pnvs_errhide()));
	set = pnvs_create_wait_event_set(3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, pnvs_http_descriptor(), NULL, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	kept = set;
	return set;
}

/* PostgreSQL's own error about a wait set would have no SQLSTATE to tell by. */
static bool
can_open_descriptor(void)
{
	int			descriptor = dup(pnvs_http_descriptor());

	return descriptor >= 0 && close(descriptor) == 0;
}

/*
 * Error context callback: says how far the call (NULL before it began) had got
 * when something else, such as a cancel, ended it.  Like our own errors it says so to the client and
 * keeps the statement out of the log.
 */
static void
describe_wait(void *arg)
{
	const PnvsCall *call = arg;

	pnvs_errhide();
	errcontext("call of the verification service: sent=%s stage=%s",
			   call && pnvs_http_maybe_sent(call->transfer) ? "maybe" : "no",
			   pnvs_stage_name(call ? pnvs_http_stage(call->transfer) : PNVS_STAGE_RESOLVE));
}

static void
signing_failed(void)
{
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_UNSENT),
			 errmsg("could not sign a request to the verification service"),
			 errdetail("sent=no stage=resolve: OpenSSL or the clock failed."),
			 pnvs_errhide()));
}
