/*-------------------------------------------------------------------------
 *
 * direct_call.c
 *	  start_verification(), check_verification() and check_queued_verification():
 *	  call the service at once, and return its answer as a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/phone_number.h"
#include "settings.h"
#include "sql/sql.h"

/* The only status that the service documents. */
#define STATUS_APPROVED "approved"

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

static Datum call_service(FunctionCallInfo fcinfo, PnvsOperationId id,
						  const char *const *values);
static bool may_mean_wrong_code(const PnvsAnswer *answer);
static bool is_approved(const PnvsAnswer *answer, const char *number);
static void add_columns(PnvsRow *row, const PnvsAnswer *answer, bool is_check, bool approved);

/*
 * start_verification(channel text, "to" text, service_sid text)
 *
 * Sends a code over a channel.  The row is the service's answer, even a refusal.
 */
Datum
pnvs_start_verification(PG_FUNCTION_ARGS)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	values[PNVS_START_CHANNEL] = pnvs_argument_channel(fcinfo, 0);
	values[PNVS_START_TO] = pnvs_argument_recipient(fcinfo, 1);
	values[PNVS_START_SERVICE_SID] = pnvs_argument_required_service_sid(fcinfo, 2);
	return call_service(fcinfo, PNVS_START_VERIFICATION, values);
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
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	values[PNVS_CHECK_CODE] = pnvs_argument_required(pnvs_argument_typed_code(fcinfo, 0), "code");
	values[PNVS_CHECK_VERIFICATION_ID] =
		pnvs_argument_required(pnvs_argument_verification_id(fcinfo, 1), "verification_id");
	values[PNVS_CHECK_TO] = pnvs_argument_number(fcinfo, 2);
	values[PNVS_CHECK_SERVICE_SID] = pnvs_argument_service_sid(fcinfo, 3);
	return call_service(fcinfo, PNVS_CHECK_VERIFICATION, values);
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
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	PnvsQueueRow row;

	values[PNVS_CHECK_CODE] = pnvs_argument_required(pnvs_argument_typed_code(fcinfo, 0), "code");
	values[PNVS_CHECK_TO] = pnvs_argument_number(fcinfo, 2);
	pnvs_argument_find_row(pnvs_argument_queue_id(fcinfo, 1), &row);
	if (row.verification_id == NULL)
		pnvs_argument_refuse("the queued message has no verification to check",
							 psprintf("Its state is \"%s\".", row.state));
	values[PNVS_CHECK_VERIFICATION_ID] = row.verification_id;
	values[PNVS_CHECK_SERVICE_SID] = row.service_sid;
	return call_service(fcinfo, PNVS_CHECK_VERIFICATION, values);
}

/*
 * One request and its row.  A repeat within one statement gets the first answer: it
 * would send a second message, or check a code that its first check has spent.
 */
static Datum
call_service(FunctionCallInfo fcinfo, PnvsOperationId id, const char *const *values)
{
	PnvsCallState call = {.operation = pnvs_operation_get(id)};
	ErrorContextCallback context = {error_context_stack, pnvs_failure_out_of_memory, &call};
	bool		is_check = id == PNVS_CHECK_VERIFICATION;
	PnvsMemoKey key;
	PnvsRow		row;
	Datum		result;

	pnvs_memo_key(&key, call.operation, values);
	if (pnvs_memo_find(fcinfo, &key, &result))
		return result;

	if (is_check)
		pnvs_row_begin(&row, fcinfo, check_types, lengthof(check_types));
	else
		pnvs_row_begin(&row, fcinfo, start_types, lengthof(start_types));
	error_context_stack = &context;
	pnvs_client_call(call.operation, values, &call.answer);
	pnvs_failure_throw_if_unjudged(&call);
	if (pnvs_on_failure == PNVS_ON_FAILURE_ERROR &&
		!(is_check && may_mean_wrong_code(&call.answer)))
		pnvs_failure_throw_if_refused(&call);

	add_columns(&row, &call.answer, is_check,
				is_check && is_approved(&call.answer, values[PNVS_CHECK_TO]));
	result = pnvs_row_finish(&row);
	pnvs_memo_keep(fcinfo, &key, result);
	error_context_stack = context.previous;
	return result;
}

/*
 * Whether a refusal may mean that the code is wrong, which is never an error.  The
 * service does not document how it says so, so this is every refusal that is not known
 * to mean something else.
 */
static bool
may_mean_wrong_code(const PnvsAnswer *answer)
{
	return answer->outcome == PNVS_REFUSED &&
		(answer->code_group == PNVS_CODE_UNKNOWN || answer->code_group == PNVS_CODE_OK);
}

/*
 * Whether the code is right, and was sent to this number if the caller names a number.
 * Anything but the service's explicit approval is a no.
 */
static bool
is_approved(const PnvsAnswer *answer, const char *number)
{
	const PnvsReply *reply = &answer->reply;
	char		approved_number[PNVS_PHONE_NUMBER_SIZE];

	if (!answer->succeeded || reply->status == NULL ||
		strcmp(reply->status, STATUS_APPROVED) != 0)
		return false;
	if (number == NULL)
		return true;
	return reply->phone_number != NULL &&
		pnvs_phone_number_normalise(reply->phone_number,
									approved_number) == PNVS_PHONE_NUMBER_OK &&
		strcmp(approved_number, number) == 0;
}

/* The columns of start_types or check_types. */
static void
add_columns(PnvsRow *row, const PnvsAnswer *answer, bool is_check, bool approved)
{
	const PnvsReply *reply = &answer->reply;

	pnvs_row_add_text(row, reply->request_id);
	pnvs_row_add_text(row, reply->code);
	pnvs_row_add_text(row, reply->message);
	pnvs_row_add_value(row, BoolGetDatum(answer->succeeded), false);
	if (is_check)
		pnvs_row_add_value(row, BoolGetDatum(approved), false);
	pnvs_row_add_text(row, reply->verification_id);
	if (is_check)
	{
		pnvs_row_add_text(row, reply->phone_number);
		pnvs_row_add_text(row, reply->channel);
	}
	pnvs_row_add_text(row, reply->status);
	if (!is_check)
		pnvs_row_add_text(row, pnvs_expose_verify_code ? reply->verify_code : NULL);
	pnvs_row_add_value(row, Int32GetDatum(answer->http.status), false);
}
