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

/* Short transactions: a batch takes some milliseconds. */
#define PURGE_BATCH 1000

/* Some batches at a time, so that sending goes on. */
#define PURGE_BATCHES 5

/* A purge is no cause to wake up for one row. */
#define SHORTEST_PURGE_WAIT_MS (10 * 1000)

typedef struct Recovery
{
	const PnvsLedger *ledger;
	bool		done;
} Recovery;

typedef struct Purge
{
	PnvsLedger *ledger;
	int			npurged;
	TimestampTz next;
} Purge;

static void recover(void *arg);
static void purge_batch(void *arg);
static bool visit_unlocked(PnvsTableVisit *visit);

/*
 * Makes unknown what was claimed by senders that have died; false where that is not
 * done, for now.
 */
bool
pnvs_upkeep_recover(PnvsTransact transact, PnvsLedger *ledger)
{
	Recovery	recovery = {.ledger = ledger};

	return transact(recover, &recovery) == PNVS_COMMITTED && recovery.done;
}

/*
 * Deletes rows whose retention is over.  Returns when there is more to delete of
 * what is settled by now, or DT_NOEND.
 */
TimestampTz
pnvs_upkeep_purge(PnvsTransact transact, PnvsLedger *ledger)
{
	Purge		purge = {.ledger = ledger};
	TimestampTz soonest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  SHORTEST_PURGE_WAIT_MS);

	for (int i = 0; i < PURGE_BATCHES; i++)
	{
		purge.npurged = -1;
		if (transact(purge_batch, &purge) != PNVS_COMMITTED || purge.npurged < 0)
			return soonest;
		if (purge.npurged < PURGE_BATCH)
			return Max(purge.next, soonest);
	}
	return GetCurrentTimestamp();
}

/* When a row can be deleted at the earliest that is settled after this time. */
TimestampTz
pnvs_upkeep_next_purge(TimestampTz purged_at)
{
	if (purged_at == DT_NOBEGIN)
		return DT_NOBEGIN;
	return purged_at + Max(pnvs_ledger_retention_us(),
						   SHORTEST_PURGE_WAIT_MS * INT64CONST(1000));
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
	nids = pnvs_ledger_find_interrupted(recovery->ledger, &ids);
	recovery->done = nids == 0 || pnvs_ledger_interrupt(ids, nids);
	pnvs_table_leave(&visit);
}

static void
purge_batch(void *arg)
{
	Purge	   *purge = arg;
	PnvsTableVisit visit;

	if (!visit_unlocked(&visit))
		return;
	purge->npurged = pnvs_ledger_purge(purge->ledger, PURGE_BATCH);
	purge->next = pnvs_ledger_next_purge(purge->ledger);
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
