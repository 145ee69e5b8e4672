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
 * is due.  If a row is committed later with an earlier time, that is announced (see
 * registry.c), and the claimer goes back to it.  At intervals it goes back for rows that
 * nobody announced.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"

#include "compat.h"
#include "queue/rows/statements.h"
#include "queue/rows/rows.h"
#include "settings.h"

/*
 * A session that has locked a row to cancel it, and is rolled back, announces that; other
 * locks are rare.
 */
#define LOCKED_RETRY_MS 1000

static int	select_due(const PnvsClaimer *claimer, PnvsQueueStatement statement, int max,
					   TimestampTz now);
static bool read_due(int row, TimestampTz now, PnvsClaim *claim, PnvsVerdicts *verdicts);
static void settle_unsendable(const PnvsClaim *claim, PnvsState state, PnvsVerdict *verdict);
static int	choose_claim(const PnvsClaimLimit *limit, PnvsClaim *claims, Datum *tids,
						 int nclaims);
static TimestampTz next_after(PnvsPosition position);
static bool is_foreign(int row);
static bool is_sendable(const PnvsClaim *claim);
static int32 oldest_timeline(void);
static void claim_rows(const PnvsClaimer *claimer, Datum *tids, PnvsClaim *claims,
					   int *nclaims);

/*
 * Claims rows that are due, in their order and up to a limit, into claims, whose texts are
 * allocated in the current memory context.  Rows that must not be sent (too late, queued
 * elsewhere) are settled on the way, which adds their verdicts.  Returns the number of rows
 * looked at: fewer than the limit's max means that no more are due.
 */
int
pnvs_claim_due(PnvsClaimer *claimer, const PnvsClaimLimit *limit, PnvsClaim *claims,
			   int *nclaims, PnvsVerdicts *verdicts)
{
	Datum	   *tids = palloc(limit->max * sizeof(Datum));
	int			nbefore = verdicts->n;
	TimestampTz now = GetCurrentTimestamp();
	bool		all = limit->tryable == PNVS_TRY_ALL;
	int			nrows = 0;
	bool		untried;

	/* what was refused may be refused for its own sake: others come first */
	if (!all && limit->tryable != PNVS_TRY_NONE)
		nrows = select_due(claimer, PNVS_SELECT_UNTRIED, limit->max, now);
	untried = nrows > 0;
	if (!untried)
		nrows = select_due(claimer, PNVS_SELECT_DUE, limit->max, now);
	*nclaims = 0;
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *claim = &claims[*nclaims];

		if (read_due(row, now, claim, verdicts))
			tids[(*nclaims)++] = pnvs_result_datum(row, PNVS_ROW_PLACE);
		/* a row that may be left out is to be seen again */
		if (!all && (*nclaims > 0 || untried))
			continue;
		claimer->seen.not_before = claim->not_before;
		claimer->seen.id = claim->id;
	}
	if (!all)
		*nclaims = choose_claim(limit, claims, tids, *nclaims);
	if (*nclaims > 0)
		claim_rows(claimer, tids, claims, nclaims);
	if (verdicts->n > nbefore)
		pnvs_settle_rows(claimer, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/*
 * Settles up to max rows whose time is over, wherever they stand among those that are
 * due, and adds their verdicts.  Returns the number of rows.
 */
int
pnvs_claim_expire(const PnvsClaimer *claimer, int max, PnvsVerdicts *verdicts)
{
	int			nbefore = verdicts->n;
	TimestampTz now = GetCurrentTimestamp();
	int			nrows = select_due(claimer, PNVS_SELECT_LATE, max, now);
	PnvsClaim	claim;

	for (int row = 0; row < nrows; row++)
		(void) read_due(row, now, &claim, verdicts);
	if (verdicts->n > nbefore)
		pnvs_settle_rows(claimer, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/* Reads a row of the last result; its place is left out, for it moves with the claim. */
void
pnvs_claim_read(int row, PnvsClaim *claim)
{
	memset(claim, 0, sizeof(*claim));
	claim->id = pnvs_result_int64(row, PNVS_ROW_ID);
	claim->attempts = pnvs_result_int32(row, PNVS_ROW_ATTEMPTS);
	claim->not_before = pnvs_result_time(row, PNVS_ROW_NOT_BEFORE);
	claim->send_before = pnvs_result_time(row, PNVS_ROW_SEND_BEFORE);
	claim->created_at = pnvs_result_time(row, PNVS_ROW_CREATED_AT);
	claim->dispatched_at = pnvs_result_time(row, PNVS_ROW_DISPATCHED_AT);
	claim->unknown_since = pnvs_result_time(row, PNVS_ROW_UNKNOWN_SINCE);
	claim->channel = pnvs_result_text(row, PNVS_ROW_CHANNEL);
	claim->recipient = pnvs_result_text(row, PNVS_ROW_RECIPIENT);
	claim->service_sid = pnvs_result_text(row, PNVS_ROW_SERVICE_SID);
	claim->requester = pnvs_result_oid(row, PNVS_ROW_REQUESTED_BY);
	pnvs_admission_read(row, PNVS_ROW_ORIGIN_SYSTEM, claim, &claim->admission);
	claim->is_test = pnvs_admission_is_of_test(row, PNVS_ROW_ORIGIN_SYSTEM);
}

/*
 * When the next row is due that was not seen, or DT_NOEND; to be called once all
 * rows are claimed that can be.  If a row that is due was left, somebody has locked it,
 * and it is tried again after a while.
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
			   TimestampTzPlusMilliseconds(now, LOCKED_RETRY_MS));
}

/* Selects up to max rows that are due and were not seen, and locks them; their number. */
static int
select_due(const PnvsClaimer *claimer, PnvsQueueStatement statement, int max, TimestampTz now)
{
	Datum		values[5];

	values[0] = TimestampTzGetDatum(claimer->seen.not_before);
	values[1] = Int64GetDatum(claimer->seen.id);
	values[2] = TimestampTzGetDatum(now);
	values[3] = Int64GetDatum(max);
	values[4] = Int32GetDatum(oldest_timeline());
	return pnvs_table_run(&pnvs_queue_table, statement, values);
}

/* Reads a row that is due into claim: true, unless it must not be sent, which adds a verdict. */
static bool
read_due(int row, TimestampTz now, PnvsClaim *claim, PnvsVerdicts *verdicts)
{
	PnvsState	state;

	pnvs_claim_read(row, claim);
	/* a row that was written by hand can have the largest number */
	claim->attempts = Min(claim->attempts, PG_INT32_MAX - 1) + 1;
	claim->dispatched_at = now;
	claim->verify_first = pnvs_after_promotion == PNVS_AFTER_PROMOTION_VERIFY &&
		pnvs_result_int32(row, PNVS_ROW_ORIGIN_TIMELINE) < (int32) GetWALInsertionTimeLine();

	state = pnvs_decision_on_due(is_foreign(row), is_sendable(claim), claim->send_before, now);
	if (state == PNVS_STATE_SENDING)
		return true;
	settle_unsendable(claim, state, pnvs_verdicts_add(verdicts));
	return false;
}

static void
settle_unsendable(const PnvsClaim *claim, PnvsState state, PnvsVerdict *verdict)
{
	pnvs_verdict_settled(verdict, claim, PNVS_STATE_QUEUED, state);
	if (state == PNVS_STATE_CANCELED)
		pnvs_verdict_explain(verdict, "Local.ForeignOrigin",
							 "the row was queued in another database");
	else if (state == PNVS_STATE_FAILED)
		pnvs_verdict_explain(verdict, "Local.Unsent.Start",
							 "the row was not queued by pnvs, or was changed by hand");
	/* after an attempt its code stays */
	else
		pnvs_verdict_explain(verdict, claim->attempts == 1 ? "Local.Expired" : NULL,
							 PNVS_EXPIRED_MESSAGE);
}

/* Moves the claim that the limit lets through to the front; the number of those. */
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
	return pnvs_table_run_for_time(&pnvs_queue_table, PNVS_NEXT_QUEUED, values);
}

/* Whether a row was queued elsewhere: this is a copy, which must not be sent. */
static bool
is_foreign(int row)
{
	return !pnvs_table_is_own_origin(pnvs_result_int64(row, PNVS_ROW_ORIGIN_SYSTEM),
									 pnvs_result_oid(row, PNVS_ROW_ORIGIN_DATABASE));
}

/*
 * Whether a row can be claimed.  A row that was written by hand can hold more than the
 * claim's statement, or an index, takes: it would hold up all that are claimed with it.
 */
static bool
is_sendable(const PnvsClaim *claim)
{
	return claim->attempts > 0 && claim->attempts < PG_INT32_MAX &&
		strlen(claim->recipient) < PNVS_PHONE_NUMBER_SIZE &&
		strlen(claim->service_sid) <= PNVS_MAX_SERVICE_SID_LEN;
}

/* Rows of older timelines are left out if "pnvs.after_promotion" says so. */
static int32
oldest_timeline(void)
{
	return pnvs_after_promotion == PNVS_AFTER_PROMOTION_HOLD ?
		(int32) GetWALInsertionTimeLine() : PG_INT32_MIN;
}

/*
 * Claims the rows, which are locked, and notes where they are from then on.  A row that is
 * not claimed after all is dropped from claims.
 */
static void
claim_rows(const PnvsClaimer *claimer, Datum *tids, PnvsClaim *claims, int *nclaims)
{
	Datum		values[3];
	int64	   *ids;
	int			nclaimed;
	int			kept = 0;

	values[0] = pnvs_array_make(TIDOID, tids, NULL, *nclaims);
	values[1] = Int64GetDatum(claimer->number);
	values[2] = TimestampTzGetDatum(claims[0].dispatched_at);
	nclaimed = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_CLAIM, values, &ids);
	for (int i = 0; i < *nclaims; i++)
	{
		/* mostly in the same order */
		for (int n = 0; n < nclaimed; n++)
		{
			int			row = (kept + n) % nclaimed;

			if (ids[row] != claims[i].id)
				continue;
			claims[kept] = claims[i];
			claims[kept++].place =
				*(ItemPointer) DatumGetPointer(pnvs_result_datum(row, PNVS_CLAIMED_PLACE));
			break;
		}
	}
	*nclaims = kept;
}
