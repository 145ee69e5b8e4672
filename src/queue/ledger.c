/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  The queue as its senders see it: claim, settle, recover, clean up.
 *
 * Claims.  A claim is committed, and flushed, before the first byte of its
 * request goes out.  It carries the claimer's number, and for as long as the
 * claimer lives it holds a lock of that number: a claim whose lock is free is a
 * dead one's, and its row becomes unknown.  So nobody needs leases, clocks or
 * process IDs, and a crash, which frees all locks, is nothing special.
 *
 * Looking for what is due.  Rows stand in an index by the time from which they
 * may go out, and are taken from its front, where the entries of rows that are
 * done with stay until a vacuum, or for as long as an old snapshot may need
 * them.  So a ledger remembers up to where it has seen everything.  What is
 * committed later with an earlier time is announced (see roster.c), and the
 * ledger goes back; so it does at intervals, for what nobody announces.
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
#include "queue/array.h"
#include "queue/ledger.h"
#include "queue/lock_class.h"
#include "queue/statements.h"
#include "queue/table.h"
#include "settings.h"

/* Who takes a message back, and then does not, says so; others are seldom. */
#define HELD_RETRY_MS 1000

static bool read_due(uint64 row, PnvsClaim *claim, PnvsVerdicts *verdicts);
static int	select_due(const PnvsLedger *ledger, PnvsStatementId statement, int max);
static int	choose_claim(const PnvsClaimLimit *limit, PnvsClaim *claims, Datum *tids,
						 int nclaims);
static TimestampTz next_after(PnvsPosition position);
static bool is_foreign(uint64 row);
static bool is_sendable(const PnvsClaim *claim);
static int32 oldest_timeline(void);
static void claim_rows(const PnvsLedger *ledger, Datum *tids, PnvsClaim *claims,
					   int *nclaims);
static void set_claimer_tag(LOCKTAG *tag, int64 claimer);
static bool is_dead(int64 claimer);

/* Begins to claim, under a new number.  To be called in a transaction. */
void
pnvs_ledger_open(PnvsLedger *ledger)
{
	LOCKTAG		tag;

	memset(ledger, 0, sizeof(*ledger));
	if (!pg_strong_random(&ledger->claimer, sizeof(ledger->claimer)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number"),
				 pnvs_errhide()));
	ledger->purged_up_to = DT_NOBEGIN;
	pnvs_ledger_rewind(ledger, DT_NOBEGIN);
	set_claimer_tag(&tag, ledger->claimer);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

/* Gives the claims up: what is still claimed can be recovered by others. */
void
pnvs_ledger_close(PnvsLedger *ledger)
{
	LOCKTAG		tag;

	set_claimer_tag(&tag, ledger->claimer);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* Something is due from not_before on that may not have been seen. */
void
pnvs_ledger_rewind(PnvsLedger *ledger, TimestampTz not_before)
{
	if (not_before <= ledger->seen.not_before)
	{
		ledger->seen.not_before = not_before;
		ledger->seen.id = 0;
	}
	if (ledger->seen.not_before < ledger->checked.not_before ||
		(ledger->seen.not_before == ledger->checked.not_before &&
		 ledger->seen.id < ledger->checked.id))
		ledger->checked = ledger->seen;
}

/*
 * Claims up to max rows that are due, in their order, into claims, whose texts
 * are allocated in the current memory context.  What must not be sent (too late,
 * not our own) is settled on the way, which adds its verdicts.  A limit leaves out all
 * but one of the others, or all.  Returns the number of rows looked at: fewer than max
 * means that no more are due.
 */
int
pnvs_ledger_claim(PnvsLedger *ledger, int max, const PnvsClaimLimit *limit,
				  PnvsClaim *claims, int *nclaims, PnvsVerdicts *verdicts)
{
	Datum	   *tids = palloc(max * sizeof(Datum));
	int			nbefore = verdicts->n;
	int			nrows = select_due(ledger, PNVS_SELECT_DUE, max);

	*nclaims = 0;
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *claim = &claims[*nclaims];

		if (read_due(row, claim, verdicts))
			tids[(*nclaims)++] = pnvs_table_value(row, 1, NULL);
		/* one that may be left out is to be seen again */
		if (limit->tryable != PNVS_TRY_ALL && *nclaims > 0)
			continue;
		ledger->seen.not_before = claim->not_before;
		ledger->seen.id = claim->id;
	}
	if (limit->tryable != PNVS_TRY_ALL)
		*nclaims = choose_claim(limit, claims, tids, *nclaims);
	if (*nclaims > 0)
		claim_rows(ledger, tids, claims, nclaims);
	if (verdicts->n > nbefore)
		pnvs_ledger_settle(ledger, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/*
 * Settles up to max rows whose time is over, wherever they stand among those that are
 * due, and adds their verdicts; their number.
 */
int
pnvs_ledger_expire(const PnvsLedger *ledger, int max, PnvsVerdicts *verdicts)
{
	int			nbefore = verdicts->n;
	int			nrows = select_due(ledger, PNVS_SELECT_LATE, max);
	PnvsClaim	claim;

	for (int row = 0; row < nrows; row++)
		(void) read_due(row, &claim, verdicts);
	if (verdicts->n > nbefore)
		pnvs_ledger_settle(ledger, verdicts->list + nbefore, verdicts->n - nbefore);
	return nrows;
}

/* Writes verdicts into their rows; a row that has gone is skipped. */
void
pnvs_ledger_settle(const PnvsLedger *ledger, const PnvsVerdict *verdicts, int nverdicts)
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
	values[15] = Int64GetDatum(ledger->claimer);
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
 * When the next row is due that was not seen, or DT_NOEND; to be called once all
 * rows are claimed that can be.  A row that is due and was left is one that
 * somebody else holds: it is tried again after a while, not at once.
 */
TimestampTz
pnvs_ledger_next_queued(PnvsLedger *ledger)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = next_after(ledger->checked);
	PnvsPosition end_of_now = {now, PG_INT64_MAX};

	if (next > now)
	{
		ledger->checked = ledger->seen;
		return next;
	}
	pnvs_ledger_rewind(ledger, next);
	return Min(next_after(end_of_now),
			   TimestampTzPlusMilliseconds(now, HELD_RETRY_MS));
}

/* The rows that are claimed by nobody who lives; ids live as long as the visit. */
int
pnvs_ledger_find_interrupted(const PnvsLedger *ledger, int64 **ids)
{
	int			nclaimers = (int) pnvs_table_run(PNVS_CLAIMERS, NULL, NULL);
	int64	   *claimers = palloc(Max(nclaimers, 1) * sizeof(int64));
	int			nids = 0;

	*ids = palloc(sizeof(int64));
	for (int i = 0; i < nclaimers; i++)
		claimers[i] = DatumGetInt64(pnvs_table_value(i, 1, NULL));
	for (int i = 0; i < nclaimers; i++)
	{
		Datum		value = Int64GetDatum(claimers[i]);
		int			nrows;

		if (claimers[i] == ledger->claimer || !is_dead(claimers[i]))
			continue;
		nrows = (int) pnvs_table_run(PNVS_SELECT_CLAIMED, &value, NULL);
		*ids = repalloc(*ids, (nids + nrows + 1) * sizeof(int64));
		for (int row = 0; row < nrows; row++)
			(*ids)[nids++] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	}
	return nids;
}

/* Makes rows unknown whose claimer died; false where somebody has locked some. */
bool
pnvs_ledger_interrupt(const int64 *ids, int nids)
{
	Datum		values[2];

	values[0] = pnvs_array_of_ids(ids, nids);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	return (int) pnvs_table_run(PNVS_INTERRUPT, values, NULL) == nids;
}

/*
 * Those of the rows that somebody else has locked, in ids; their number.  The
 * others are locked by this transaction.
 */
int
pnvs_ledger_find_held(int64 *ids, int nids)
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

/*
 * Deletes up to max rows that need not be retained any longer, the oldest first;
 * their number.  A foreign key to the table may delete or change rows of others, by
 * their triggers: then none are.
 */
int
pnvs_ledger_purge(PnvsLedger *ledger, int max)
{
	Datum		values[3];
	int			nrows;

	if (pnvs_table_is_referenced())
		return 0;
	values[0] = TimestampTzGetDatum(ledger->purged_up_to);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp() - pnvs_ledger_retention_us());
	values[2] = Int64GetDatum(max);
	nrows = (int) pnvs_table_run(PNVS_PURGE, values, NULL);
	for (int row = 0; row < nrows; row++)
		ledger->purged_up_to = Max(ledger->purged_up_to,
								   DatumGetTimestampTz(pnvs_table_value(row, 1, NULL)));
	if (nrows < max)
		ledger->purged_up_to = DT_NOBEGIN;
	return nrows;
}

/* When the next row need not be retained any longer, or DT_NOEND. */
TimestampTz
pnvs_ledger_next_purge(const PnvsLedger *ledger)
{
	Datum		value = TimestampTzGetDatum(ledger->purged_up_to);
	TimestampTz oldest;

	if (pnvs_table_is_referenced() || pnvs_table_run(PNVS_OLDEST_RETAINED, &value, NULL) == 0)
		return DT_NOEND;
	oldest = DatumGetTimestampTz(pnvs_table_value(0, 1, NULL));
	/* somebody may have set it to the end of time, or infinity, to keep a row */
	return oldest > DT_NOEND - pnvs_ledger_retention_us() ? DT_NOEND : oldest + pnvs_ledger_retention_us();
}

/*
 * How long a settled row stays: as long as a look-up may still ask whose a record of
 * the service is.
 */
int64
pnvs_ledger_retention_us(void)
{
	return Max(pnvs_retention_s, pnvs_reconcile_for_s) * USECS_PER_SEC;
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
select_due(const PnvsLedger *ledger, PnvsStatementId statement, int max)
{
	Datum		values[5];

	values[0] = TimestampTzGetDatum(ledger->seen.not_before);
	values[1] = Int64GetDatum(ledger->seen.id);
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
claim_rows(const PnvsLedger *ledger, Datum *tids, PnvsClaim *claims, int *nclaims)
{
	Datum		values[3];
	int64	   *ids;
	int			nclaimed;
	int			kept = 0;

	values[0] = pnvs_array_of_tids(tids, *nclaims);
	values[1] = Int64GetDatum(ledger->claimer);
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

static void
set_claimer_tag(LOCKTAG *tag, int64 claimer)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) ((uint64) claimer >> 32),
						 (uint32) claimer, PNVS_LOCK_CLAIMER);
}

/* Whether a claimer's lock is free. */
static bool
is_dead(int64 claimer)
{
	LOCKTAG		tag;

	set_claimer_tag(&tag, claimer);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockRelease(&tag, ShareLock, false);
	return true;
}
