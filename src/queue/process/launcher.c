/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background worker that starts a worker in each database that needs one.
 *
 * The launcher is connected to no database, so it cannot look for queues itself.  It
 * learns of work in three ways:
 *
 * - A session whose commit has queued a row announces that in the registry.
 * - A worker that leaves notes when its database needs a worker again: for a row that is
 *	 to be sent, looked up or deleted later.
 * - At its start, and at long intervals, the launcher probes every database, one at a
 *	 time: it starts a worker there, which leaves at once if there is no queue, or nothing
 *	 to do.
 *
 * The postmaster starts the launcher when recovery has finished (on a standby, after its
 * promotion), and again whenever it ends.
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
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/backoff.h"
#include "core/log_limit.h"
#include "guard/guard.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/registry/registry.h"
#include "settings.h"

/* The postmaster starts a launcher that has ended again after this. */
#define RESTART_S 1

/* Every database is probed at this multiple of pnvs.scan_interval. */
#define PROBE_FACTOR 10

/* The pauses after a worker fails to start; each is twice the last. */
#define FIRST_RETRY_MS 1000
#define LONGEST_RETRY_MS 60000

/* How often the log says that a database has no slot in shared memory. */
#define OVERFLOW_LOG_US (10 * PNVS_LOG_LIMIT_INTERVAL_US)

/* A worker that the postmaster was asked to start. */
typedef struct Started
{
	Oid			database;
	int			failures;		/* in a row, before this one */
	BackgroundWorkerHandle *handle;
} Started;

static List *started = NIL;
static List *to_probe = NIL;	/* OIDs */
static Oid	probed = InvalidOid;	/* the database that is being probed */
static int64 next_probe_us = 0; /* by the monotonic clock; 0: now */
static PnvsRegistrySlot *slots;

static void serve(void);
static int64 latest_probe_us(void);
static void list_databases(void);
static void note_ended(void);
static bool is_replaced(const Started *worker);
static int64 start_due(void);
static void probe_next(void);
static int	compare_waits(const void *a, const void *b);
static bool start_worker(Oid database, int failures, bool waits);
static int64 start_wait_us(const PnvsRegistrySlot *slot, TimestampTz announced);
static int64 retry_wait_us(int failures);
static void log_no_place(void);
static void log_overflow(void);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_launcher_register(void)
{
	BackgroundWorker worker;

	pnvs_worker_describe(&worker, "pnvs launcher", "pnvs_launcher_main");
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

	/* the postmaster starts it again, which it would not after status 0 */
	proc_exit(1);
}

static void
serve(void)
{
	static uint32 wait_event = 0;

	pnvs_name_wait_event(&wait_event, "PnvsLauncher");
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

			/* rows that are in no registry may be sent now */
			if (pnvs_after_promotion != after_promotion || pnvs_worker != worker)
				next_probe_us = 0;
			next_probe_us = Min(next_probe_us, latest_probe_us());
		}
		note_ended();
		if (pnvs_monotonic_us() >= next_probe_us)
		{
			/* a round of probes may take longer than the interval */
			if (to_probe == NIL || next_probe_us == 0)
				list_databases();
			next_probe_us = latest_probe_us();
		}
		if (pnvs_worker)
		{
			wait_us = start_due();
			probe_next();
		}
		log_overflow();
		wait_us = Min(wait_us, next_probe_us - pnvs_monotonic_us());
		wait_us = Min(wait_us, pnvs_settings_complain(true));
		wait_us = Min(wait_us, pnvs_guard_keep());
		pnvs_wait_latch(pnvs_wait_ms(wait_us), wait_event);
	}
}

/* When the next round of probes is to begin, if one begins now. */
static int64
latest_probe_us(void)
{
	return pnvs_monotonic_us() + PROBE_FACTOR * pnvs_scan_interval_s * USECS_PER_SEC;
}

/* Lists the databases that accept connections, to be probed. */
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
	list_free(to_probe);
	to_probe = NIL;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext transaction = MemoryContextSwitchTo(context);

		if (database->datallowconn && database->datconnlimit >= -1)
			to_probe = lappend_oid(to_probe, database->oid);
		MemoryContextSwitchTo(transaction);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	/* a wait for a lock may have reset the latch */
	SetLatch(MyLatch);
	MemoryContextSwitchTo(context);

	for (int i = pnvs_registry_copy(slots) - 1; i >= 0; i--)
	{
		if (!list_member_oid(to_probe, slots[i].database))
			pnvs_registry_drop(slots[i].database);
	}
}

/* Removes the workers that have ended, or could not be started. */
static void
note_ended(void)
{
	ListCell   *cell;

	foreach(cell, started)
	{
		Started    *worker = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
			continue;
		/* does nothing if the worker had entered the registry */
		if (!is_replaced(worker))
			pnvs_registry_note_failure(worker->database, pnvs_monotonic_us() + retry_wait_us(worker->failures));
		if (probed == worker->database)
			probed = InvalidOid;
		pfree(worker->handle);
		pfree(worker);
		started = foreach_delete_current(started, cell);
	}
}

/* Whether another worker of the database was started later. */
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

/* Starts the workers that are due.  Returns how long it is, in us, until the next, or PNVS_NEVER. */
static int64
start_due(void)
{
	int64		next_us = PNVS_NEVER;
	int			nslots = pnvs_registry_copy(slots);

	/* first the databases that wait for a place, the longest wait first */
	qsort(slots, nslots, sizeof(PnvsRegistrySlot), compare_waits);
	for (int i = 0; i < nslots; i++)
	{
		PnvsRegistrySlot *slot = &slots[i];
		TimestampTz announced = pnvs_registry_wanted_from(slot);
		bool		waits = slot->waits_since_us != PNVS_NEVER;
		int64		wait_us = waits ? 0 : start_wait_us(slot, announced);

		if (slot->state != PNVS_WORKER_ABSENT)
			continue;
		if (!slot->has_queue && announced == DT_NOEND && slot->failures == 0 && !waits)
		{
			pnvs_registry_forget(slot->database);
			continue;
		}
		if (wait_us > 0)
			next_us = Min(next_us, wait_us);
		/* a session that keeps workers out may end without notice: try again */
		else if (!start_worker(slot->database, slot->failures, true))
			next_us = Min(next_us, retry_wait_us(waits ? 0 : slot->failures));
	}
	return next_us;
}

/*
 * How long it is, in us, until a worker is to be started, or PNVS_NEVER.  For an announced
 * row it is started without a pause, except after a failure.
 */
static int64
start_wait_us(const PnvsRegistrySlot *slot, TimestampTz announced)
{
	int64		pause_us = slot->not_before_us - pnvs_monotonic_us();
	int64		due_us = Max(pnvs_us_until(slot->due), pause_us);
	int64		announced_us = pnvs_us_until(announced);

	if (slot->failures > 0)
		announced_us = Max(announced_us, pause_us);
	return Min(due_us, announced_us);
}

/* A qsort() comparator. */
static int
compare_waits(const void *a, const void *b)
{
	int64		one = ((const PnvsRegistrySlot *) a)->waits_since_us;
	int64		other = ((const PnvsRegistrySlot *) b)->waits_since_us;

	return one < other ? -1 : one > other;
}

/* Probes the next database.  A probe is over when its worker has found work. */
static void
probe_next(void)
{
	if (OidIsValid(probed) && pnvs_registry_has_stayed(probed))
		probed = InvalidOid;
	while (!OidIsValid(probed) && to_probe != NIL)
	{
		Oid			database = linitial_oid(to_probe);

		to_probe = list_delete_first(to_probe);
		if (pnvs_registry_is_present(database))
			continue;
		if (start_worker(database, 0, false))
			probed = database;
	}
}

/*
 * Starts a worker; false if it cannot be started now.  If there is no place for it, it gets
 * the next free place (with waits), or is tried again later.
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
			pnvs_registry_note_no_place(database);
		else
			pnvs_registry_note_failure(database, pnvs_monotonic_us() + retry_wait_us(failures));
		pnvs_registry_ask_idle_to_leave();
		log_no_place();
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
log_no_place(void)
{
	static int64 next_log_us = 0;

	if (pnvs_monotonic_us() < next_log_us)
		return;
	next_log_us = pnvs_monotonic_us() + PNVS_LOG_LIMIT_INTERVAL_US;
	ereport(LOG,
			(errmsg("pnvs has no place for a worker that sends what is queued"),
			 errhint("Raise \"max_worker_processes\"; it is tried again.")));
}

/* Logs that a database has no slot.  Until that is logged, no COMMIT wakes the launcher again. */
static void
log_overflow(void)
{
	static int64 next_log_us = 0;

	if (pnvs_monotonic_us() < next_log_us || !pnvs_registry_take_overflow())
		return;
	next_log_us = pnvs_monotonic_us() + OVERFLOW_LOG_US;
	ereport(LOG,
			(errmsg("pnvs has no place for a worker's database in its shared memory"),
			 errhint("Raise \"pnvs.max_databases\" and restart, or have a job CALL process_verification_queue() where there is no worker.")));
}
