/*-------------------------------------------------------------------------
 *
 * support.c
 *	  What support does with a phone number: verification_history(), and
 *	  erase_phone_number().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "sql/sql.h"
#include "verification/verification.h"

PG_FUNCTION_INFO_V1(pnvs_verification_history_of);
PG_FUNCTION_INFO_V1(pnvs_erase_phone_number);

/* Of verification_history_record. */
static const Oid column_types[] = {
	TIMESTAMPTZOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID
};

static Datum history_of(PG_FUNCTION_ARGS);
static Datum erase(PG_FUNCTION_ARGS);
static void put_event(ReturnSetInfo *result, const PnvsHistoryEvent *event);

/*
 * verification_history("to" text)
 *
 * A row for each event, and behind them rows for what blocks the number now.
 */
Datum
pnvs_verification_history_of(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(history_of, fcinfo);
}

static Datum
history_of(PG_FUNCTION_ARGS)
{
	const char *number = pnvs_argument_required(pnvs_argument_number(fcinfo, 0), "to");
	ReturnSetInfo *result;
	PnvsHistory history;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	pnvs_row_check_type(result->setDesc, column_types, lengthof(column_types));
	pnvs_verification_history(number, &history);
	for (int i = 0; i < history.n; i++)
		put_event(result, &history.events[i]);
	return (Datum) 0;
}

/*
 * erase_phone_number("to" text)
 *
 * The number of rows that had the number.
 */
Datum
pnvs_erase_phone_number(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(erase, fcinfo);
}

static Datum
erase(PG_FUNCTION_ARGS)
{
	const char *number = pnvs_argument_required(pnvs_argument_number(fcinfo, 0), "to");

	PG_RETURN_INT64(pnvs_verification_erase(number));
}

static void
put_event(ReturnSetInfo *result, const PnvsHistoryEvent *event)
{
	Datum		values[lengthof(column_types)];
	bool		nulls[lengthof(column_types)];
	PnvsRow		row = {.values = values,.nulls = nulls};

	pnvs_row_add_value(&row, TimestampTzGetDatum(event->at), false);
	pnvs_row_add_text(&row, event->event);
	pnvs_row_add_value(&row, Int32GetDatum(event->verification), event->verification == 0);
	pnvs_row_add_text(&row, event->channel);
	pnvs_row_add_text(&row, event->detail);
	pnvs_row_add_value(&row, Int32GetDatum(event->count), event->count == 0);
	pnvs_row_add_text(&row, event->purpose);
	pnvs_row_add_text(&row, event->requested_by);
	pnvs_row_add_value(&row, TimestampTzGetDatum(event->until), event->until == 0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
