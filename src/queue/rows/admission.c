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

#include "compat.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"

/* The columns, in the order in which the table, PNVS_FIND and others have them. */
typedef enum AdmissionColumn
{
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE,
	ORIGIN_TIMELINE,
	DUE,
	KEY,
	TRUSTED,
	ADMISSION_COLUMNS
} AdmissionColumn;

static void read_values(const Datum *values, const bool *nulls, const PnvsClaim *claim,
						PnvsAdmission *admission);
static bool is_of_this_server(const Datum *values);

/*
 * The admission of a row of the last result, whose columns begin at column; all zeros if
 * it has none here.  claim: channel, recipient and created_at of the row.
 */
void
pnvs_admission_read(int row, int column, const PnvsClaim *claim, PnvsAdmission *admission)
{
	Datum		values[ADMISSION_COLUMNS];
	bool		nulls[ADMISSION_COLUMNS];

	for (int i = 0; i < ADMISSION_COLUMNS; i++)
		values[i] = pnvs_result_value(row, column + i, &nulls[i]);
	read_values(values, nulls, claim, admission);
}

/* The same of a row of the table that was found without a statement. */
void
pnvs_admission_read_open(const PnvsTableRow *open, const PnvsClaim *claim,
						 PnvsAdmission *admission)
{
	read_values(&open->slot->tts_values[PNVS_COLUMN_ORIGIN_SYSTEM - 1],
				&open->slot->tts_isnull[PNVS_COLUMN_ORIGIN_SYSTEM - 1], claim, admission);
}

static void
read_values(const Datum *values, const bool *nulls, const PnvsClaim *claim,
			PnvsAdmission *admission)
{
	memset(admission, 0, sizeof(*admission));
	/* a row that was written by hand can hold any time */
	if (nulls[DUE] || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[DUE])) ||
		TIMESTAMP_NOT_FINITE(claim->created_at) ||
		nulls[ORIGIN_SYSTEM] || nulls[ORIGIN_DATABASE] || nulls[ORIGIN_TIMELINE] ||
		!is_of_this_server(values))
		return;
	strlcpy(admission->recipient, claim->recipient, sizeof(admission->recipient));
	admission->channel = pnvs_operation_channel_word(claim->channel);
	admission->due = DatumGetTimestampTz(values[DUE]);
	admission->taken_at = claim->created_at;
	admission->key = nulls[KEY] ? 0 : (uint64) DatumGetInt64(values[KEY]);
	admission->trusted = !nulls[TRUSTED] && DatumGetBool(values[TRUSTED]);
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
is_of_this_server(const Datum *values)
{
	return !RecoveryInProgress() &&
		pnvs_table_is_own_origin(DatumGetInt64(values[ORIGIN_SYSTEM]),
								 DatumGetObjectId(values[ORIGIN_DATABASE])) &&
		DatumGetInt32(values[ORIGIN_TIMELINE]) == (int32) GetWALInsertionTimeLine();
}
