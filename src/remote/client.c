/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Calls an operation of the service, and judges the answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errcodes.h"
#include "monotonic.h"
#include "remote/client.h"
#include "remote/signed_request.h"
#include "settings.h"

/* libcurl ends a call in time; if it does not, we do after so long. */
#define GRACE_MS 1000

/* A shorter word is no code, and hiding it would hide half a message. */
#define MIN_HIDDEN_LEN 4

struct PnvsCall
{
	const PnvsOperation *operation;
	const PnvsHttpRequest *request;
	PnvsHttpTransfer *transfer;
	PnvsSecrets secrets;		/* its reply must not repeat them */
	int64		end_us;			/* by the monotonic clock, after libcurl's */
};

static PnvsHttpRequest *make_request(const PnvsOperation *operation,
									 const char *const *values,
									 const PnvsCredentials *credentials);
static void set_timeouts(PnvsHttpRequest *request, PnvsTimeouts timeouts);
static void keep_secrets(PnvsSecrets *secrets, const PnvsOperation *operation,
						 const char *const *values, const PnvsCredentials *credentials);
static void keep_secret(PnvsSecrets *secrets, const char *word);
static void log_times(const PnvsCall *call, const PnvsHttpTimes *times);
static void perform(const PnvsOperation *operation, const char *const *values,
					PnvsTimeouts timeouts, PnvsAnswer *answer);
static void wait_for(const PnvsCall *call, PnvsAnswer *answer);
static WaitEventSet *wait_set(void);
static bool can_open_descriptor(void);
static void describe_wait(void *arg);

/*
 * Starts an operation with the settings of this moment.  values are indexed by the
 * operation's enumeration, in UTF-8, and NULL if left out; they are not kept.  The
 * call lives in the current memory context and is cancelled when that is reset.
 * Throws if it cannot be started; then nothing has been sent.
 */
PnvsCall *
pnvs_client_start(const PnvsOperation *operation, const char *const *values,
				  PnvsTimeouts timeouts)
{
	PnvsCall   *call = palloc(sizeof(PnvsCall));
	PnvsHttpRequest *request;
	PnvsCredentials credentials;

	pnvs_settings_refuse_if_invalid();
	pnvs_credentials_get(&credentials);
	keep_secrets(&call->secrets, operation, values, &credentials);
	call->operation = operation;
	request = make_request(operation, values, &credentials);
	set_timeouts(request, timeouts);
	call->request = request;
	call->end_us = pnvs_monotonic_us() +
		(int64) (call->request->request_timeout_ms + GRACE_MS) * 1000;
	call->transfer = pnvs_http_start(call->request);
	return call;
}

/* Whether the call has ended, well or not; pnvs_client_wait() moves it. */
bool
pnvs_client_is_done(const PnvsCall *call)
{
	return pnvs_http_is_done(call->transfer);
}

/*
 * How many milliseconds a call has left, 0 if it is done.  Ends a call that libcurl
 * should have ended long ago.
 */
long
pnvs_client_time_left_ms(const PnvsCall *call)
{
	long		left_ms;

	if (pnvs_client_is_done(call))
		return 0;
	left_ms = (long) ((call->end_us - pnvs_monotonic_us() + 999) / 1000);
	if (left_ms <= 0)
		pnvs_http_time_out(call->transfer);
	return Max(left_ms, 0);
}

/* Whether some of the request may have reached the service so far. */
bool
pnvs_client_maybe_sent(const PnvsCall *call)
{
	return pnvs_http_maybe_sent(call->transfer);
}

/* Makes the wait set of pnvs_client_wait(), or throws; then nothing has been sent. */
void
pnvs_client_prepare_to_wait(void)
{
	(void) wait_set();
}

/*
 * Waits for the latch and for the network, up to wait_ms milliseconds, or without
 * end if that is negative, and moves every call of the process as far as it gets.
 * Returns whether the latch was set; it is reset then, and the caller serves what it
 * was set for.
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
	answer->connect_timeout_ms = call->request->connect_timeout_ms;
	answer->request_timeout_ms = call->request->request_timeout_ms;
	pnvs_http_result(call->transfer, &answer->http);
	log_times(call, &answer->http.times);

	if (answer->http.fault == PNVS_HTTP_NO_FAULT)
	{
		answer->reply_fault = pnvs_reply_parse(answer->http.body, answer->http.body_len,
											   &call->secrets, &answer->reply);
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
											answer->reply.success);
	answer->succeeded = answer->outcome == PNVS_ACCEPTED;
}

/*
 * Performs an operation and waits for its answer, which is allocated in the
 * current memory context.  Interrupts are served at once; one that throws takes
 * the call back, and its message says how far the call had got.  Whatever ends the call,
 * even the end of the process, answer->http.maybe_sent says whether some of the request may
 * have reached the service.
 */
void
pnvs_client_call(const PnvsOperation *operation, const char *const *values,
				 PnvsTimeouts timeouts, PnvsAnswer *answer)
{
	PnvsRepeat	reason;
	int			repeated = 0;

	do
	{
		perform(operation, values, timeouts, answer);
		reason = pnvs_client_repeat(answer, repeated);
		repeated |= reason;
	} while (reason != PNVS_REPEAT_NONE);
}

/*
 * Why a call with this answer is to be made again at once, with the same values.
 * Each reason counts once; repeated holds those for which this call was made again
 * before.  The service did nothing when it gave such an answer.
 */
PnvsRepeat
pnvs_client_repeat(const PnvsAnswer *answer, int repeated)
{
	if (!(repeated & PNVS_REPEAT_CLOCK) &&
		answer->code_group == PNVS_CODE_CLOCK && answer->outcome == PNVS_REFUSED &&
		pnvs_signed_request_correct_clock(pnvs_http_server_time_s(&answer->http)))
		return PNVS_REPEAT_CLOCK;
	return PNVS_REPEAT_NONE;
}

/* The operation's request, signed, and sent by way of the settings. */
static PnvsHttpRequest *
make_request(const PnvsOperation *operation, const char *const *values,
			 const PnvsCredentials *credentials)
{
	PnvsQueryParameter parameters[PNVS_MAX_PARAMETERS + 1] = {0};
	PnvsHttpRequest *request;

	for (int i = 0; i < operation->nparameters; i++)
	{
		Assert(values[i] != NULL || !operation->parameters[i].required);
		parameters[i].name = operation->parameters[i].name;
		parameters[i].value = values[i];
	}
	request = pnvs_signed_request_make(pnvs_settings_endpoint(), credentials, operation->name,
									   PNVS_API_VERSION, parameters);
	request->ca_file = pnvs_ca_file;
	/* what is not encrypted goes to this machine alone */
	request->proxy = request->tls ? pnvs_proxy : "";
	return request;
}

static void
set_timeouts(PnvsHttpRequest *request, PnvsTimeouts timeouts)
{
	request->connect_timeout_ms = pnvs_settings_connect_timeout_ms();
	request->request_timeout_ms = pnvs_settings_request_timeout_ms();
	if (timeouts == PNVS_TIMEOUTS_AS_SET)
		return;
	request->connect_timeout_ms = Max(request->connect_timeout_ms, PNVS_CONNECT_TIMEOUT_S * 1000);
	request->request_timeout_ms = Max(request->request_timeout_ms, PNVS_REQUEST_TIMEOUT_S * 1000);
}

/* The service is told these words and may quote them; it is not told the key's secret. */
static void
keep_secrets(PnvsSecrets *secrets, const PnvsOperation *operation,
			 const char *const *values, const PnvsCredentials *credentials)
{
	secrets->nwords = 0;
	keep_secret(secrets, credentials->access_key_id);
	keep_secret(secrets, credentials->security_token);
	secrets->ncredentials = secrets->nwords;
	for (int i = 0; i < operation->nparameters; i++)
	{
		if (operation->parameters[i].sensitivity != PNVS_PLAIN)
			keep_secret(secrets, values[i]);
	}
}

static void
keep_secret(PnvsSecrets *secrets, const char *word)
{
	if (word != NULL && strlen(word) >= MIN_HIDDEN_LEN)
		secrets->words[secrets->nwords++] = pstrdup(word);
}

/* What a call has waited for, without anything that it said. */
static void
log_times(const PnvsCall *call, const PnvsHttpTimes *times)
{
	/* a cancel that is served here would lose the reply */
	HOLD_INTERRUPTS();
	ereport(DEBUG1,
			(errmsg_internal("pnvs: %s took " INT64_FORMAT " us: name " INT64_FORMAT
							 ", connection " INT64_FORMAT ", TLS " INT64_FORMAT
							 ", first byte " INT64_FORMAT,
							 call->operation->name, times->total_us, times->looked_up_us,
							 times->connected_us, times->secured_us, times->first_byte_us),
			 pnvs_errhide()));
	RESUME_INTERRUPTS();
}

/* One request and its answer. */
static void
perform(const PnvsOperation *operation, const char *const *values, PnvsTimeouts timeouts,
		PnvsAnswer *answer)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;

	answer->http.maybe_sent = false;
	/* a cancel that is pending before the call must not cost a message */
	wait_for(NULL, answer);
	pnvs_client_prepare_to_wait();
	context = AllocSetContextCreate(caller, "pnvs call", ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		PnvsCall   *call;

		MemoryContextSwitchTo(context);
		call = pnvs_client_start(operation, values, timeouts);
		wait_for(call, answer);
		MemoryContextSwitchTo(caller);
		pnvs_client_finish(call, answer);
		answer->http.body = NULL;
	}
	PG_FINALLY();
	{
		/*
		 * Not left to the caller's context: a PL/pgSQL block that traps a
		 * cancel keeps that one, and so the request.
		 */
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
	}
	PG_END_TRY();
}

/*
 * Waits for the end of a call, on the latch and on the network together, and serves
 * interrupts; without a call, only those that are pending.  The answer is told how far the
 * call has got before an interrupt is served.
 */
static void
wait_for(const PnvsCall *call, PnvsAnswer *answer)
{
	static uint32 wait_event = 0;
	ErrorContextCallback context;
	long		left_ms;

	pnvs_name_wait_event(&wait_event, "PnvsReply");
	context.callback = describe_wait;
	context.arg = unconstify(PnvsCall *, call);
	context.previous = error_context_stack;
	error_context_stack = &context;
	if (call == NULL)
		CHECK_FOR_INTERRUPTS();
	if (call != NULL)
		answer->http.maybe_sent = pnvs_client_maybe_sent(call);
	while (call != NULL && (left_ms = pnvs_client_time_left_ms(call)) > 0)
	{
		bool		latch_set = pnvs_client_wait(left_ms, wait_event);

		answer->http.maybe_sent = pnvs_client_maybe_sent(call);
		if (latch_set)
			CHECK_FOR_INTERRUPTS();
	}
	error_context_stack = context.previous;
}

/*
 * The set of every wait of this process.  WaitLatchOrSocket() would make, fill and
 * close a set for each wait, by five system calls.
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

/* Tried first, because PostgreSQL's error about a wait set has no SQLSTATE of its own. */
static bool
can_open_descriptor(void)
{
	int			descriptor = dup(pnvs_http_descriptor());

	return descriptor >= 0 && close(descriptor) == 0;
}

/*
 * Error context callback: says how far the call (NULL before it began) had got when
 * something else, such as a cancel, ended it.  Like our own errors this tells the
 * client and keeps the statement out of the log.
 *
 * Drivers repeat a statement that ended for a conflict with recovery on a standby or
 * for a lack of memory.  That must not send a second message, so such an error gets
 * our code if the request may have been sent.
 */
static void
describe_wait(void *arg)
{
	const PnvsCall *call = arg;
	bool		maybe_sent = call && pnvs_http_maybe_sent(call->transfer);
	int			category = ERRCODE_TO_CATEGORY(geterrcode());
	const char *stage = pnvs_stage_name(call ? pnvs_http_stage(call->transfer) : PNVS_STAGE_RESOLVE);

	pnvs_errhide();
	errcontext("call of the verification service: sent=%s stage=%s",
			   maybe_sent ? "maybe" : "no", stage);
	if (maybe_sent && (category == ERRCODE_TRANSACTION_ROLLBACK ||
					   category == ERRCODE_INSUFFICIENT_RESOURCES))
	{
		errcode(PNVS_ERRCODE_MAYBE_SENT);
		errdetail("sent=maybe stage=%s: This server's transaction could not go on.", stage);
		errhint("The service may have received the request. Look with search_verification() before you repeat it.");
	}
}
