/*-------------------------------------------------------------------------
 *
 * worker_process.c
 *	  Sets up a worker's process, with signals, settings and limits, and runs its
 *	  transactions.
 *
 * SIGINT, which pg_cancel_backend() sends, cancels nothing here: it would cut a wait for a
 * synchronous standby short.  PostgreSQL also sends it for lock_timeout, which is served.
 * SIGTERM asks the worker to leave.  If a transaction does not end, because a standby does
 * not answer for example, it ends the process after a while.
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
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/sender/transaction.h"
#include "remote/client.h"
#include "settings.h"
#include "table/table.h"

/* How often a long transaction checks for SIGTERM. */
#define TERMINATION_CHECK_MS 1000

/* More than an exchange of a wide window uses. */
#define KEPT_MEMORY (8 * 1024 * 1024)

/* Descriptors for files of PostgreSQL and of pnvs, beside those of connections. */
#define SPARE_DESCRIPTORS 256

static TimeoutId termination_check;
static int64 stats_due_us = PNVS_NEVER; /* by the monotonic clock */

static void on_interrupt(SIGNAL_ARGS);
static void pin_session(void);
static void keep_memory(void);
static void check_termination(void);

/* The description of a background worker, as the launcher and workers share it. */
void
pnvs_worker_describe(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "pnvs", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
}

/* Installs the signal handlers, and unblocks signals. */
void
pnvs_worker_handle_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, on_interrupt);
	BackgroundWorkerUnblockSignals();

	/*
	 * PostgreSQL discards a SIGHUP that comes right after the fork, so the
	 * settings may have changed
	 */
	ConfigReloadPending = true;
}

/* A handler of SIGINT, which the timer of lock_timeout sends, too. */
static void
on_interrupt(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(PNVS_SIGNAL_PASS);
}

/* To be called once the process is connected to its database. */
void
pnvs_worker_prepare(void)
{
	pin_session();
	keep_memory();
	termination_check = RegisterTimeout(USER_TIMEOUT, check_termination);
}

/* Pins settings that ALTER DATABASE or a configuration file may have changed. */
static void
pin_session(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
		/* it would count the same few statements for ever */
		{"pg_stat_statements.track", "none"},
		/* it would log them with the numbers */
		{"auto_explain.log_min_duration", "-1"},
	};

	pnvs_table_pin_settings();
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
	}
}

/*
 * Keeps freed memory in the process: otherwise the GNU library returns it to the kernel
 * after each statement, and asks for it again at the next.
 */
static void
keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY);
#endif
}

/* Raises the limit of open files: the usual 1,024 are too few for a wide window. */
void
pnvs_worker_expect_connections(void)
{
	struct rlimit limit;
	rlim_t		needed = pnvs_max_in_flight + SPARE_DESCRIPTORS;

	pnvs_http_keep_connections(pnvs_max_in_flight);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = Min(needed, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
		ereport(LOG,
				(errmsg("pnvs has fewer file descriptors than \"pnvs.max_in_flight\" may need"),
				 errhint("Raise the limit of open files of the server, or lower the setting.")));
}

/* A PnvsTransact. */
ErrorData *
pnvs_worker_transact(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

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
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		error = pnvs_transaction_take_error(context);
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	disable_timeout(termination_check, false);
	MemoryContextSwitchTo(context);
	pnvs_worker_report_stats(false);
	pgstat_report_activity(STATE_IDLE, NULL);

	/* a wait for a lock or a standby may have reset the latch */
	SetLatch(MyLatch);
	return error;
}

/* Called by a timer while a transaction runs. */
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

/*
 * Reports statistics of tables, which autovacuum goes by.  PostgreSQL postpones reports
 * that come too often; the worker makes the last report when it is idle.
 */
void
pnvs_worker_report_stats(bool force)
{
	long		wait_ms = pgstat_report_stat(force);

	stats_due_us = wait_ms > 0 ? pnvs_monotonic_us() + wait_ms * INT64CONST(1000) : PNVS_NEVER;
}

/* When a postponed report is due, or PNVS_NEVER. */
int64
pnvs_worker_stats_due_us(void)
{
	return stats_due_us;
}
