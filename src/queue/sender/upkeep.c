/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  What a sender does for the queue beside sending.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/rows/statements.h"
#include "queue/rows/table.h"
#include "queue/sender/upkeep.h"
#include "settings.h"

/* Short transactions: a batch takes some milliseconds. */
#define PURGE_BATCH 1000

/* Some batches at a time, so that sending goes on. */
#define PURGE_BATCHES 5

/* A purge is no cause to wake up for one row. */
#define SHORTEST_PURGE_WAIT_US (10 * USECS_PER_SEC)

typedef struct Recovery
{
	const PnvsClaimer *claimer;
	bool		done;
} Recovery;

typedef struct Purge
{
	PnvsClaimer *claimer;
	int			npurged;
	int64		wait_us;		/* until the next row can be deleted */
} Purge;

static void recover(void *arg);
static void purge_batch(void *arg);
static bool visit_unlocked(PnvsTableVisit *visit);
static int	find_interrupted(const PnvsClaimer *claimer, int64 **ids);
static bool interrupt(const int64 *ids, int nids);
static int	delete_old(PnvsClaimer *claimer, int max);
static int64 next_purge_us(const PnvsClaimer *claimer);
static int64 retention_us(void);

/*
 * Makes unknown what was claimed by senders that have died; false where that is not
 * done, for now.
 */
bool
pnvs_upkeep_recover(PnvsTransact transact, PnvsClaimer *claimer)
{
	Recovery	recovery = {.claimer = claimer};

	return transact(recover, &recovery) == PNVS_COMMITTED && recovery.done;
}

/*
 * Deletes rows whose retention is over.  Returns how long it is, in
 * us, until there is more to delete of the rows that are settled by now, or PNVS_NEVER.
 */
int64
pnvs_upkeep_purge(PnvsTransact transact, PnvsClaimer *claimer)
{
	Purge		purge = {.claimer = claimer};

	for (int i = 0; i < PURGE_BATCHES; i++)
	{
		purge.npurged = -1;
		if (transact(purge_batch, &purge) != PNVS_COMMITTED || purge.npurged < 0)
			return SHORTEST_PURGE_WAIT_US;
		if (purge.npurged < PURGE_BATCH)
			return Max(purge.wait_us, SHORTEST_PURGE_WAIT_US);
	}
	return 0;
}

/* How long it is, in us, until a row can be deleted that is settled now. */
int64
pnvs_upkeep_interval_us(void)
{
	return Max(retention_us(), SHORTEST_PURGE_WAIT_US);
}

static void
recover(void *arg)
{
	Recovery   *recovery = arg;
	PnvsTableVisit visit;
	int64	   *ids;
	int			nids;

	recovery->done = false;
	if (!OidIsValid(pnvs_table_oid()))
	{
		recovery->done = true;
		return;
	}
	if (!visit_unlocked(&visit))
		return;
	nids = find_interrupted(recovery->claimer, &ids);
	recovery->done = nids == 0 || interrupt(ids, nids);
	pnvs_table_leave(&visit);
}

static void
purge_batch(void *arg)
{
	Purge	   *purge = arg;
	PnvsTableVisit visit;

	if (!visit_unlocked(&visit))
		return;
	purge->npurged = delete_old(purge->claimer, PURGE_BATCH);
	purge->wait_us = next_purge_us(purge->claimer);
	pnvs_table_leave(&visit);
}

/* Begins a visit, unless the table has gone or somebody has locked it. */
static bool
visit_unlocked(PnvsTableVisit *visit)
{
	Oid			table = pnvs_table_oid();

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, RowExclusiveLock) ||
		pnvs_table_oid() != table)
		return false;
	pnvs_table_enter_unattended(visit);
	return true;
}

/* The rows that are claimed by nobody who lives; ids live as long as the visit. */
static int
find_interrupted(const PnvsClaimer *claimer, int64 **ids)
{
	int64	   *claimers;
	int			nclaimers = pnvs_table_run_for_ids(PNVS_CLAIMERS, NULL, &claimers);
	int			nids = 0;

	*ids = palloc(sizeof(int64));
	for (int i = 0; i < nclaimers; i++)
	{
		Datum		value = Int64GetDatum(claimers[i]);
		int64	   *claimed;
		int			nclaimed;

		if (claimers[i] == claimer->number || !pnvs_claimer_is_dead(claimers[i]))
			continue;
		nclaimed = pnvs_table_run_for_ids(PNVS_SELECT_CLAIMED, &value, &claimed);
		*ids = repalloc(*ids, (nids + nclaimed + 1) * sizeof(int64));
		memcpy(*ids + nids, claimed, nclaimed * sizeof(int64));
		nids += nclaimed;
	}
	return nids;
}

/* Makes rows unknown whose claimer died; false where somebody has locked some. */
static bool
interrupt(const int64 *ids, int nids)
{
	Datum		values[2];

	values[0] = pnvs_array_of_ids(ids, nids);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	return pnvs_table_run(PNVS_INTERRUPT, values) == nids;
}

/*
 * Deletes up to max rows that need not be retained any longer, the oldest first;
 * their number.  A foreign key to the table may delete or change rows of others, by
 * their triggers: then none are.
 */
static int
delete_old(PnvsClaimer *claimer, int max)
{
	Datum		values[3];
	int			nrows;

	if (pnvs_table_is_referenced())
		return 0;
	values[0] = TimestampTzGetDatum(claimer->purged_up_to);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp() - retention_us());
	values[2] = Int64GetDatum(max);
	nrows = pnvs_table_run(PNVS_PURGE, values);
	for (int row = 0; row < nrows; row++)
		claimer->purged_up_to = Max(claimer->purged_up_to,
									pnvs_result_time(row, PNVS_FIRST_COLUMN));
	if (nrows < max)
		claimer->purged_up_to = DT_NOBEGIN;
	return nrows;
}

/* How long it is until the next row need not be retained, in us, or PNVS_NEVER. */
static int64
next_purge_us(const PnvsClaimer *claimer)
{
	Datum		value = TimestampTzGetDatum(claimer->purged_up_to);
	TimestampTz oldest;

	if (pnvs_table_is_referenced())
		return PNVS_NEVER;
	oldest = pnvs_table_run_for_time(PNVS_OLDEST_RETAINED, &value);
	/* somebody may have set it to the end of time, or infinity, to keep a row */
	if (oldest > DT_NOEND - retention_us())
		return PNVS_NEVER;
	return Max(oldest + retention_us() - GetCurrentTimestamp(), 0);
}

/*
 * How long a settled row stays: as long as a look-up may still ask whose a record of
 * the service is.
 */
static int64
retention_us(void)
{
	return Max(pnvs_retention_s, pnvs_reconcile_for_s) * USECS_PER_SEC;
}
