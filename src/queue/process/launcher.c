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
#include "queue/sender/clock.h"
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

/* The log says no more often that there is no place for a worker, or a database. */
#define WORKERS_COMPLAINT_MS 60000
#define OVERFLOW_COMPLAINT_MS (10 * 60000)

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
static TimestampTz next_visit = DT_NOBEGIN;
static PnvsRegistrySlot *slots;

static void serve(void);
static void list_databases(void);
static bool is_connectable(Form_pg_database database);
static void look_after_started(void);
static bool is_replaced(const Started *worker);
static TimestampTz start_where_due(void);
static void visit_next(void);
static int	compare_waits(const void *a, const void *b);
static bool start_worker(Oid database, int failures, bool waits);
static TimestampTz retry_at(int failures);
static void complain_of_workers(void);
static void complain_of_overflow(void);
static bool may_complain(TimestampTz *told_at, int interval_ms);
static void wait_until(TimestampTz next);

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
	int64		clock_ahead_us = 0;

	while (!ShutdownRequestPending)
	{
		TimestampTz next;

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
				next_visit = DT_NOBEGIN;
		}
		/* each visit finds anew when the next worker is needed */
		if (pnvs_clock_was_set_back(&clock_ahead_us))
			next_visit = DT_NOBEGIN;
		look_after_started();
		if (GetCurrentTimestamp() >= next_visit)
		{
			/* a round that takes longer than the interval is not begun anew */
			if (to_visit == NIL || next_visit == DT_NOBEGIN)
				list_databases();
			next_visit = GetCurrentTimestamp() +
				VISIT_FACTOR * pnvs_scan_interval_s * USECS_PER_SEC;
		}
		next = DT_NOEND;
		if (pnvs_worker)
		{
			next = start_where_due();
			visit_next();
		}
		complain_of_overflow();
		wait_until(Min(Min(next, next_visit), pnvs_settings_complain(true)));
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
			pnvs_registry_note_end(worker->database, retry_at(worker->failures));
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

/* Starts workers where something is due; when the next will be. */
static TimestampTz
start_where_due(void)
{
	TimestampTz next = DT_NOEND;
	TimestampTz now = GetCurrentTimestamp();
	int			nslots = pnvs_registry_copy(slots);

	/* who waits for a place is first, the longest first */
	qsort(slots, nslots, sizeof(PnvsRegistrySlot), compare_waits);
	for (int i = 0; i < nslots; i++)
	{
		PnvsRegistrySlot *slot = &slots[i];
		TimestampTz rung = pnvs_registry_wanted_from(slot);
		bool		waits = slot->waits_since != DT_NOEND;
		TimestampTz due = waits ? DT_NOBEGIN : Min(rung, slot->due);

		if (slot->state != PNVS_WORKER_ABSENT)
			continue;
		if (!slot->has_queue && rung == DT_NOEND && slot->failures == 0 && !waits)
		{
			pnvs_registry_forget(slot->database);
			continue;
		}
		if (slot->failures > 0 && !waits)
			due = Max(due, slot->due);
		if (due > now)
			next = Min(next, due);
		/* who keeps it out may end without a word, too: another try */
		else if (!start_worker(slot->database, slot->failures, true))
			next = Min(next, retry_at(waits ? 0 : slot->failures));
	}
	return next;
}

/* A qsort() comparator. */
static int
compare_waits(const void *a, const void *b)
{
	TimestampTz one = ((const PnvsRegistrySlot *) a)->waits_since;
	TimestampTz other = ((const PnvsRegistrySlot *) b)->waits_since;

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
			pnvs_registry_note_end(database, retry_at(failures));
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

static TimestampTz
retry_at(int failures)
{
	int64		wait_ms = FIRST_RETRY_MS;

	for (int i = 0; i < failures && wait_ms < LONGEST_RETRY_MS; i++)
		wait_ms *= 2;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(wait_ms, LONGEST_RETRY_MS));
}

static void
complain_of_workers(void)
{
	static TimestampTz told_at = DT_NOBEGIN;

	if (may_complain(&told_at, WORKERS_COMPLAINT_MS))
		ereport(LOG,
				(errmsg("pnvs has no place for a worker that sends what is queued"),
				 errhint("Raise \"max_worker_processes\"; it is tried again.")));
}

static void
complain_of_overflow(void)
{
	static TimestampTz told_at = DT_NOBEGIN;

	if (!pnvs_registry_has_overflowed() || !may_complain(&told_at, OVERFLOW_COMPLAINT_MS))
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

/* Whether it is long enough since the same was said; told_at is when. */
static bool
may_complain(TimestampTz *told_at, int interval_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (*told_at != DT_NOBEGIN && !TimestampDifferenceExceeds(*told_at, now, interval_ms))
		return false;
	*told_at = now;
	return true;
}

static void
wait_until(TimestampTz next)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	int64		wait_ms = next <= now ? 0 : Min((next - now) / 1000 + 1, INT64CONST(86400000));

	if (wait_event == 0)
		wait_event = pnvs_new_wait_event("PnvsLauncher");
	if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) wait_ms,
				  wait_event) & WL_LATCH_SET)
		ResetLatch(MyLatch);
}
