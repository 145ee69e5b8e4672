/*-------------------------------------------------------------------------
 *
 * confirm_verification.c
 *	  confirm_verification(): is this the code that was sent?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/uuid.h"

#include "sql/sql.h"
#include "verification/verification.h"

PG_FUNCTION_INFO_V1(pnvs_confirm_verification);

/* Of confirm_verification_result. */
static const Oid types[] = {BOOLOID, TEXTOID, INT4OID, INT4OID};

static Datum confirm_code(PG_FUNCTION_ARGS);

/*
 * confirm_verification(id uuid, code text)
 *
 * Everything that a person can do wrong is a row.  A repeat within one statement gets the
 * first row: it is no other try.
 */
Datum
pnvs_confirm_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(confirm_code, fcinfo);
}

static Datum
confirm_code(PG_FUNCTION_ARGS)
{
	static const pg_uuid_t none = {{0}};	/* nobody's, as a missing ID */
	const pg_uuid_t *id = PG_ARGISNULL(0) ? NULL : PG_GETARG_UUID_P(0);
	const char *values[2] = {0};	/* for the memo */
	PnvsConfirmed confirmed;
	PnvsMemoKey key;
	PnvsRow		row;
	Datum		result;

	if (id != NULL)
		values[0] = pnvs_memo_id(id);
	values[1] = pnvs_argument_possible_code(fcinfo, 1);
	pnvs_memo_key(&key, "confirm_verification", values, lengthof(values));
	if (pnvs_memo_find(fcinfo, &key, &result))
		return result;

	pnvs_row_begin(&row, fcinfo, types, lengthof(types));
	pnvs_verification_confirm(id != NULL ? id : &none, values[1], &confirmed);
	pnvs_row_add_value(&row, BoolGetDatum(confirmed.approved), false);
	pnvs_row_add_text(&row, confirmed.state);
	pnvs_row_add_value(&row, Int32GetDatum(confirmed.tries_left), confirmed.tries_left < 0);
	pnvs_row_add_value(&row, Int32GetDatum(confirmed.retry_after_s), confirmed.retry_after_s < 0);
	result = pnvs_row_finish(&row);
	/* ROLLBACK gives no try back */
	pnvs_memo_keep(fcinfo, &key, result, confirmed.approved);
	return result;
}
