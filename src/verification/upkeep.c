/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  Masks the numbers of verifications that nobody can go on with, and deletes old ones.
 *
 * The worker and the procedure have this done, with the purge of the queue.  Each batch is a
 * transaction of theirs, and leaves out rows that somebody else has locked.
 *
 * A row has ended if its ended_at is set; whoever sets it masks the number.  Rows that just
 * expire end here: a day later, because an approval can be used for so long.  So do rows that
 * were used, whose number was masked then: their end is the use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "core/phone_number.h"
#include "monotonic.h"
#include "queue/sender/transaction.h"
#include "settings.h"
#include "table/statements.h"
#include "verification/rows.h"

/* An approval can be used for a day at the most, and a row be looked into by support. */
#define SHORTEST_KEPT_US USECS_PER_DAY

/* The columns of PNVS_VERIFICATION_SELECT_OVER. */
enum
{
	OVER_ID = 1,
	OVER_RECIPIENT,
	OVER_EXPIRES_AT
};

/*
 * The batches of a purge begin where the last has ended: rows that it has moved or deleted
 * stay in the index while an old snapshot needs them.
 */
static TimestampTz masked_up_to = DT_NOBEGIN;
static TimestampTz purged_up_to = DT_NOBEGIN;

static void purge(PnvsPurgeBatch *batch);
static int	mask_over(int max, TimestampTz now);
static void mask_rows(int nrows);
static int	delete_ended(int max, TimestampTz now);
static int64 wait_us(int statement, TimestampTz from, int64 kept_us);
static int64 retention_us(void);

/* To be called when the library is loaded. */
void
pnvs_verification_upkeep_init(void)
{
	static const PnvsPurger purger = {&pnvs_verification_table, purge, SHORTEST_KEPT_US};

	pnvs_upkeep_add_purger(&purger);
}

/* Within a visit. */
static void
purge(PnvsPurgeBatch *batch)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		deletes = !pnvs_table_is_referenced(&pnvs_verification_table);

	batch->npurged = mask_over(batch->max, now);
	if (deletes && batch->npurged < batch->max)
		batch->npurged += delete_ended(batch->max - batch->npurged, now);
	batch->wait_us = wait_us(PNVS_VERIFICATION_FIRST_OPEN, masked_up_to, SHORTEST_KEPT_US);
	if (deletes)
		batch->wait_us = Min(batch->wait_us, wait_us(PNVS_VERIFICATION_FIRST_ENDED, purged_up_to,
													 retention_us()));
}

/* Ends up to max rows that have expired long ago; their number. */
static int
mask_over(int max, TimestampTz now)
{
	Datum		values[3];
	int			nrows;

	values[0] = TimestampTzGetDatum(masked_up_to);
	values[1] = TimestampTzGetDatum(now - SHORTEST_KEPT_US);
	values[2] = Int64GetDatum(max);
	nrows = pnvs_table_run(&pnvs_verification_table, PNVS_VERIFICATION_SELECT_OVER, values);
	masked_up_to = nrows < max ? DT_NOBEGIN : pnvs_result_time(nrows - 1, OVER_EXPIRES_AT);
	if (nrows > 0)
		mask_rows(nrows);
	return nrows;
}

/* Ends the rows of the last result. */
static void
mask_rows(int nrows)
{
	Datum	   *ids = palloc(nrows * sizeof(Datum));
	Datum	   *recipients = palloc(nrows * sizeof(Datum));
	Datum		values[2];

	for (int row = 0; row < nrows; row++)
	{
		char		masked[PNVS_PHONE_NUMBER_SIZE];

		pnvs_phone_number_mask(pnvs_result_text(row, OVER_RECIPIENT), masked);
		ids[row] = pnvs_result_datum(row, OVER_ID);
		recipients[row] = CStringGetTextDatum(masked);
	}
	values[0] = pnvs_array_make(UUIDOID, ids, NULL, nrows);
	values[1] = pnvs_array_make(TEXTOID, recipients, NULL, nrows);
	(void) pnvs_table_run(&pnvs_verification_table, PNVS_VERIFICATION_MASK, values);
}

/* Deletes up to max rows whose retention is over, the oldest first; their number. */
static int
delete_ended(int max, TimestampTz now)
{
	Datum		values[3];
	int			nrows;

	values[0] = TimestampTzGetDatum(purged_up_to);
	values[1] = TimestampTzGetDatum(now - retention_us());
	values[2] = Int64GetDatum(max);
	nrows = pnvs_table_run(&pnvs_verification_table, PNVS_VERIFICATION_PURGE, values);
	for (int row = 0; row < nrows; row++)
		purged_up_to = Max(purged_up_to, pnvs_result_time(row, PNVS_FIRST_COLUMN));
	if (nrows < max)
		purged_up_to = DT_NOBEGIN;
	return nrows;
}

/* How long it is, in us, until the first row has been kept long enough, or PNVS_NEVER. */
static int64
wait_us(int statement, TimestampTz from, int64 kept_us)
{
	Datum		value = TimestampTzGetDatum(from);

	return pnvs_upkeep_wait_us(pnvs_table_run_for_time(&pnvs_verification_table, statement, &value),
							   kept_us);
}

/*
 * How long a row is kept after its end.  Its messages are found by it, and kept from when it
 * would have expired.  One is still open then only if nobody could be asked for its fate: it
 * is found by its number.
 */
static int64
retention_us(void)
{
	return Max(pnvs_retention_s * USECS_PER_SEC, SHORTEST_KEPT_US) + PNVS_LONGEST_VALID_US;
}
