/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker that sends what is queued in one database.
 *
 * The launcher starts it where there is, or may be, something to do.  Where there
 * is no queue, or nothing due, it notes that in the roster and ends: so it is the
 * launcher's probe, too.  With something to do it stays for as long as there is,
 * and for a while after, so that the next message goes out at once.
 *
 * It ends early when somebody drops, renames or copies its database, when it is
 * told to by SIGTERM, and when its place is needed elsewhere.  Then it claims no
 * more, gives what is under way a moment to come back, and settles the rest as
 * what is known of it.  Where it is for its place it goes on for a while first, and
 * waits for what is under way.
 *
 * Signals.  SIGINT, by which pg_cancel_backend() cancels a query, cancels none
 * here: a wait for a synchronous standby would end early.  It still serves
 * lock_timeout.  SIGTERM is a request at first; a transaction that does not end
 * (a standby does not answer) is left the hard way after a while.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/failure_log.h"
#include "queue/roster.h"
#include "queue/sender.h"
#include "queue/table.h"
#include "queue/upkeep.h"
#include "queue/worker.h"
#include "settings.h"

/* What is under way may come back within this; DROP DATABASE waits 5 s in all. */
#define LEAVE_GRACE_MS 2000

/* When the next worker may come where this one cannot say that nothing is wrong. */
#define SOON_MS 1000

/* Who could not make a dead sender's rows unknown tries again after this. */
#define RECOVER_AGAIN_MS 10000

/* Whose place is needed elsewhere sends for so long yet, however much there is. */
#define YIELD_AFTER_MS 3000

/* How often a transaction that takes long looks for SIGTERM. */
#define TERMINATION_CHECK_MS 1000

/* What a busy exchange of a wide window takes for a moment, and more. */
#define KEPT_MEMORY (8 * 1024 * 1024)

/* PostgreSQL's own files and some of ours, beside one for each connection. */
#define SPARE_DESCRIPTORS 256

typedef struct Worker
{
	PnvsSender *sender;
	TimestampTz next_scan;
	TimestampTz purged_at;
	TimestampTz next_purge;		/* of what was settled by then */
	TimestampTz busy;			/* when there was last something to do */
	TimestampTz asked;			/* since when its place is needed, or DT_NOEND */
	bool		recovered;		/* what dead senders have left */
	bool		stays;			/* the launcher knows that there was */
	bool		yields;			/* claims no more: the place is another's turn */
} Worker;

static TimeoutId termination_check;

/* When statistics that were not reported yet are to be, or DT_NOEND. */
static TimestampTz stats_due = DT_NOEND;

static void handle_signals(void);
static void on_interrupt(SIGNAL_ARGS);
static void check_termination(void);
static void pin_session(void);
static void keep_memory(void);
static void make_room_for_connections(void);
static PnvsCommit transact(void (*work) (void *arg), void *arg);
static void report_stats(bool force);
static void serve(Worker *worker);
static void scan(Worker *worker);
static TimestampTz purge_due(const Worker *worker);
static bool is_sent_away(bool *when_idle);
static bool wants_to_leave(Worker *worker, bool when_idle, bool *forced);
static bool yields(Worker *worker, bool asked, TimestampTz now);
static void wait_for_something(const Worker *worker);
static bool leave(Worker *worker, bool forced);
static void finish(Worker *worker);
static TimestampTz next_needed(const Worker *worker);
static TimestampTz soon(void);
static void leave_roster(int code, Datum arg);

/* Asks for a worker of a database; false where there is no place for one. */
bool
pnvs_worker_start(Oid database, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "pnvs worker for database %u", database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "pnvs worker");
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "pnvs");
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "pnvs_worker_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION |
		PNVS_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
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

	handle_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	if (!pnvs_roster_enter())
		proc_exit(0);
	before_shmem_exit(leave_roster, (Datum) 0);
	pin_session();
	keep_memory();

	context = AllocSetContextCreate(TopMemoryContext, "pnvs worker", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	worker.sender = pnvs_sender_create(transact, PG_INT64_MAX);
	worker.next_scan = worker.next_purge = worker.purged_at = DT_NOBEGIN;
	worker.busy = DT_NOBEGIN;
	worker.asked = DT_NOEND;
	serve(&worker);
	proc_exit(0);
}

static void
handle_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, on_interrupt);
	BackgroundWorkerUnblockSignals();

	/*
	 * PostgreSQL has thrown away a SIGHUP that came right after the fork, and
	 * with it what the settings are now
	 */
	ConfigReloadPending = true;
}

/* PostgreSQL's timer for lock_timeout sends SIGINT, too. */
static void
on_interrupt(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(PNVS_SIGNAL_PASS);
}

/* A timer's handler, while a transaction runs. */
static void
check_termination(void)
{
	if (ShutdownRequestPending)
	{
		InterruptPending = true;
		ProcDiePending = true;
		SetLatch(MyLatch);
	}
}

/* What ALTER DATABASE or a configuration file may have set does not reach us. */
static void
pin_session(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
		/* it would show the same few statements for ever */
		{"pg_stat_statements.track", "none"},
		/* it would log them with the numbers */
		{"auto_explain.log_min_duration", "-1"},
	};

	pnvs_table_pin_settings(GUC_ACTION_SET);
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
	}
	termination_check = RegisterTimeout(USER_TIMEOUT, check_termination);
}

/*
 * The GNU library would give the memory of each statement back to the kernel, to
 * ask for it again at the next one.
 */
static void
keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
#endif
}

/* The usual limit of 1,024 files is below what a wide window needs. */
static void
make_room_for_connections(void)
{
	struct rlimit limit;
	rlim_t		needed = pnvs_max_in_flight + SPARE_DESCRIPTORS;

	pnvs_client_expect_calls(pnvs_max_in_flight);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = Min(needed, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
		ereport(LOG,
				(errmsg("pnvs has fewer file descriptors than \"pnvs.max_in_flight\" may need"),
				 errhint("Raise the limit of open files of the server, or lower the setting.")));
}

/* A PnvsTransact. */
static PnvsCommit
transact(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile PnvsCommit result = PNVS_NOT_COMMITTED;

	pgstat_report_activity(STATE_RUNNING, "exchanging rows with the queue");
	enable_timeout_every(termination_check,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 TERMINATION_CHECK_MS),
						 TERMINATION_CHECK_MS);
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		work(arg);
		CommitTransactionCommand();
		result = PNVS_COMMITTED;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		result = pnvs_failure_log(error);
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	disable_timeout(termination_check, false);
	MemoryContextSwitchTo(context);
	report_stats(false);
	pgstat_report_activity(STATE_IDLE, NULL);

	/* waits for locks and standbys have reset it, whatever it was set for */
	SetLatch(MyLatch);
	return result;
}

/*
 * PostgreSQL puts reports off that come too often, and it is for an idle process
 * to make up for the last: autovacuum goes by them.
 */
static void
report_stats(bool force)
{
	long		wait_ms = pgstat_report_stat(force);

	stats_due = wait_ms > 0 ?
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms) : DT_NOEND;
}

/* Until there is a reason to leave, which is told to the roster. */
static void
serve(Worker *worker)
{
	for (;;)
	{
		TimestampTz rung = pnvs_roster_take_ring();
		bool		when_idle;
		bool		forced;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			make_room_for_connections();
			/* rows that were held back, or kept, may be no longer */
			worker->next_scan = worker->next_purge = DT_NOBEGIN;
		}
		if (rung != DT_NOEND)
		{
			pnvs_sender_look(worker->sender, rung);
			/* somebody may have left claims behind, or set the clock back */
			if (rung == DT_NOBEGIN)
				worker->next_scan = worker->next_purge = DT_NOBEGIN;
			worker->busy = GetCurrentTimestamp();
		}
		/* before anything more is claimed, which might not come back in time */
		if (is_sent_away(&when_idle) && leave(worker, true))
			return;
		scan(worker);
		pnvs_sender_turn(worker->sender);
		if (!pnvs_sender_is_idle(worker->sender))
			worker->busy = GetCurrentTimestamp();
		if (wants_to_leave(worker, when_idle, &forced))
		{
			if (leave(worker, forced))
				return;
		}
		else if (!worker->stays)
		{
			pnvs_roster_stay();
			worker->stays = true;
		}
		wait_for_something(worker);
	}
}

/* At intervals: what nobody has announced, and what is old. */
static void
scan(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now >= worker->next_scan)
	{
		worker->recovered = pnvs_upkeep_recover(transact, pnvs_sender_ledger(worker->sender));
		pnvs_sender_look(worker->sender, DT_NOBEGIN);
		worker->next_scan = now + pnvs_scan_interval_s * USECS_PER_SEC;
		if (!worker->recovered)
		{
			worker->next_scan = Min(worker->next_scan,
									TimestampTzPlusMilliseconds(now, RECOVER_AGAIN_MS));
			worker->busy = now;
		}
	}
	if (now >= stats_due)
		report_stats(true);
	if (now >= purge_due(worker))
	{
		worker->next_purge = pnvs_upkeep_purge(transact, pnvs_sender_ledger(worker->sender));
		worker->purged_at = now;
	}
}

/* When there may be something to delete, also of what was settled since. */
static TimestampTz
purge_due(const Worker *worker)
{
	return worker->busy == DT_NOBEGIN ? worker->next_purge :
		Min(worker->next_purge, pnvs_upkeep_next_purge(worker->purged_at));
}

/* Whether it has to leave at once; when_idle: as soon as nothing is to be done. */
static bool
is_sent_away(bool *when_idle)
{
	return pnvs_roster_must_leave(when_idle) || ShutdownRequestPending || !pnvs_worker;
}

/* Whether there is a reason to leave now; forced: whatever there is to do. */
static bool
wants_to_leave(Worker *worker, bool when_idle, bool *forced)
{
	TimestampTz now = GetCurrentTimestamp();

	*forced = !pnvs_sender_has_table(worker->sender) || yields(worker, when_idle, now);
	if (*forced)
		return true;
	if (!pnvs_sender_is_idle(worker->sender) || pnvs_sender_next_due(worker->sender) <= now)
		return false;

	/*
	 * who comes next would begin with what cannot be written, and with short
	 * pauses
	 */
	if (!when_idle && (purge_due(worker) <= now || pnvs_sender_passes_over(worker->sender)))
		return false;
	return when_idle || worker->busy == DT_NOBEGIN ||
		now - worker->busy >= pnvs_worker_idle_timeout_s * USECS_PER_SEC;
}

/*
 * Whether to leave though there is more to do, for others wait for a place: what is
 * under way has come back then, or would have.
 */
static bool
yields(Worker *worker, bool asked, TimestampTz now)
{
	TimestampTz end;

	if (!asked && !worker->yields)
		worker->asked = DT_NOEND;
	else if (worker->asked == DT_NOEND || worker->asked > now)
		worker->asked = now;
	if (worker->asked == DT_NOEND ||
		!TimestampDifferenceExceeds(worker->asked, now, YIELD_AFTER_MS))
		return false;
	pnvs_sender_stop_claiming(worker->sender);
	worker->yields = true;
	end = TimestampTzPlusMilliseconds(worker->asked, YIELD_AFTER_MS + pnvs_request_timeout_ms);
	return pnvs_sender_is_idle(worker->sender) || now >= end;
}

static void
wait_for_something(const Worker *worker)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = Min(Min(worker->next_scan, purge_due(worker)), stats_due);
	long		wait_ms = pnvs_sender_wait_ms(worker->sender);

	if (wait_event == 0)
		wait_event = pnvs_new_wait_event("PnvsWorker");

	/*
	 * it does not leave while something is due, for which it may have to
	 * pause, or was put off
	 */
	if (worker->busy != DT_NOBEGIN && pnvs_sender_is_idle(worker->sender) &&
		pnvs_sender_next_due(worker->sender) > now && !pnvs_sender_passes_over(worker->sender))
		next = Min(next, worker->busy + pnvs_worker_idle_timeout_s * USECS_PER_SEC);
	if (next <= now)
		next = now;
	if (wait_ms < 0 || wait_ms > (next - now) / 1000)
		wait_ms = (long) ((next - now + 999) / 1000);
	(void) pnvs_client_wait(wait_ms, wait_event);
}

/*
 * Settles what is under way, and leaves unless something has become due.  Who
 * comes next must find the claims of nobody who lives.
 */
static bool
leave(Worker *worker, bool forced)
{
	bool		has_table;
	TimestampTz needed;

	finish(worker);
	has_table = pnvs_sender_has_table(worker->sender);
	needed = next_needed(worker);
	if (forced)
		pnvs_sender_destroy(worker->sender);
	return pnvs_roster_leave(has_table, needed, forced);
}

/* Lets what is under way come back, for a moment, and settles the rest. */
static void
finish(Worker *worker)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEAVE_GRACE_MS);
	static uint32 wait_event = 0;

	if (pnvs_sender_is_idle(worker->sender))
		return;
	if (wait_event == 0)
		wait_event = pnvs_new_wait_event("PnvsWorkerLeave");
	pnvs_sender_stop_claiming(worker->sender);
	while (!pnvs_sender_is_idle(worker->sender))
	{
		long		left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		long		wait_ms = pnvs_sender_wait_ms(worker->sender);

		if (left_ms <= 0 || left_ms > LEAVE_GRACE_MS)
			break;
		(void) pnvs_client_wait(wait_ms < 0 ? left_ms : Min(wait_ms, left_ms), wait_event);
		CHECK_FOR_INTERRUPTS();
		pnvs_sender_turn(worker->sender);
	}
	if (pnvs_sender_is_idle(worker->sender))
		return;
	pnvs_sender_abandon(worker->sender);

	/*
	 * what was being looked up, or could not be settled, is to be found by
	 * the next one
	 */
	pnvs_sender_look(worker->sender, DT_NOBEGIN);
}

/* When this database needs a worker again, as far as is known. */
static TimestampTz
next_needed(const Worker *worker)
{
	TimestampTz next = Min(pnvs_sender_next_due(worker->sender), purge_due(worker));

	if (!worker->recovered)
		next = Min(next, worker->next_scan);

	/*
	 * a launcher that has yet to learn that there is to be none would start
	 * one after the other
	 */
	return pnvs_worker ? next : Max(next, soon());
}

static TimestampTz
soon(void)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SOON_MS);
}

/* Before the process ends, however it ends. */
static void
leave_roster(int code, Datum arg)
{
	(void) pnvs_roster_leave(true, soon(), true);
}
