/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Claims rows that are due, so that their messages can be sent.
 *
 * A claim is committed, and flushed, before the first byte of its request goes out.
 * It carries the claimer's number (see claimer.c).
 *
 * Rows stand in an index by the time from which they may be sent, and are taken from
 * its front.  The entries of settled rows stay there until a vacuum, or for as long as
 * an old snapshot needs them.  So a claimer remembers the position up to which nothing
 * is due.  A row that is committed later with an earlier time is announced (see
 * registry.c), and the claimer goes back to it; so it does at intervals, for rows that
 * nobody announces.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/rows/array.h"
#include "queue/rows/claim.h"
#include "queue/rows/settle.h"
#include "queue/rows/lock_class.h"
#include "queue/rows/statements.h"
#include "queue/rows/table.h"
#include "settings.h"

/* Who takes a message back, and then does not, says so; others are seldom. */
#define HELD_RETRY_MS 1000

static bool read_due(uint64 row, PnvsClaim *claim, PnvsVerdicts *verdicts);
static int	select_due(const PnvsClaimer *claimer, PnvsStatementId statement, int max);
static int	choose_claim(const PnvsClaimLimit *limit, PnvsClaim *claims, Datum *tids,
						 int nclaims);
static TimestampTz next_after(PnvsPosition position);
static bool is_foreign(uint64 row);
static bool is_sendable(const PnvsClaim *claim);
static int32 oldest_timeline(void);
static void claim_rows(const PnvsClaimer *claimer, Datum *tids, PnvsClaim *claims,
					   int *nclaims);

/*
 * Claims up to max rows that are due, in their order, into claims, whose texts
 * are allocated in the current memory context.  What must not be sent (too late,
 * not our own) is settled on the way, which adds its verdicts.  A limit leaves out all
 * but one of the others, or all.  Returns the number of rows looked at: fewer than max
 * means that no more are due.
 */
int
pnvs_claim_due(PnvsClaimer *claimer, int max, const PnvsClaimLimit *limit,
			   PnvsClaim *claims, int *nclaims, PnvsVerdicts *verdicts)
{
	Datum	   *tids = palloc(max * sizeof(Datum));
	int			nbefore = verdicts->n;
	int			nrows = select_due(claimer, PNVS_SELECT_DUE, max);

	*nclaims = 0;
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *claim = &claims[*nclaims];

		if (read_due(row, claim, verdicts))
			tids[(*nclaims)++] = pnvs_table_value(row, 1, NULL);
		/* one that may be left out is to be seen again */
		if (limit->tryable != PNVS_TRY_ALL && *nclaims > 0)
			continue;
		claimer->seen.not_before = claim->not_before;
		claimer->seen.id = claim->id;
	}
	if (limit->tryable != PNVS_TRY_ALL)
		*nclaims = choose_claim(limit, claims, tids, *nclaims);
	if (*nclaims > 0)
		claim_rows(claimer, tids, claims, nclaims);
	if (verdicts->n > nbefore)
		pnvs_settle_rows(claimer, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/*
 * Settles up to max rows whose time is over, wherever they stand among those that are
 * due, and adds their verdicts; their number.
 */
int
pnvs_claim_expire(const PnvsClaimer *claimer, int max, PnvsVerdicts *verdicts)
{
	int			nbefore = verdicts->n;
	int			nrows = select_due(claimer, PNVS_SELECT_LATE, max);
	PnvsClaim	claim;

	for (int row = 0; row < nrows; row++)
		(void) read_due(row, &claim, verdicts);
	if (verdicts->n > nbefore)
		pnvs_settle_rows(claimer, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/*
 * When the next row is due that was not seen, or DT_NOEND; to be called once all
 * rows are claimed that can be.  A row that is due and was left is one that
 * somebody else holds: it is tried again after a while, not at once.
 */
TimestampTz
pnvs_claim_next(PnvsClaimer *claimer)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = next_after(claimer->checked);
	PnvsPosition end_of_now = {now, PG_INT64_MAX};

	if (next > now)
	{
		claimer->checked = claimer->seen;
		return next;
	}
	pnvs_claimer_rewind(claimer, next);
	return Min(next_after(end_of_now),
			   TimestampTzPlusMilliseconds(now, HELD_RETRY_MS));
}

/* Reads a row that is due: a claim, true, or a verdict on what must not be sent. */
static bool
read_due(uint64 row, PnvsClaim *claim, PnvsVerdicts *verdicts)
{
	TimestampTz now = GetCurrentTimestamp();

	memset(claim, 0, sizeof(*claim));
	claim->id = DatumGetInt64(pnvs_table_value(row, 2, NULL));
	/* a row that was written by hand can have the largest number */
	claim->attempts = Min(DatumGetInt32(pnvs_table_value(row, 3, NULL)), PG_INT32_MAX - 1) + 1;
	claim->not_before = DatumGetTimestampTz(pnvs_table_value(row, 4, NULL));
	claim->send_before = DatumGetTimestampTz(pnvs_table_value(row, 5, NULL));
	claim->created_at = DatumGetTimestampTz(pnvs_table_value(row, 6, NULL));
	claim->channel = pnvs_table_text(row, 10);
	claim->recipient = pnvs_table_text(row, 11);
	claim->service_sid = pnvs_table_text(row, 12);
	claim->dispatched_at = now;
	claim->verify_first = pnvs_after_promotion == PNVS_AFTER_PROMOTION_VERIFY &&
		DatumGetInt32(pnvs_table_value(row, 9, NULL)) < (int32) GetWALInsertionTimeLine();

	if (is_foreign(row))
		pnvs_verdict_settled(pnvs_verdicts_add(verdicts), claim, "queued", "canceled", "Local.ForeignOrigin",
							 "the row was queued in another database");
	else if (claim->send_before <= now)
		pnvs_verdict_settled(pnvs_verdicts_add(verdicts), claim, "queued", "expired",
							 claim->attempts == 1 ? "Local.Expired" : NULL,
							 "its time was over before it could be sent");
	else if (!is_sendable(claim))
		pnvs_verdict_settled(pnvs_verdicts_add(verdicts), claim, "queued", "failed", "Local.Unsent.Start",
							 "the row was not queued by pnvs, or was changed by hand");
	else
		return true;
	return false;
}

/* Selects up to max rows that are due and were not seen, and locks them; their number. */
static int
select_due(const PnvsClaimer *claimer, PnvsStatementId statement, int max)
{
	Datum		values[5];

	values[0] = TimestampTzGetDatum(claimer->seen.not_before);
	values[1] = Int64GetDatum(claimer->seen.id);
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[3] = Int64GetDatum(max);
	values[4] = Int32GetDatum(oldest_timeline());
	return (int) pnvs_table_run(statement, values, NULL);
}

/* Moves the one that the limit lets through to the front; how many that are. */
static int
choose_claim(const PnvsClaimLimit *limit, PnvsClaim *claims, Datum *tids, int nclaims)
{
	int			chosen = 0;

	if (nclaims == 0 || limit->tryable == PNVS_TRY_NONE)
		return 0;
	while (chosen < nclaims && claims[chosen].id == limit->avoid)
		chosen++;
	if (chosen == nclaims)
	{
		if (limit->tryable == PNVS_TRY_ONE_OTHER)
			return 0;
		chosen = 0;
	}
	claims[0] = claims[chosen];
	tids[0] = tids[chosen];
	return 1;
}

/* When the first row behind a position is due, or DT_NOEND. */
static TimestampTz
next_after(PnvsPosition position)
{
	Datum		values[3];

	values[0] = TimestampTzGetDatum(position.not_before);
	values[1] = Int64GetDatum(position.id);
	values[2] = Int32GetDatum(oldest_timeline());
	return pnvs_table_run(PNVS_NEXT_QUEUED, values, NULL) == 1 ?
		DatumGetTimestampTz(pnvs_table_value(0, 1, NULL)) : DT_NOEND;
}

/* Whether a row was queued elsewhere: it is a copy, and not ours to send. */
static bool
is_foreign(uint64 row)
{
	return DatumGetInt64(pnvs_table_value(row, 7, NULL)) != (int64) GetSystemIdentifier() ||
		DatumGetObjectId(pnvs_table_value(row, 8, NULL)) != MyDatabaseId;
}

/*
 * Whether a row can be claimed.  One that was written by hand could have more than the
 * claim's statement, or an index, takes, and would hold up all that are claimed with it.
 */
static bool
is_sendable(const PnvsClaim *claim)
{
	return claim->attempts > 0 && claim->attempts < PG_INT32_MAX &&
		strlen(claim->recipient) < PNVS_PHONE_NUMBER_SIZE &&
		strlen(claim->service_sid) <= PNVS_MAX_SERVICE_SID_LEN;
}

/* Rows of older timelines are held back where that is set. */
static int32
oldest_timeline(void)
{
	return pnvs_after_promotion == PNVS_AFTER_PROMOTION_HOLD ?
		(int32) GetWALInsertionTimeLine() : PG_INT32_MIN;
}

/* Claims the rows, which are locked, and notes where they stand from then on. */
static void
claim_rows(const PnvsClaimer *claimer, Datum *tids, PnvsClaim *claims, int *nclaims)
{
	Datum		values[3];
	int64	   *ids;
	int			nclaimed;
	int			kept = 0;

	values[0] = pnvs_array_of_tids(tids, *nclaims);
	values[1] = Int64GetDatum(claimer->number);
	values[2] = TimestampTzGetDatum(claims[0].dispatched_at);
	nclaimed = (int) pnvs_table_run(PNVS_CLAIM, values, NULL);
	ids = palloc((nclaimed + 1) * sizeof(int64));
	for (int row = 0; row < nclaimed; row++)
		ids[row] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	for (int i = 0; i < *nclaims; i++)
	{
		/* mostly in the same order */
		for (int n = 0; n < nclaimed; n++)
		{
			int			row = (kept + n) % nclaimed;

			if (ids[row] != claims[i].id)
				continue;
			claims[kept] = claims[i];
			claims[kept++].place = *(ItemPointer) DatumGetPointer(pnvs_table_value(row, 2, NULL));
			break;
		}
	}
	*nclaims = kept;
}
