/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker that sends the queued messages of one database.
 *
 * The launcher starts it if there is, or may be, something to do.  If there is no queue,
 * or nothing is due, the worker notes that in the registry and ends, so it also serves as
 * the launcher's probe.  Otherwise it stays as long as there is work, and for a while
 * after that, so that the next message is sent at once.
 *
 * The worker ends early on SIGTERM, and for a statement that drops, renames or copies its
 * database.  Then it claims no more, waits a moment for the requests under way, and
 * settles the rest without their replies.  If another database needs its place, it keeps
 * sending for a while, and then waits for its requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/registry/registry.h"
#include "queue/sender/sender.h"
#include "queue/sender/transaction.h"
#include "settings.h"

/* How long to wait for requests under way; DROP DATABASE waits 5 s in all. */
#define LEAVE_GRACE_US (2 * USECS_PER_SEC)

/* The pause before the next worker if this worker ends unexpectedly. */
#define SOON_US USECS_PER_SEC

/*
 * The worker looks for rows of dead senders at its start, when a session asks for that, and
 * at this multiple of pnvs.scan_interval.  A look reads the index entries of all rows that
 * are, or lately were, being sent.
 */
#define RECOVERY_FACTOR 10

/* If such rows could not be written, they are tried again after this. */
#define RECOVER_AGAIN_US (10 * USECS_PER_SEC)

/* A worker that has been asked to yield keeps sending for this long, even with a backlog. */
#define YIELD_AFTER_US (3 * USECS_PER_SEC)

typedef struct Worker
{
	PnvsSender *sender;
	/* times by the monotonic clock; 0: now, or never yet */
	int64		next_scan_us;
	int64		next_recovery_us;
	int64		purged_at_us;
	int64		next_purge_us;	/* of rows that were settled by then */
	int64		busy_us;		/* when there was last something to do */
	int64		asked_us;		/* since when it is asked to yield */
	bool		recovered;		/* no dead sender's rows are left */
	bool		stays;			/* the launcher knows that there is work */
	bool		yields;			/* claims no more, to leave its place */
} Worker;

static void serve(Worker *worker);
static void take_wake_up(Worker *worker);
static void scan(Worker *worker);
static void recover(Worker *worker);
static int64 purge_due_us(const Worker *worker);
static bool must_leave(bool *when_idle);
static bool wants_to_leave(Worker *worker, bool when_idle, bool *forced);
static bool yields(Worker *worker, bool asked, int64 now_us);
static void wait_for_something(const Worker *worker);
static bool leave(Worker *worker, bool forced);
static void finish(Worker *worker);
static void next_needed(const Worker *worker, PnvsNextWorker *next);
static void leave_registry(int code, Datum arg);

/* Asks the postmaster for a worker of a database; false if there is no place for it. */
bool
pnvs_worker_start(Oid database, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	pnvs_worker_describe(&worker, "pnvs worker", "pnvs_worker_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "pnvs worker for database %u", database);
	worker.bgw_flags |= PNVS_BGWORKER_INTERRUPTIBLE;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

void
pnvs_worker_main(Datum arg)
{
	Worker		worker = {0};
	MemoryContext context;

	pnvs_worker_handle_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	if (!pnvs_registry_enter())
		proc_exit(0);
	before_shmem_exit(leave_registry, (Datum) 0);
	pnvs_worker_prepare();
	pnvs_settings_use_server_values(true);

	context = AllocSetContextCreate(TopMemoryContext, "pnvs worker", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	worker.sender = pnvs_sender_create(pnvs_worker_transact, PG_INT64_MAX);
	serve(&worker);
	proc_exit(0);
}

/* Sends until there is a reason to leave, and takes itself out of the registry. */
static void
serve(Worker *worker)
{
	for (;;)
	{
		bool		when_idle;
		bool		forced;

		take_wake_up(worker);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			pnvs_worker_expect_connections();
			pnvs_sender_settings_changed(worker->sender);
			/* the settings may let more rows be sent, or deleted */
			worker->next_scan_us = worker->next_purge_us = 0;
		}
		/* before it claims messages whose replies may come too late */
		if (must_leave(&when_idle) && leave(worker, true))
			return;
		scan(worker);
		pnvs_sender_turn(worker->sender);
		if (!pnvs_sender_is_idle(worker->sender))
			worker->busy_us = pnvs_monotonic_us();
		if (wants_to_leave(worker, when_idle, &forced))
		{
			if (leave(worker, forced))
				return;
		}
		else if (!worker->stays)
		{
			pnvs_registry_stay();
			worker->stays = true;
		}
		wait_for_something(worker);
	}
}

/* Takes note of what sessions have announced since the last turn. */
static void
take_wake_up(Worker *worker)
{
	PnvsWakeUp	wake_up = pnvs_registry_take_wake_up();

	if (wake_up.due != DT_NOEND)
		pnvs_sender_look(worker->sender, wake_up.due);
	if (wake_up.recover)
		worker->next_recovery_us = 0;
	if (wake_up.due != DT_NOEND || wake_up.recover)
		worker->busy_us = pnvs_monotonic_us();
}

/* At intervals: looks for rows that no session has announced, and deletes old rows. */
static void
scan(Worker *worker)
{
	int64		now_us = pnvs_monotonic_us();
	PnvsClaimer *claimer = pnvs_sender_claimer(worker->sender);

	if (now_us >= worker->next_recovery_us)
		recover(worker);
	if (now_us >= worker->next_scan_us)
	{
		pnvs_sender_look(worker->sender, DT_NOBEGIN);
		if (!pnvs_sending)
			pnvs_upkeep_expire(pnvs_worker_transact, claimer);
		worker->next_scan_us = now_us + pnvs_scan_interval_s * USECS_PER_SEC;
	}
	if (now_us >= pnvs_worker_stats_due_us())
		pnvs_worker_report_stats(true);
	if (now_us >= purge_due_us(worker))
	{
		int64		wait_us = pnvs_upkeep_purge(pnvs_worker_transact, claimer);

		worker->next_purge_us = wait_us == PNVS_NEVER ? PNVS_NEVER : now_us + wait_us;
		worker->purged_at_us = now_us;
	}
}

/* Makes the rows unknown that dead senders have claimed, and has them looked up. */
static void
recover(Worker *worker)
{
	int64		now_us = pnvs_monotonic_us();
	const int64 interval_us = pnvs_scan_interval_s * USECS_PER_SEC;

	worker->recovered = pnvs_upkeep_recover(pnvs_worker_transact,
											pnvs_sender_claimer(worker->sender));
	pnvs_upkeep_repeat(pnvs_worker_transact, true);
	worker->next_scan_us = 0;
	worker->next_recovery_us = now_us + RECOVERY_FACTOR * interval_us;
	if (worker->recovered)
		return;
	worker->next_recovery_us = now_us + Min(interval_us, RECOVER_AGAIN_US);
	worker->busy_us = now_us;
}

/* When rows may be old enough to be deleted, also rows settled since the last purge. */
static int64
purge_due_us(const Worker *worker)
{
	return worker->busy_us == 0 ? worker->next_purge_us :
		Min(worker->next_purge_us, worker->purged_at_us + pnvs_upkeep_interval_us());
}

/* Whether to leave at once; when_idle: as soon as there is nothing to do. */
static bool
must_leave(bool *when_idle)
{
	return pnvs_registry_must_leave(when_idle) || ShutdownRequestPending || !pnvs_worker;
}

/* Whether there is a reason to leave now; forced: even with work to do. */
static bool
wants_to_leave(Worker *worker, bool when_idle, bool *forced)
{
	int64		now_us = pnvs_monotonic_us();

	*forced = !pnvs_sender_has_table(worker->sender) || yields(worker, when_idle, now_us);
	if (*forced)
		return true;
	if (!pnvs_sender_is_idle(worker->sender) || pnvs_sender_next_due(worker->sender) <= GetCurrentTimestamp())
		return false;

	if (!when_idle && purge_due_us(worker) <= now_us)
		return false;
	if (!when_idle && pnvs_upkeep_repeat_due_us() != PNVS_NEVER)
		return false;
	return when_idle || worker->busy_us == 0 ||
		now_us - worker->busy_us >= pnvs_worker_idle_timeout_s * USECS_PER_SEC;
}

/*
 * Whether to leave the place to another database, even with work to do.  The worker stops
 * claiming after a while, and leaves when its requests have come back or timed out.
 */
static bool
yields(Worker *worker, bool asked, int64 now_us)
{
	if (!asked && !worker->yields)
		worker->asked_us = 0;
	else if (worker->asked_us == 0)
		worker->asked_us = now_us;
	if (worker->asked_us == 0 || now_us - worker->asked_us < YIELD_AFTER_US)
		return false;
	pnvs_sender_stop_claiming(worker->sender);
	worker->yields = true;
	return pnvs_sender_is_idle(worker->sender) ||
		now_us - worker->asked_us >= YIELD_AFTER_US + pnvs_settings_request_timeout_ms() * INT64CONST(1000);
}

static void
wait_for_something(const Worker *worker)
{
	static uint32 wait_event = 0;
	int64		now_us = pnvs_monotonic_us();
	int64		next_us = Min(Min(worker->next_scan_us, worker->next_recovery_us),
							  Min(purge_due_us(worker), pnvs_worker_stats_due_us()));
	int64		wait_us;

	pnvs_name_wait_event(&wait_event, "PnvsWorker");

	/* while rows are due it does not leave, even if it has to pause */
	if (worker->busy_us != 0 && pnvs_sender_is_idle(worker->sender) &&
		pnvs_sender_next_due(worker->sender) > GetCurrentTimestamp())
		next_us = Min(next_us, worker->busy_us + pnvs_worker_idle_timeout_s * USECS_PER_SEC);
	wait_us = Min(Min(next_us - now_us, pnvs_settings_complain(false)),
				  pnvs_sender_wait_us(worker->sender));
	(void) pnvs_client_wait(pnvs_wait_ms(wait_us), wait_event);
}

/*
 * Settles the requests under way and leaves; false if a row was announced meanwhile, unless
 * forced.  A forced leave first releases the claimer's lock: otherwise the next worker
 * could take the claimer for alive.
 */
static bool
leave(Worker *worker, bool forced)
{
	PnvsNextWorker next = {.has_queue = true};

	finish(worker);
	next_needed(worker, &next);
	if (forced)
		pnvs_sender_destroy(worker->sender);
	return pnvs_registry_leave(&next, forced);
}

/* Waits a moment for the requests under way, and settles the rest. */
static void
finish(Worker *worker)
{
	int64		end_us = pnvs_monotonic_us() + LEAVE_GRACE_US;
	static uint32 wait_event = 0;

	if (pnvs_sender_is_idle(worker->sender))
		return;
	pnvs_name_wait_event(&wait_event, "PnvsWorkerLeave");
	pnvs_sender_stop_claiming(worker->sender);
	while (!pnvs_sender_is_idle(worker->sender))
	{
		int64		left_us = end_us - pnvs_monotonic_us();

		if (left_us <= 0)
			break;
		(void) pnvs_client_wait(pnvs_wait_ms(Min(left_us, pnvs_sender_wait_us(worker->sender))),
								wait_event);
		CHECK_FOR_INTERRUPTS();
		pnvs_sender_turn(worker->sender);
	}
	if (pnvs_sender_is_idle(worker->sender))
		return;
	pnvs_sender_abandon(worker->sender);

	/* the next worker finds the rows that were looked up or not settled */
	pnvs_sender_look(worker->sender, DT_NOBEGIN);
}

/* When this database needs a worker again, as far as is known. */
static void
next_needed(const Worker *worker, PnvsNextWorker *next)
{
	int64		now_us = pnvs_monotonic_us();
	int64		wait_us = purge_due_us(worker);

	if (!worker->recovered)
		wait_us = Min(wait_us, worker->next_recovery_us);
	next->has_queue = pnvs_sender_has_table(worker->sender);
	next->due = pnvs_sender_next_due(worker->sender);
	if (wait_us != PNVS_NEVER)
		next->due = Min(next->due, GetCurrentTimestamp() + Max(wait_us - now_us, 0));

	/*
	 * a launcher that has not read pnvs.worker yet would start one worker
	 * after the other
	 */
	if (!pnvs_worker)
		next->not_before_us = now_us + SOON_US;
}

/* Called before the process ends, for whatever reason. */
static void
leave_registry(int code, Datum arg)
{
	PnvsNextWorker next = {true, DT_NOBEGIN, pnvs_monotonic_us() + SOON_US};

	(void) pnvs_registry_leave(&next, true);
}
