/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  Writes what became of messages into their rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "queue/rows/array.h"
#include "queue/rows/settle.h"
#include "queue/rows/statements.h"

/* Writes verdicts into their rows; a row that has gone is skipped. */
void
pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts, int nverdicts)
{
	int64	   *ids = palloc(nverdicts * sizeof(int64));
	bool		in_place = true;
	Datum		values[16];

	for (int i = 0; i < nverdicts; i++)
	{
		ids[i] = verdicts[i].id;
		in_place = in_place && ItemPointerIsValid(&verdicts[i].place);
	}
#define TEXTS(member) pnvs_array_of_texts(verdicts, nverdicts, offsetof(PnvsVerdict, member))
#define NUMBERS(member) pnvs_array_of_numbers(verdicts, nverdicts, offsetof(PnvsVerdict, member))
#define TIMES(member) pnvs_array_of_times(verdicts, nverdicts, offsetof(PnvsVerdict, member))
	values[0] = pnvs_array_of_ids(ids, nverdicts);
	values[1] = TEXTS(was);
	values[2] = TEXTS(state);
	values[3] = TIMES(settled_at);
	values[4] = pnvs_array_of_masked(verdicts, nverdicts);
	values[5] = TIMES(not_before);
	values[6] = TEXTS(request_id);
	values[7] = TEXTS(verification_id);
	values[8] = TEXTS(status);
	values[9] = TEXTS(code);
	values[10] = TEXTS(message);
	values[11] = NUMBERS(http_status);
	values[12] = TIMES(unknown_since);
	values[13] = NUMBERS(uncounted);
	values[14] = pnvs_array_of_places(verdicts, nverdicts);
	values[15] = Int64GetDatum(claimer->number);
#undef NUMBERS
#undef TEXTS
#undef TIMES
	if (in_place && (int) pnvs_table_run(PNVS_SETTLE_IN_PLACE, values, NULL) == nverdicts)
		return;

	/*
	 * those that are settled by now are not again: they are no longer what
	 * they were
	 */
	(void) pnvs_table_run(PNVS_SETTLE, values, NULL);
}

/*
 * Those of the rows that somebody else has locked, in ids; their number.  The
 * others are locked by this transaction.
 */
int
pnvs_settle_find_locked(int64 *ids, int nids)
{
	Datum		values[2];
	int64	   *locked;
	int			nlocked;
	int			nheld;

	values[0] = pnvs_array_of_ids(ids, nids);
	nlocked = (int) pnvs_table_run(PNVS_LOCK_ROWS, values, NULL);
	locked = palloc((nlocked + 1) * sizeof(int64));
	for (int row = 0; row < nlocked; row++)
		locked[row] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	values[1] = pnvs_array_of_ids(locked, nlocked);
	nheld = (int) pnvs_table_run(PNVS_SELECT_EXISTING, values, NULL);
	for (int row = 0; row < nheld; row++)
		ids[row] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	return nheld;
}
