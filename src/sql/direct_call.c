/*-------------------------------------------------------------------------
 *
 * direct_call.c
 *	  start_verification(), check_verification() and check_queued_verification():
 *	  call the service at once, and return its answer as a row.
 *
 * The guard is asked before the request.  Its places are not undone by ROLLBACK: the
 * message has gone out.  They are given back if the request provably came to nothing,
 * also if the session ends before it was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "core/phone_number.h"
#include "guard/test_answer.h"
#include "settings.h"
#include "sql/sql.h"
#include "verification/verification.h"

PG_FUNCTION_INFO_V1(pnvs_start_verification);
PG_FUNCTION_INFO_V1(pnvs_check_verification);
PG_FUNCTION_INFO_V1(pnvs_check_queued_verification);

/* Of start_verification_result and check_verification_result. */
static const Oid start_types[] = {
	TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, INT4OID
};
static const Oid check_types[] = {
	TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID
};

typedef struct DirectCall
{
	PnvsCallState state;		/* operation and answer */
	const char *values[PNVS_MAX_PARAMETERS];
	bool		is_check;
	bool		is_test;		/* of a test number: answered without the
								 * service */
	bool		approved;		/* by the answer to a check */

	/* for the guard */
	const char *rate_key;
	bool		trusted;
	PnvsAdmission sent;			/* of the queued message that is checked */

	/* from the guard */
	PnvsAdmission admission;	/* of a message */
	PnvsTry		try;			/* of a check */
	PnvsDirectCheck verified;	/* the same, of the message's verification */
} DirectCall;

static Datum start(PG_FUNCTION_ARGS);
static Datum check(PG_FUNCTION_ARGS);
static Datum check_queued(PG_FUNCTION_ARGS);
static Datum call_service(FunctionCallInfo fcinfo, DirectCall *call);
static void perform(DirectCall *call);
static void ask_guard(DirectCall *call);
static void take_try(DirectCall *call);
static void answer_test(DirectCall *call);
static void give_back_if_unsent(int code, Datum arg);
static void tell_guard(const DirectCall *call);
static void give_back(const DirectCall *call);
static void approve(const DirectCall *call);
static void add_columns(PnvsRow *row, const DirectCall *call);

/*
 * start_verification(channel text, "to" text, service_sid text,
 *					  rate_key text, trusted boolean)
 *
 * Sends a code over a channel.  The row is the service's answer, even a refusal.
 */
Datum
pnvs_start_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(start, fcinfo);
}

static Datum
start(PG_FUNCTION_ARGS)
{
	DirectCall	call = {.state.operation = pnvs_operation_get(PNVS_START_VERIFICATION)};

	call.values[PNVS_START_CHANNEL] = pnvs_argument_channel(fcinfo, 0);
	call.values[PNVS_START_TO] = pnvs_argument_recipient(fcinfo, 1);
	call.values[PNVS_START_SERVICE_SID] = pnvs_argument_required_service_sid(fcinfo, 2);
	call.rate_key = pnvs_argument_rate_key(fcinfo, 3);
	call.trusted = pnvs_argument_flag(fcinfo, 4);
	return call_service(fcinfo, &call);
}

/*
 * check_verification(code text, verification_id text, "to" text,
 *					  service_sid text)
 *
 * Asks the service whether code is the one that it sent.
 */
Datum
pnvs_check_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(check, fcinfo);
}

static Datum
check(PG_FUNCTION_ARGS)
{
	DirectCall	call = {.state.operation = pnvs_operation_get(PNVS_CHECK_VERIFICATION),.is_check = true};

	call.values[PNVS_CHECK_CODE] =
		pnvs_argument_required(pnvs_argument_typed_code(fcinfo, 0), "code");
	call.values[PNVS_CHECK_VERIFICATION_ID] =
		pnvs_argument_required(pnvs_argument_verification_id(fcinfo, 1), "verification_id");
	call.values[PNVS_CHECK_TO] = pnvs_argument_number(fcinfo, 2);
	call.values[PNVS_CHECK_SERVICE_SID] = pnvs_argument_service_sid(fcinfo, 3);
	return call_service(fcinfo, &call);
}

/*
 * check_queued_verification(code text, id bigint, "to" text)
 *
 * The same for a queued message, by its ID.  The name differs because drivers send
 * parameters without a type: of two functions with one name, PostgreSQL would then
 * choose the one for text.
 */
Datum
pnvs_check_queued_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(check_queued, fcinfo);
}

static Datum
check_queued(PG_FUNCTION_ARGS)
{
	DirectCall	call = {.state.operation = pnvs_operation_get(PNVS_CHECK_VERIFICATION),.is_check = true};
	PnvsQueueRow row;

	call.values[PNVS_CHECK_CODE] =
		pnvs_argument_required(pnvs_argument_typed_code(fcinfo, 0), "code");
	call.values[PNVS_CHECK_TO] = pnvs_argument_number(fcinfo, 2);
	pnvs_argument_find_row(pnvs_argument_queue_id(fcinfo, 1), &row);
	if (row.verification_id == NULL)
		pnvs_argument_refuse("the queued message has no verification to check",
							 psprintf("Its state is \"%s\".", row.state));
	call.values[PNVS_CHECK_VERIFICATION_ID] = row.verification_id;
	call.values[PNVS_CHECK_SERVICE_SID] = row.service_sid;
	call.sent = row.admission;
	return call_service(fcinfo, &call);
}

/*
 * One request and its row.  A repeat within one statement gets the first answer: it
 * would send a second message, or check a code that its first check has spent.
 */
static Datum
call_service(FunctionCallInfo fcinfo, DirectCall *call)
{
	ErrorContextCallback context = {error_context_stack, pnvs_failure_out_of_memory, &call->state};
	const PnvsAnswer *answer = &call->state.answer;
	PnvsMemoKey key;
	PnvsRow		row;
	Datum		result;

	pnvs_memo_key(&key, call->state.operation->name, call->values,
				  call->state.operation->nparameters);
	if (pnvs_memo_find(fcinfo, &key, &result))
		return result;

	if (call->is_check)
		pnvs_row_begin(&row, fcinfo, check_types, lengthof(check_types));
	else
		pnvs_row_begin(&row, fcinfo, start_types, lengthof(start_types));
	error_context_stack = &context;
	perform(call);
	pnvs_failure_throw_if_unjudged(&call->state);
	if (pnvs_on_failure == PNVS_ON_FAILURE_ERROR &&
		!(call->is_check && pnvs_client_may_mean_wrong_code(answer)))
		pnvs_failure_throw_if_refused(&call->state);

	add_columns(&row, call);
	result = pnvs_row_finish(&row);
	pnvs_memo_keep(fcinfo, &key, result, false);
	error_context_stack = context.previous;
	return result;
}

/* The request, between the guard's admission and what the guard is to know of its end. */
static void
perform(DirectCall *call)
{
	/* a cancel that is served in between would keep the places */
	HOLD_INTERRUPTS();
	ask_guard(call);
	PG_ENSURE_ERROR_CLEANUP(give_back_if_unsent, PointerGetDatum(call));
	{
		RESUME_INTERRUPTS();
		if (call->is_check)
			take_try(call);
		answer_test(call);
		if (!call->is_test)
			pnvs_client_call(call->state.operation, call->values, PNVS_TIMEOUTS_AS_SET,
							 &call->state.answer);
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_back_if_unsent, PointerGetDatum(call));
	call->approved = call->is_check &&
		pnvs_client_approves(&call->state.answer, call->values[PNVS_CHECK_TO]);
	tell_guard(call);
}

/* Takes the places of a message, or of a try, or throws. */
static void
ask_guard(DirectCall *call)
{
	TimestampTz now = GetCurrentTimestamp();
	PnvsRefusal refusal;

	if (call->is_check)
		refusal = pnvs_guard_admit_try(pnvs_test_tried_number(call->values),
									   call->values[PNVS_CHECK_VERIFICATION_ID], now, &call->try);
	else
	{
		PnvsGuardMessage message = {
			.recipient = call->values[PNVS_START_TO],
			.channel = pnvs_operation_channel_word(call->values[PNVS_START_CHANNEL]),
			.rate_key = call->rate_key,
			.trusted = call->trusted,
			.direct = true,
			.due = now
		};

		refusal = pnvs_guard_admit(&message, now, &call->admission);
	}
	if (refusal.reason != PNVS_ADMITTED)
		pnvs_guard_throw(&refusal);
}

/* The same of the verification that the message belongs to, if any. */
static void
take_try(DirectCall *call)
{
	static const PnvsRefusal undecided = {.reason = PNVS_REFUSED_UNDECIDED,.retry_after_s = 1};
	static const PnvsRefusal none_left = {PNVS_REFUSED_LIMIT, PNVS_SCOPE_TRIES, -1};
	bool		taken;

	pnvs_direct_check_begin(&call->verified, call->values);
	if (call->verified.is_undecided)
		pnvs_guard_throw(&undecided);
	HOLD_INTERRUPTS();
	taken = pnvs_direct_check_take(&call->verified);
	RESUME_INTERRUPTS();
	if (!taken)
		pnvs_guard_throw(&none_left);
}

/* Answers a call that is for a test number. */
static void
answer_test(DirectCall *call)
{
	if (call->is_check)
	{
		call->is_test = pnvs_test_answer_check(call->values, &call->state.answer);
		return;
	}
	call->is_test = call->admission.is_test;
	if (!call->is_test)
		return;
	pnvs_settings_refuse_if_invalid();
	pnvs_test_answer_start(call->values[PNVS_START_TO], &call->state.answer);
}

/* The call has ended by an error, or with the process. */
static void
give_back_if_unsent(int code, Datum arg)
{
	const DirectCall *call = (const DirectCall *) DatumGetPointer(arg);

	if (call->state.answer.http.maybe_sent)
		pnvs_direct_check_note_lost(&call->verified);
	else
		give_back(call);
}

/* The call has an answer, or its request has failed. */
static void
tell_guard(const DirectCall *call)
{
	const PnvsAnswer *answer = &call->state.answer;

	pnvs_direct_check_note(&call->verified, answer);
	/* the breaker goes by what the service approves */
	if (call->approved && !call->is_test)
		approve(call);
	if (call->is_check ? call->approved || !pnvs_client_may_have_judged(answer) :
		pnvs_outcome_came_to_nothing(answer->outcome, answer->code_group))
		give_back(call);
}

static void
give_back(const DirectCall *call)
{
	TimestampTz now = GetCurrentTimestamp();

	if (call->admission.due != 0)
		pnvs_guard_give_back(&call->admission, now);
	if (call->try.key != 0)
		pnvs_guard_give_back_try(&call->try, now);
	pnvs_direct_check_give_back(&call->verified);
}

/*
 * The message that was checked is approved, or the latest of the number if it is not known.
 * The number is the one that the service confirms: callers may leave it out.
 */
static void
approve(const DirectCall *call)
{
	const char *number = call->state.answer.reply.phone_number;
	PnvsAdmission sent = call->sent;

	if (number == NULL ||
		pnvs_phone_number_normalise(number, sent.recipient) != PNVS_PHONE_NUMBER_OK)
		return;
	if (sent.due != 0)
		pnvs_guard_approve(&sent, GetCurrentTimestamp());
	else
		pnvs_guard_approve_latest(sent.recipient, GetCurrentTimestamp());
}

/* The columns of start_types or check_types. */
static void
add_columns(PnvsRow *row, const DirectCall *call)
{
	const PnvsAnswer *answer = &call->state.answer;
	const PnvsReply *reply = &answer->reply;

	pnvs_row_add_text(row, reply->request_id);
	pnvs_row_add_text(row, reply->code);
	pnvs_row_add_text(row, reply->message);
	pnvs_row_add_value(row, BoolGetDatum(answer->succeeded), false);
	if (call->is_check)
		pnvs_row_add_value(row, BoolGetDatum(call->approved), false);
	pnvs_row_add_text(row, reply->verification_id);
	if (call->is_check)
	{
		pnvs_row_add_text(row, reply->phone_number);
		pnvs_row_add_text(row, reply->channel);
	}
	pnvs_row_add_text(row, reply->status);
	if (!call->is_check)
		pnvs_row_add_text(row, pnvs_expose_verify_code ? reply->verify_code : NULL);
	/* there was no request for a test number */
	pnvs_row_add_value(row, Int32GetDatum(answer->http.status), answer->http.status == 0);
}
