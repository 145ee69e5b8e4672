/*-------------------------------------------------------------------------
 *
 * keeper.c
 *	  Writes snapshots: at intervals, and when the server ends.
 *
 * At intervals the queue's launcher does it, as long as anything changes.  There is no
 * launcher in a standby, but sessions there can send messages by direct calls.  So a server
 * that starts as a standby has a background worker for it, until its promotion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "compat.h"
#include "guard/guard.h"
#include "guard/keeper.h"
#include "guard/snapshot.h"
#include "monotonic.h"
#include "shared/memory.h"

/* A crash may forget what was admitted in 10 s: some of them are for the writing. */
#define INTERVAL_US (INT64CONST(8) * USECS_PER_SEC)

#define RESTART_S 1

/* More than the number of modules that have some. */
#define MAX_MEMORIES 4

static const PnvsKeptMemory *memories[MAX_MEMORIES];
static int	nmemories = 0;

static void write_last(int code, Datum arg);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_keeper_register(void)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = RESTART_S,
		.bgw_name = "pnvs keeper",
		.bgw_type = "pnvs keeper",
		.bgw_library_name = "pnvs",
		.bgw_function_name = "pnvs_keeper_main"
	};

	if (pnvs_guard_starts_as_standby())
		RegisterBackgroundWorker(&worker);
}

/*
 * Has the guard keep a module's memory.  To be called while shared_preload_libraries are
 * loaded; the memory must be made before the guard's.
 */
void
pnvs_guard_keep_memory(const PnvsKeptMemory *memory)
{
	if (nmemories == MAX_MEMORIES)
		elog(ERROR, "too many pieces of memory to keep");
	memories[nmemories++] = memory;
}

/* The modules' memory, from 0; NULL: there is no more. */
const PnvsKeptMemory *
pnvs_keeper_memory(int i)
{
	return i < nmemories ? memories[i] : NULL;
}

/* The snapshot is to be written again, for such memory has changed. */
void
pnvs_guard_note_change(void)
{
	pnvs_shares_note_change();
}

void
pnvs_keeper_main(Datum arg)
{
	uint32		wait_event = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	ConfigReloadPending = true;
	pnvs_name_wait_event(&wait_event, "PnvsKeeper");
	while (!ShutdownRequestPending)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		/* after the promotion the launcher does it; status 0: not again */
		if (!RecoveryInProgress())
			proc_exit(0);
		pnvs_wait_latch(pnvs_wait_ms(pnvs_guard_keep()), wait_event);
	}
	proc_exit(1);
}

/*
 * Writes a snapshot if it is time and anything has changed.  Returns how long it is, in us,
 * until the next.
 */
int64
pnvs_guard_keep(void)
{
	static int64 next_us = 0;
	int64		now_us = pnvs_monotonic_us();

	if (pnvs_guard_head == NULL)
		return PNVS_NEVER;
	if (now_us >= next_us)
	{
		next_us = now_us + INTERVAL_US;
		LWLockAcquire(pnvs_snapshot_lock(), LW_EXCLUSIVE);
		if (pg_atomic_read_u32(&pnvs_guard_head->changed) != 0)
			(void) pnvs_snapshot_write(false);
		LWLockRelease(pnvs_snapshot_lock());
	}
	return Max(next_us - pnvs_monotonic_us(), 0);
}

/* To be called when memory is made, by the postmaster or a single user's process. */
void
pnvs_keeper_begin(void)
{
	pnvs_snapshot_load();
	on_shmem_exit(write_last, (Datum) 0);
}

/*
 * An on_shmem_exit callback: the server ends, or after a crash begins anew.  If a process
 * has died in the middle of a change, memory is not to be trusted.
 */
static void
write_last(int code, Datum arg)
{
	if (code == 0 && !IsUnderPostmaster && pnvs_shared_memory_is_free())
		(void) pnvs_snapshot_write(true);
}
