/*-------------------------------------------------------------------------
 *
 * check_verification.c
 *	  check_verification() and check_queued_verification(): check the code that a
 *	  person typed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "core/phone_number.h"
#include "errcodes.h"
#include "queue/queue.h"
#include "remote/client.h"
#include "settings.h"
#include "sql/arguments.h"
#include "sql/failure.h"
#include "sql/memo.h"
#include "sql/row.h"


/* The one status that the service documents. */
#define STATUS_APPROVED "approved"

PG_FUNCTION_INFO_V1(pnvs_check_verification);
PG_FUNCTION_INFO_V1(pnvs_check_queued_verification);

/* Of check_verification_result. */
static const Oid column_types[] = {
	TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, INT4OID
};

static Datum check(FunctionCallInfo fcinfo, const char *const *values);
static bool may_mean_wrong_code(const PnvsAnswer *answer);
static bool is_approved(const PnvsAnswer *answer, const char *number);
static Datum make_row(PnvsRow *row, const PnvsAnswer *answer, bool approved);

/*
 * check_verification(code text, verification_id text, "to" text,
 *					  service_sid text)
 *
 * Asks the service whether code is the one that it sent.  A repeat within one
 * statement gets the first answer: a code can be spent by its first check.
 */
Datum
pnvs_check_verification(PG_FUNCTION_ARGS)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	values[PNVS_CHECK_CODE] = pnvs_argument_typed_code(fcinfo, 0);
	values[PNVS_CHECK_VERIFICATION_ID] = pnvs_argument_verification_id(fcinfo, 1);
	values[PNVS_CHECK_TO] = pnvs_argument_optional_number(fcinfo, 2);
	values[PNVS_CHECK_SERVICE_SID] = pnvs_argument_service_sid(fcinfo, 3);
	return check(fcinfo, values);
}

/*
 * check_queued_verification(code text, id bigint, "to" text)
 *
 * The same for a message of the queue, by its ID there.  It has a name of its
 * own: drivers send parameters without a type, and of two functions with one
 * name PostgreSQL would then take the one for text.
 */
Datum
pnvs_check_queued_verification(PG_FUNCTION_ARGS)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	PnvsQueueRow row;

	values[PNVS_CHECK_CODE] = pnvs_argument_typed_code(fcinfo, 0);
	values[PNVS_CHECK_TO] = pnvs_argument_optional_number(fcinfo, 2);
	if (!pnvs_queue_find(pnvs_argument_queue_id(fcinfo, 1), &row))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no queued message with this ID"),
				 errhint("It belongs to another role, or is past \"pnvs.retention\"."),
				 pnvs_errhide()));
	if (row.verification_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the queued message has no verification to check"),
				 errhint("Its state is \"%s\".", row.state),
				 pnvs_errhide()));
	values[PNVS_CHECK_VERIFICATION_ID] = row.verification_id;
	values[PNVS_CHECK_SERVICE_SID] = row.service_sid;
	return check(fcinfo, values);
}

static Datum
check(FunctionCallInfo fcinfo, const char *const *values)
{
	const PnvsOperation *operation = pnvs_operation_get(PNVS_CHECK_VERIFICATION);
	PnvsMemoKey key;
	PnvsAnswer	answer;
	PnvsWatch	watch;
	PnvsRow		columns;
	Datum		row;

	pnvs_memo_key(&key, operation, values);
	if (pnvs_memo_find(fcinfo, &key, &row))
		return row;

	pnvs_row_begin(&columns, fcinfo, column_types, lengthof(column_types));
	pnvs_failure_watch(&watch, operation, &answer);
	pnvs_client_call(operation, values, &answer);
	pnvs_failure_throw_if_unjudged(operation, &answer);
	if (pnvs_on_failure == PNVS_ON_FAILURE_ERROR && !may_mean_wrong_code(&answer))
		pnvs_failure_throw_if_refused(operation, &answer);

	row = make_row(&columns, &answer, is_approved(&answer, values[PNVS_CHECK_TO]));
	pnvs_memo_keep(fcinfo, &key, row);
	pnvs_failure_unwatch(&watch);
	return row;
}

/*
 * Whether a refusal may be the service's way to say that the code is wrong,
 * which is never an error.  How it says so is not documented, so this is every
 * refusal that is not known to mean something else.
 */
static bool
may_mean_wrong_code(const PnvsAnswer *answer)
{
	return answer->outcome == PNVS_REFUSED &&
		(answer->code_group == PNVS_CODE_UNKNOWN || answer->code_group == PNVS_CODE_OK);
}

/*
 * Whether the code was right, and sent to this number where the caller names
 * one.  Anything short of the service's plain word is a no.
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

static Datum
make_row(PnvsRow *row, const PnvsAnswer *answer, bool approved)
{
	const PnvsReply *reply = &answer->reply;

	pnvs_row_add_text(row, reply->request_id);
	pnvs_row_add_text(row, reply->code);
	pnvs_row_add_text(row, reply->message);
	pnvs_row_add_boolean(row, answer->succeeded);
	pnvs_row_add_boolean(row, approved);
	pnvs_row_add_text(row, reply->verification_id);
	pnvs_row_add_text(row, reply->phone_number);
	pnvs_row_add_text(row, reply->channel);
	pnvs_row_add_text(row, reply->status);
	pnvs_row_add_integer(row, answer->http.status);
	return pnvs_row_finish(row);
}
