/*-------------------------------------------------------------------------
 *
 * start_verification.c
 *	  start_verification(): sends a one-time code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "remote/client.h"
#include "settings.h"
#include "sql/arguments.h"
#include "sql/failure.h"
#include "sql/memo.h"
#include "sql/row.h"


PG_FUNCTION_INFO_V1(pnvs_start_verification);

/* Of start_verification_result. */
static const Oid column_types[] = {
	TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, INT4OID
};

static Datum make_row(PnvsRow *row, const PnvsAnswer *answer);

/*
 * start_verification(channel text, "to" text, service_sid text)
 *
 * Sends a code over a channel and returns the service's answer, a refusal
 * included.
 */
Datum
pnvs_start_verification(PG_FUNCTION_ARGS)
{
	const PnvsOperation *operation = pnvs_operation_get(PNVS_START_VERIFICATION);
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	PnvsMemoKey key;
	PnvsAnswer	answer;
	PnvsWatch	watch;
	PnvsRow		columns;
	Datum		row;

	values[PNVS_START_CHANNEL] = pnvs_argument_channel(fcinfo, 0);
	values[PNVS_START_TO] = pnvs_argument_number(fcinfo, 1);
	values[PNVS_START_SERVICE_SID] = pnvs_argument_required_service_sid(fcinfo, 2);

	pnvs_memo_key(&key, operation, values);
	if (pnvs_memo_find(fcinfo, &key, &row))
		return row;

	pnvs_row_begin(&columns, fcinfo, column_types, lengthof(column_types));
	pnvs_failure_watch(&watch, operation, &answer);
	pnvs_client_call(operation, values, &answer);
	pnvs_failure_throw_if_unjudged(operation, &answer);
	if (pnvs_on_failure == PNVS_ON_FAILURE_ERROR)
		pnvs_failure_throw_if_refused(operation, &answer);

	row = make_row(&columns, &answer);
	pnvs_memo_keep(fcinfo, &key, row);
	pnvs_failure_unwatch(&watch);
	return row;
}

static Datum
make_row(PnvsRow *row, const PnvsAnswer *answer)
{
	const PnvsReply *reply = &answer->reply;

	pnvs_row_add_text(row, reply->request_id);
	pnvs_row_add_text(row, reply->code);
	pnvs_row_add_text(row, reply->message);
	pnvs_row_add_boolean(row, answer->succeeded);
	pnvs_row_add_text(row, reply->verification_id);
	pnvs_row_add_text(row, reply->status);
	pnvs_row_add_text(row, pnvs_expose_verify_code ? reply->verify_code : NULL);
	pnvs_row_add_integer(row, answer->http.status);
	return pnvs_row_finish(row);
}
