/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background worker that starts a worker where there is work.
 *
 * It is in no database and sees shared catalogs alone, so it cannot look for
 * queues itself.  It knows who has work from three sides:
 *
 * - A session whose commit has queued something says so in the registry.
 * - A worker that leaves says when its database will need one again: for a
 *	 message that is to go out later, a row that is to be looked up or deleted.
 * - At its start, and at long intervals, it sends a worker into each database
 *	 that can be connected to, one after the other; one that finds no queue, or
 *	 nothing to do, leaves at once.  The next goes in when it has left, or has
 *	 found something to do and stays.
 *
 * The postmaster starts it when recovery has finished, so on a standby after its
 * promotion, and again whenever it ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/backoff.h"
#include "core/log_limit.h"
#include "monotonic.h"
#include "queue/process/launcher.h"
#include "queue/registry/registry.h"
#include "queue/process/worker.h"
#include "settings.h"

/* The postmaster waits so long before it starts one that has ended anew. */
#define RESTART_S 1

/* Every database is visited at this multiple of pnvs.scan_interval. */
#define VISIT_FACTOR 10

/* Pauses after a worker that did not come up, each twice the last. */
#define FIRST_RETRY_MS 1000
#define LONGEST_RETRY_MS 60000

/* The log says no more often that a database has no place in shared memory. */
#define OVERFLOW_LOG_US (10 * PNVS_LOG_LIMIT_INTERVAL_US)

/* A worker that was asked for. */
typedef struct Started
{
	Oid			database;
	int			failures;		/* in a row, before this one */
	BackgroundWorkerHandle *handle;
} Started;

static List *started = NIL;
static List *to_visit = NIL;	/* OIDs */
static Oid	visited = InvalidOid;	/* who is being visited */
static int64 next_visit_us = 0; /* by the monotonic clock; 0: now */
static PnvsRegistrySlot *slots;

static void serve(void);
static void list_databases(void);
static bool is_connectable(Form_pg_database database);
static void look_after_started(void);
static bool is_replaced(const Started *worker);
static int64 start_where_due(void);
static void visit_next(void);
static int	compare_waits(const void *a, const void *b);
static bool start_worker(Oid database, int failures, bool waits);
static int64 start_wait_us(const PnvsRegistrySlot *slot, TimestampTz announced);
static int64 us_until(TimestampTz time);
static int64 retry_wait_us(int failures);
static void complain_of_workers(void);
static void complain_of_overflow(void);
static bool may_log(const char *cause, int64 interval_us);
static void wait(int64 wait_us);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_launcher_register(void)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "pnvs launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "pnvs launcher");
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "pnvs");
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "pnvs_launcher_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_S;
	RegisterBackgroundWorker(&worker);
}

void
pnvs_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	ConfigReloadPending = true; /* see worker_process.c */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pnvs_registry_open();

	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "pnvs launcher",
												ALLOCSET_DEFAULT_SIZES));
	slots = palloc(pnvs_max_databases * sizeof(PnvsRegistrySlot));
	serve();

	/* Any other status, and the postmaster would not start it again. */
	proc_exit(1);
}

static void
serve(void)
{
	while (!ShutdownRequestPending)
	{
		int64		wait_us = PNVS_NEVER;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			int			after_promotion = pnvs_after_promotion;
			bool		worker = pnvs_worker;

			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);

			/*
			 * rows that were held back, or changed by hand while no worker
			 * was there, are not in the registry
			 */
			if (pnvs_after_promotion != after_promotion || pnvs_worker != worker)
				next_visit_us = 0;
		}
		look_after_started();
		if (pnvs_monotonic_us() >= next_visit_us)
		{
			/* a round that takes longer than the interval is not begun anew */
			if (to_visit == NIL || next_visit_us == 0)
				list_databases();
			next_visit_us = pnvs_monotonic_us() +
				VISIT_FACTOR * pnvs_scan_interval_s * USECS_PER_SEC;
		}
		if (pnvs_worker)
		{
			wait_us = start_where_due();
			visit_next();
		}
		complain_of_overflow();
		wait_us = Min(wait_us, next_visit_us - pnvs_monotonic_us());
		wait(Min(wait_us, pnvs_settings_complain(true)));
	}
}

/* Every database that can be connected to is to be visited. */
static void
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	list_free(to_visit);
	to_visit = NIL;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext transaction = MemoryContextSwitchTo(context);

		if (is_connectable(database))
			to_visit = lappend_oid(to_visit, database->oid);
		MemoryContextSwitchTo(transaction);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	/* a wait for a lock has reset it, whatever it was set for */
	SetLatch(MyLatch);
	MemoryContextSwitchTo(context);

	for (int i = pnvs_registry_copy(slots) - 1; i >= 0; i--)
	{
		if (!list_member_oid(to_visit, slots[i].database))
			pnvs_registry_drop(slots[i].database);
	}
}

static bool
is_connectable(Form_pg_database database)
{
	return database->datallowconn && database->datconnlimit >= -1;
}

/* Workers that have ended, or could not be started. */
static void
look_after_started(void)
{
	ListCell   *cell;

	foreach(cell, started)
	{
		Started    *worker = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
			continue;
		/* does nothing where the worker has come up */
		if (!is_replaced(worker))
			pnvs_registry_note_end(worker->database, pnvs_monotonic_us() + retry_wait_us(worker->failures));
		if (visited == worker->database)
			visited = InvalidOid;
		pfree(worker->handle);
		pfree(worker);
		started = foreach_delete_current(started, cell);
	}
}

/* Whether another one was started since: it is that one that is coming up. */
static bool
is_replaced(const Started *worker)
{
	const Started *last = NULL;
	ListCell   *cell;

	foreach(cell, started)
	{
		if (((Started *) lfirst(cell))->database == worker->database)
			last = lfirst(cell);
	}
	return last != worker;
}

/* Starts workers where something is due.  In how many us the next will be, or PNVS_NEVER. */
static int64
start_where_due(void)
{
	int64		next_us = PNVS_NEVER;
	int			nslots = pnvs_registry_copy(slots);

	/* who waits for a place is first, the longest first */
	qsort(slots, nslots, sizeof(PnvsRegistrySlot), compare_waits);
	for (int i = 0; i < nslots; i++)
	{
		PnvsRegistrySlot *slot = &slots[i];
		TimestampTz rung = pnvs_registry_wanted_from(slot);
		bool		waits = slot->waits_since_us != PNVS_NEVER;
		int64		wait_us = waits ? 0 : start_wait_us(slot, rung);

		if (slot->state != PNVS_WORKER_ABSENT)
			continue;
		if (!slot->has_queue && rung == DT_NOEND && slot->failures == 0 && !waits)
		{
			pnvs_registry_forget(slot->database);
			continue;
		}
		if (wait_us > 0)
			next_us = Min(next_us, wait_us);
		/* who keeps it out may end without a word, too: another try */
		else if (!start_worker(slot->database, slot->failures, true))
			next_us = Min(next_us, retry_wait_us(waits ? 0 : slot->failures));
	}
	return next_us;
}

/*
 * How long it is, in us, until a worker is to be started, or PNVS_NEVER.  A row that was
 * announced waits for no pause but that after a failure.
 */
static int64
start_wait_us(const PnvsRegistrySlot *slot, TimestampTz announced)
{
	int64		pause_us = slot->not_before_us - pnvs_monotonic_us();
	int64		due_us = Max(us_until(slot->due), pause_us);
	int64		announced_us = us_until(announced);

	if (slot->failures > 0)
		announced_us = Max(announced_us, pause_us);
	return Min(due_us, announced_us);
}

static int64
us_until(TimestampTz time)
{
	TimestampTz now = GetCurrentTimestamp();

	return time == DT_NOEND ? PNVS_NEVER : time <= now ? 0 : time - now;
}

/* A qsort() comparator. */
static int
compare_waits(const void *a, const void *b)
{
	int64		one = ((const PnvsRegistrySlot *) a)->waits_since_us;
	int64		other = ((const PnvsRegistrySlot *) b)->waits_since_us;

	return one < other ? -1 : one > other;
}

/* One visitor at a time; who finds something to do is none any more. */
static void
visit_next(void)
{
	if (OidIsValid(visited) && pnvs_registry_is_visit_over(visited))
		visited = InvalidOid;
	while (!OidIsValid(visited) && to_visit != NIL)
	{
		Oid			database = linitial_oid(to_visit);

		to_visit = list_delete_first(to_visit);
		if (pnvs_registry_is_present(database))
			continue;
		if (start_worker(database, 0, false))
			visited = database;
	}
}

/*
 * Starts a worker.  Where there is no place for it, a database in which something is
 * due waits for one, and one that is only to be visited comes later.
 */
static bool
start_worker(Oid database, int failures, bool waits)
{
	Started    *worker;
	BackgroundWorkerHandle *handle;

	if (!pnvs_registry_note_start(database))
		return false;
	if (!pnvs_worker_start(database, &handle))
	{
		if (waits)
			pnvs_registry_note_wait(database);
		else
			pnvs_registry_note_end(database, pnvs_monotonic_us() + retry_wait_us(failures));
		pnvs_registry_ask_idle_to_leave();
		complain_of_workers();
		return false;
	}
	worker = palloc(sizeof(Started));
	worker->database = database;
	worker->failures = failures;
	worker->handle = handle;
	started = lappend(started, worker);
	return true;
}

static int64
retry_wait_us(int failures)
{
	return pnvs_backoff_doubled_ms(failures, FIRST_RETRY_MS, LONGEST_RETRY_MS) * 1000;
}

static void
complain_of_workers(void)
{
	if (may_log("workers", PNVS_LOG_LIMIT_INTERVAL_US))
		ereport(LOG,
				(errmsg("pnvs has no place for a worker that sends what is queued"),
				 errhint("Raise \"max_worker_processes\"; it is tried again.")));
}

static void
complain_of_overflow(void)
{
	if (!pnvs_registry_has_overflowed() || !may_log("databases", OVERFLOW_LOG_US))
		return;

	/*
	 * not before: as long as it stands there, no COMMIT wakes this process
	 * for it
	 */
	pnvs_registry_forget_overflow();
	ereport(LOG,
			(errmsg("pnvs has no place for a worker's database in its shared memory"),
			 errhint("Raise \"pnvs.max_databases\" and restart, or have a job CALL process_verification_queue() where there is no worker.")));
}

/* Whether it is long enough since the same was logged. */
static bool
may_log(const char *cause, int64 interval_us)
{
	static PnvsLogLimit limit;

	return pnvs_log_limit_count(&limit, cause, pnvs_monotonic_us(), interval_us) > 0;
}

static void
wait(int64 wait_us)
{
	static uint32 wait_event = 0;
	int64		wait_ms = Min(Max(wait_us, 0) / 1000 + (wait_us > 0), INT64CONST(86400000));

	pnvs_name_wait_event(&wait_event, "PnvsLauncher");
	if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) wait_ms,
				  wait_event) & WL_LATCH_SET)
		ResetLatch(MyLatch);
}
