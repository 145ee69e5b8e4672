/*-------------------------------------------------------------------------
 *
 * admission.c
 *	  Reads the places that a queued message has under the limits.
 *
 * Limits are a server's.  A copy of the row, in another database or on another server,
 * has no places there: if it gave them back, it would take the original's away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"

#include "compat.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"

/* The columns, in the order in which PNVS_FIND and others have them. */
typedef enum AdmissionColumn
{
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE,
	ORIGIN_TIMELINE,
	DUE,
	KEY,
	TRUSTED
} AdmissionColumn;

static bool is_of_this_server(int row, int column);

/*
 * The admission of a row of the last result, whose columns begin at column; all zeros if
 * it has none here.  claim: channel, recipient and created_at of the row.
 */
void
pnvs_admission_read(int row, int column, const PnvsClaim *claim, PnvsAdmission *admission)
{
	bool		no_due;
	bool		no_key;
	bool		no_trusted;
	Datum		due = pnvs_result_value(row, column + DUE, &no_due);
	Datum		key = pnvs_result_value(row, column + KEY, &no_key);
	Datum		trusted = pnvs_result_value(row, column + TRUSTED, &no_trusted);

	memset(admission, 0, sizeof(*admission));
	/* a row that was written by hand can hold any time */
	if (no_due || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(due)) ||
		TIMESTAMP_NOT_FINITE(claim->created_at) || !is_of_this_server(row, column))
		return;
	strlcpy(admission->recipient, claim->recipient, sizeof(admission->recipient));
	admission->channel = pnvs_operation_channel_word(claim->channel);
	admission->due = DatumGetTimestampTz(due);
	admission->taken_at = claim->created_at;
	admission->key = no_key ? 0 : (uint64) DatumGetInt64(key);
	admission->trusted = !no_trusted && DatumGetBool(trusted);
}

/* Whether a row of the last result was queued to a test number. */
bool
pnvs_admission_is_of_test(int row, int column)
{
	bool		no_due;
	Datum		due = pnvs_result_value(row, column + DUE, &no_due);

	return !no_due && DatumGetTimestampTz(due) == PNVS_ADMISSION_OF_TEST;
}

/* Whether a row was queued here, and since the last promotion; never on a standby. */
static bool
is_of_this_server(int row, int column)
{
	return !RecoveryInProgress() &&
		pnvs_result_int64(row, column + ORIGIN_SYSTEM) == (int64) GetSystemIdentifier() &&
		pnvs_result_oid(row, column + ORIGIN_DATABASE) == MyDatabaseId &&
		pnvs_result_int32(row, column + ORIGIN_TIMELINE) == (int32) GetWALInsertionTimeLine();
}
