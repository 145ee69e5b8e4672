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
#include "queue/table.h"
#include "queue/upkeep.h"
#include "settings.h"

/* Short transactions: a batch takes some milliseconds. */
#define PURGE_BATCH 1000

/* Some batches at a time, so that sending goes on; small ones, where one has failed. */
#define PURGE_BATCHES 5
#define SMALL_PURGE_BATCHES 50

/* A row that cannot be deleted, for something refers to it say, is tried again after this. */
#define PURGE_AGAIN_MS (10 * 60 * 1000)

/* A purge is no cause to wake up for one row. */
#define SHORTEST_PURGE_WAIT_MS (10 * 1000)

typedef struct Recovery
{
	const PnvsLedger *ledger;
	MemoryContext context;		/* of ids */
	int64	   *ids;
	int			nids;
	bool		locked;			/* the table is, by somebody else */
	int			first;			/* what to write of them */
	int			count;
} Recovery;

typedef struct Purge
{
	PnvsLedger *ledger;
	int			max;
	int			npurged;
	bool		locked;
	TimestampTz first;			/* when the first of the batch was settled */
	TimestampTz next;
} Purge;

static void find_interrupted(void *arg);
static void write_interrupted(void *arg);
static void purge_batch(void *arg);
static bool visit_unlocked(PnvsTableVisit *visit, bool *locked);

/*
 * Makes unknown what was claimed by senders that have died.  A row that cannot be
 * written does not stop the rest; false where none can be, now.
 */
bool
pnvs_upkeep_recover(PnvsTransact transact, PnvsLedger *ledger)
{
	Recovery	recovery = {.ledger = ledger,.context = CurrentMemoryContext};
	PnvsCommit	result = transact(find_interrupted, &recovery);

	if (result != PNVS_COMMITTED || recovery.nids == 0)
		return result != PNVS_NOTHING_COMMITS && !recovery.locked;
	recovery.count = recovery.nids;
	result = transact(write_interrupted, &recovery);
	if (result != PNVS_COMMITTED)
	{
		/* what is left of the space may do for some of them */
		recovery.count = 1;
		result = PNVS_NOT_COMMITTED;
		for (; recovery.first < recovery.nids && result != PNVS_NOTHING_COMMITS;
			 recovery.first++)
			result = transact(write_interrupted, &recovery);
	}
	pfree(recovery.ids);
	return result != PNVS_NOTHING_COMMITS && !recovery.locked;
}

/*
 * Deletes rows whose retention is over.  Returns when there is more to delete of
 * what is settled by now, or DT_NOEND.  Where a batch fails, ever smaller ones find
 * the row that it is for, and those behind it are deleted all the same.
 */
TimestampTz
pnvs_upkeep_purge(PnvsTransact transact, PnvsLedger *ledger)
{
	Purge		purge = {.ledger = ledger,.max = PURGE_BATCH,.next = DT_NOEND};
	TimestampTz soonest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  SHORTEST_PURGE_WAIT_MS);
	int			nbatches = PURGE_BATCHES;

	for (int i = 0; i < nbatches; i++)
	{
		PnvsCommit	result = transact(purge_batch, &purge);

		if (result == PNVS_NOTHING_COMMITS || purge.locked)
			return soonest;
		if (result == PNVS_COMMITTED && purge.npurged < purge.max)
			return Max(purge.next, soonest);
		if (result == PNVS_COMMITTED)
			continue;
		if (purge.first == DT_NOEND)
			return soonest;
		nbatches = SMALL_PURGE_BATCHES;
		soonest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PURGE_AGAIN_MS);
		if (purge.max == 1)
			ledger->purged_up_to = purge.first + 1;
		purge.max = purge.max == 1 ? PURGE_BATCH : purge.max / 10;
	}
	return nbatches == PURGE_BATCHES ? GetCurrentTimestamp() : soonest;
}

/* When a row can be deleted at the earliest that is settled after this time. */
TimestampTz
pnvs_upkeep_next_purge(TimestampTz purged_at)
{
	if (purged_at == DT_NOBEGIN)
		return DT_NOBEGIN;
	return purged_at + Max(pnvs_retention_s * USECS_PER_SEC,
						   SHORTEST_PURGE_WAIT_MS * INT64CONST(1000));
}

static void
find_interrupted(void *arg)
{
	Recovery   *recovery = arg;
	PnvsTableVisit visit;
	int64	   *ids;

	recovery->nids = 0;
	if (!visit_unlocked(&visit, &recovery->locked))
		return;
	recovery->nids = pnvs_ledger_find_interrupted(recovery->ledger, &ids);
	if (recovery->nids > 0)
	{
		recovery->ids = MemoryContextAlloc(recovery->context, recovery->nids * sizeof(int64));
		memcpy(recovery->ids, ids, recovery->nids * sizeof(int64));
	}
	pnvs_table_leave(&visit);
}

static void
write_interrupted(void *arg)
{
	Recovery   *recovery = arg;
	PnvsTableVisit visit;

	if (!visit_unlocked(&visit, &recovery->locked))
		return;
	pnvs_ledger_interrupt(recovery->ids + recovery->first, recovery->count);
	pnvs_table_leave(&visit);
}

static void
purge_batch(void *arg)
{
	Purge	   *purge = arg;
	PnvsTableVisit visit;

	purge->npurged = 0;
	if (!visit_unlocked(&visit, &purge->locked))
		return;
	purge->first = pnvs_ledger_oldest_settled(purge->ledger);
	purge->npurged = pnvs_ledger_purge(purge->ledger, purge->max);
	purge->next = pnvs_ledger_next_purge(purge->ledger);
	pnvs_table_leave(&visit);
}

/* Begins a visit, unless the table has gone or somebody has locked it. */
static bool
visit_unlocked(PnvsTableVisit *visit, bool *locked)
{
	Oid			table = pnvs_table_oid();

	*locked = OidIsValid(table) && !ConditionalLockRelationOid(table, RowExclusiveLock);
	if (!OidIsValid(table) || *locked || pnvs_table_oid() != table)
		return false;
	pnvs_table_enter_alone(visit);
	return true;
}
