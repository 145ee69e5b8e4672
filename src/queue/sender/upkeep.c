/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  Recovers the rows of senders that have died, and deletes old rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "monotonic.h"
#include "queue/rows/statements.h"
#include "queue/sender/transaction.h"
#include "settings.h"

/* Transactions stay short: a batch takes some milliseconds. */
#define PURGE_BATCH 1000

/* A purge deletes some batches at a time, so that sending goes on. */
#define PURGE_BATCHES 5

/* A worker does not wake up to delete a single row. */
#define SHORTEST_PURGE_WAIT_US (10 * USECS_PER_SEC)

/* A transaction settles so many rows whose time is over. */
#define EXPIRE_BATCH 1000

typedef struct Expiry
{
	PnvsClaimer *claimer;
	MemoryContext context;		/* of the verdicts */
	PnvsVerdicts verdicts;
	int			nexpired;
} Expiry;

typedef struct Recovery
{
	const PnvsClaimer *claimer;
	bool		done;
} Recovery;

typedef struct Purge
{
	PnvsClaimer *claimer;		/* of the queue's rows */
	const PnvsPurger *purger;	/* of another table; or NULL */
	PnvsPurgeBatch batch;		/* npurged is -1 if nothing could be done */
} Purge;

/* Each module above registers one at most. */
#define MAX_PURGERS 2

static const PnvsPurger *purgers[MAX_PURGERS];
static int	npurgers = 0;

static const PnvsUpkeepJob *left_undone = NULL;

static void recover(void *arg);
static bool interrupt(int64 claimer);
static void expire_batch(void *arg);
static int64 purge(PnvsTransact transact, Purge *purge);
static void purge_batch(void *arg);
static void purge_queue(PnvsClaimer *claimer, PnvsPurgeBatch *batch);
static int	delete_old(PnvsClaimer *claimer, int max);
static int64 retention_us(void);

/* Registers the job of a module above.  To be called when the library is loaded. */
void
pnvs_upkeep_register(const PnvsUpkeepJob *job)
{
	if (left_undone != NULL)
		elog(ERROR, "too many jobs of upkeep");
	left_undone = job;
}

/* When it has something to do, by the monotonic clock, or PNVS_NEVER. */
int64
pnvs_upkeep_repeat_due_us(void)
{
	return left_undone == NULL ? PNVS_NEVER : left_undone->due_us();
}

/* Has it done; all: also what other processes have left. */
void
pnvs_upkeep_repeat(PnvsTransact transact, bool all)
{
	PnvsUpkeepRun run = {.all = all};

	while (left_undone != NULL &&
		   pnvs_transaction_run(transact, left_undone->repeat, &run) && run.goes_on)
		;
}

/*
 * Makes the rows unknown that were claimed by senders that have died.  False if some are
 * left, because they, or the table, are locked or cannot be written.
 */
bool
pnvs_upkeep_recover(PnvsTransact transact, PnvsClaimer *claimer)
{
	Recovery	recovery = {.claimer = claimer};

	return pnvs_transaction_run(transact, recover, &recovery) && recovery.done;
}

static void
recover(void *arg)
{
	Recovery   *recovery = arg;
	PnvsTableLock lock = pnvs_transaction_lock_table(&pnvs_queue_table);
	PnvsTableVisit visit;
	int64	   *claimers;
	int			nclaimers;

	recovery->done = lock != PNVS_TABLE_BUSY;
	if (lock != PNVS_TABLE_LOCKED)
		return;
	pnvs_table_enter_unattended(&pnvs_queue_table, &visit);
	nclaimers = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_CLAIMERS, NULL, &claimers);
	for (int i = 0; i < nclaimers; i++)
	{
		if (claimers[i] != recovery->claimer->number && pnvs_claimer_is_dead(claimers[i]) &&
			!interrupt(claimers[i]))
			recovery->done = false;
	}
	pnvs_table_leave(&visit);
}

/* Makes a dead claimer's rows unknown; false if another session has locked some. */
static bool
interrupt(int64 claimer)
{
	Datum		values[2];
	int64	   *ids;
	int			nids;

	values[0] = Int64GetDatum(claimer);
	nids = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_SELECT_CLAIMED, values, &ids);
	values[0] = pnvs_array_of_ids(ids, nids);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	return pnvs_table_run(&pnvs_queue_table, PNVS_INTERRUPT, values) == nids;
}

/*
 * Settles the rows whose time is over while pnvs.sending is off: otherwise a sender does so
 * when it comes to them.
 */
void
pnvs_upkeep_expire(PnvsTransact transact, PnvsClaimer *claimer)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "pnvs expiry", ALLOCSET_DEFAULT_SIZES);
	Expiry		expiry;

	do
	{
		memset(&expiry, 0, sizeof(expiry));
		expiry.claimer = claimer;
		expiry.context = context;
		if (!pnvs_transaction_run(transact, expire_batch, &expiry))
			break;
		pnvs_notify_announce(transact, &expiry.verdicts);
		MemoryContextReset(context);
	} while (expiry.nexpired == EXPIRE_BATCH);
	MemoryContextDelete(context);
}

static void
expire_batch(void *arg)
{
	Expiry	   *expiry = arg;
	PnvsTableVisit visit;
	MemoryContext visitor;

	if (pnvs_transaction_lock_table(&pnvs_queue_table) != PNVS_TABLE_LOCKED)
		return;
	pnvs_table_enter_unattended(&pnvs_queue_table, &visit);
	visitor = MemoryContextSwitchTo(expiry->context);
	expiry->nexpired = pnvs_claim_expire(expiry->claimer, EXPIRE_BATCH, &expiry->verdicts);
	MemoryContextSwitchTo(visitor);
	pnvs_table_leave(&visit);
}

/* Has old rows of another table purged, too.  To be called when the library is loaded. */
void
pnvs_upkeep_add_purger(const PnvsPurger *purger)
{
	if (npurgers == MAX_PURGERS)
		elog(ERROR, "too many tables to be purged");
	purgers[npurgers++] = purger;
}

/*
 * Deletes rows whose retention is over.  Returns how long it is, in us, until another of
 * the rows that are there by now can be deleted, or PNVS_NEVER.
 */
int64
pnvs_upkeep_purge(PnvsTransact transact, PnvsClaimer *claimer)
{
	Purge		of_queue = {.claimer = claimer};
	int64		wait_us = purge(transact, &of_queue);

	for (int i = 0; i < npurgers; i++)
	{
		Purge		of_table = {.purger = purgers[i]};

		wait_us = Min(wait_us, purge(transact, &of_table));
	}
	return wait_us;
}

/* How long it is, in us, until a row that is new, or settled, now can be purged. */
int64
pnvs_upkeep_interval_us(void)
{
	int64		interval_us = retention_us();

	for (int i = 0; i < npurgers; i++)
		interval_us = Min(interval_us, purgers[i]->interval_us);
	return Max(interval_us, SHORTEST_PURGE_WAIT_US);
}

/* Purges some batches of a table; how long it is until there is more to do. */
static int64
purge(PnvsTransact transact, Purge *purge)
{
	for (int i = 0; i < PURGE_BATCHES; i++)
	{
		PnvsPurgeBatch *batch = &purge->batch;

		batch->max = PURGE_BATCH;
		batch->npurged = -1;
		batch->wait_us = PNVS_NEVER;
		if (!pnvs_transaction_run(transact, purge_batch, purge) || batch->npurged < 0)
			return SHORTEST_PURGE_WAIT_US;
		if (batch->npurged < batch->max)
			return Max(batch->wait_us, SHORTEST_PURGE_WAIT_US);
	}
	return 0;
}

static void
purge_batch(void *arg)
{
	Purge	   *purge = arg;
	PnvsTable  *table = purge->purger != NULL ? purge->purger->table : &pnvs_queue_table;
	PnvsTableVisit visit;

	if (pnvs_transaction_lock_table(table) != PNVS_TABLE_LOCKED)
		return;
	pnvs_table_enter_unattended(table, &visit);
	purge->batch.npurged = 0;
	if (purge->purger != NULL)
		purge->purger->purge(&purge->batch);
	else
		purge_queue(purge->claimer, &purge->batch);
	pnvs_table_leave(&visit);
}

/*
 * A foreign key that refers to the table could delete or change rows of other tables, by
 * their triggers: then nothing is deleted.
 */
static void
purge_queue(PnvsClaimer *claimer, PnvsPurgeBatch *batch)
{
	Datum		value;

	if (pnvs_table_is_referenced(&pnvs_queue_table))
		return;
	batch->npurged = delete_old(claimer, batch->max);
	value = TimestampTzGetDatum(claimer->purged_up_to);
	batch->wait_us = pnvs_upkeep_wait_us(pnvs_table_run_for_time(&pnvs_queue_table, PNVS_OLDEST_RETAINED,
																 &value), retention_us());
}

/* Deletes up to max rows whose retention is over, the oldest first; their number. */
static int
delete_old(PnvsClaimer *claimer, int max)
{
	Datum		values[3];
	int			nrows;

	values[0] = TimestampTzGetDatum(claimer->purged_up_to);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp() - retention_us());
	values[2] = Int64GetDatum(max);
	nrows = pnvs_table_run(&pnvs_queue_table, PNVS_PURGE, values);
	for (int row = 0; row < nrows; row++)
		claimer->purged_up_to = Max(claimer->purged_up_to,
									pnvs_result_time(row, PNVS_FIRST_COLUMN));
	if (nrows < max)
		claimer->purged_up_to = DT_NOBEGIN;
	return nrows;
}

/*
 * How long it is, in us, until a row has been kept for kept_us since a time, or PNVS_NEVER.
 * Somebody may have set that to infinity, or to the end of time, to keep the row.
 */
int64
pnvs_upkeep_wait_us(TimestampTz since, int64 kept_us)
{
	TimestampTz kept_since = GetCurrentTimestamp() - kept_us;

	if (since > DT_NOEND - kept_us)
		return PNVS_NEVER;
	return Max(since, kept_since) - kept_since;
}

/*
 * How long a settled row is kept: for at least as long as a look-up may have to know which
 * records of the service belong to other rows.
 */
static int64
retention_us(void)
{
	return Max(pnvs_retention_s, pnvs_reconcile_for_s) * USECS_PER_SEC;
}
