/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Lets sessions announce rows that are due, which wakes the worker of their database,
 *	  and lets workers enter and leave.
 *
 * A session that has queued a row announces it when its transaction ends.  The worker
 * then reads the row in the queue's table.  A lost announcement costs time, never a
 * message: workers look at the whole queue at their start and at intervals.
 *
 * The announced time is atomic.  So sessions share the lock at COMMIT, and need no lock
 * if an earlier row is announced already.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "monotonic.h"
#include "queue/registry/memory.h"

/* The earliest row that this transaction announces when it ends, or DT_NOEND. */
static TimestampTz wake_on_commit = DT_NOEND;
static TimestampTz wake_on_abort = DT_NOEND;

/* The earliest row that transactions of this process have announced, or DT_NOEND. */
static TimestampTz own = DT_NOEND;

static bool is_announced(TimestampTz not_before);
static void announce(TimestampTz not_before, bool recover);
static void note(PnvsRegistrySlot *slot, TimestampTz not_before, bool recover);
static bool lower(pg_atomic_uint64 *announced, TimestampTz not_before);
static void on_transaction_end(XactEvent event, void *arg);

bool
pnvs_registry_is_shared(void)
{
	return pnvs_registry != NULL;
}

/*
 * Announces a row that this transaction has made due at not_before, if the transaction
 * is committed; with also_on_abort in any case.
 */
void
pnvs_registry_wake_at_end(TimestampTz not_before, bool also_on_abort)
{
	static bool registered = false;

	if (pnvs_registry == NULL)
		return;
	if (!registered)
		RegisterXactCallback(on_transaction_end, NULL);
	registered = true;
	wake_on_commit = Min(wake_on_commit, not_before);
	if (also_on_abort)
		wake_on_abort = Min(wake_on_abort, not_before);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	TimestampTz due = DT_NOEND;

	if (event == XACT_EVENT_COMMIT)
		due = Min(wake_on_commit, wake_on_abort);
	else if (event == XACT_EVENT_ABORT)
		due = wake_on_abort;
	else if (event == XACT_EVENT_PRE_PREPARE)
	{
		if (wake_on_commit != DT_NOEND)
			pnvs_prepared_remember();
		return;
	}
	else if (event != XACT_EVENT_PREPARE)
		return;
	wake_on_commit = wake_on_abort = DT_NOEND;
	own = Min(own, due);
	if (due != DT_NOEND)
		pnvs_registry_wake(due);
}

/*
 * When the earliest row is due that this process has queued since the last call, or
 * DT_NOEND: for a sender that queues rows itself, and may be no worker.
 */
TimestampTz
pnvs_registry_take_own(void)
{
	TimestampTz due = own;

	own = DT_NOEND;
	return due;
}

/* Announces a row of this database now.  Never throws. */
void
pnvs_registry_wake(TimestampTz not_before)
{
	if (pnvs_registry != NULL && !is_announced(not_before))
		announce(not_before, false);
}

/*
 * Asks the worker of this database, which is started if there is none, to look for rows
 * whose claimer has ended.  Never throws.
 */
void
pnvs_registry_ask_to_recover(void)
{
	if (pnvs_registry != NULL)
		announce(DT_NOEND, true);
}

/*
 * Whether this row, or an earlier row, is announced, and no worker has taken notice yet.
 * The worker that does will see this row, which is committed by now.  A slot with an
 * announcement keeps its database, so this needs no lock.
 */
static bool
is_announced(TimestampTz not_before)
{
	PnvsRegistrySlot *slot;

	pg_memory_barrier();
	slot = pnvs_registry_own_slot();
	return slot != NULL && (TimestampTz) pg_atomic_read_u64(&slot->announced) <= not_before;
}

static void
announce(TimestampTz not_before, bool recover)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_SHARED, MyDatabaseId);
	bool		done;

	/* the launcher is woken once for a missing slot, until it has logged that */
	done = slot == NULL ? pnvs_registry->overflowed : slot->has_queue;
	if (slot != NULL && done)
		note(slot, not_before, recover);
	pnvs_registry_unlock();
	if (done)
		return;

	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	slot = pnvs_registry_add_slot(MyDatabaseId);
	if (slot != NULL)
	{
		slot->has_queue = true;
		note(slot, not_before, recover);
	}
	else
		pnvs_registry_set_latch(pnvs_registry->launcher_latch);
	pnvs_registry_unlock();
}

/* Wakes the worker or the launcher, unless that was done for the same already. */
static void
note(PnvsRegistrySlot *slot, TimestampTz not_before, bool recover)
{
	bool		is_new = lower(&slot->announced, not_before);

	if (recover && pg_atomic_exchange_u32(&slot->recovery_asked, 1) == 0)
		is_new = true;
	if (is_new)
		pnvs_registry_set_latch(slot->state == PNVS_WORKER_PRESENT ? slot->worker_latch :
								pnvs_registry->launcher_latch);
}

static bool
lower(pg_atomic_uint64 *announced, TimestampTz not_before)
{
	uint64		old = pg_atomic_read_u64(announced);

	while (not_before < (TimestampTz) old)
	{
		if (pg_atomic_compare_exchange_u64(announced, &old, (uint64) not_before))
			return true;
	}
	return false;
}

/*
 * Makes this process the worker of its database.  False if another process is, or if
 * workers are kept out.
 */
bool
pnvs_registry_enter(void)
{
	PnvsRegistrySlot *slot;
	bool		entered;

	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	slot = pnvs_registry_add_slot(MyDatabaseId);
	entered = slot != NULL && !slot->sent_away && slot->state != PNVS_WORKER_PRESENT;
	if (entered)
	{
		slot->state = PNVS_WORKER_PRESENT;
		slot->has_queue = true; /* until the worker finds that there is none */
		slot->worker_pid = MyProcPid;
		slot->worker_latch = MyLatch;
		slot->waits_since_us = PNVS_NEVER;
		slot->stays = false;
	}
	pnvs_registry_unlock();
	return entered;
}

/* This worker has found work, so the launcher need not wait until it ends. */
void
pnvs_registry_stay(void)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_EXCLUSIVE, MyDatabaseId);

	if (slot != NULL && slot->worker_pid == MyProcPid)
	{
		slot->stays = true;
		pnvs_registry_set_latch(pnvs_registry->launcher_latch);
	}
	pnvs_registry_unlock();
}

/* What sessions have announced since the last call. */
PnvsWakeUp
pnvs_registry_take_wake_up(void)
{
	PnvsWakeUp	wake_up = {.due = DT_NOEND};
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_SHARED, MyDatabaseId);

	if (slot != NULL)
	{
		wake_up.due = (TimestampTz) pg_atomic_exchange_u64(&slot->announced, (uint64) DT_NOEND);
		wake_up.recover = pg_atomic_exchange_u32(&slot->recovery_asked, 0) != 0;
		/* this worker has started; no other process writes this meanwhile */
		if (slot->failures > 0)
			slot->failures = 0;
	}
	pnvs_registry_unlock();
	return wake_up;
}

/* Whether this worker must leave now; when_idle: as soon as it has nothing to do. */
bool
pnvs_registry_must_leave(bool *when_idle)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_SHARED, MyDatabaseId);
	bool		must = slot == NULL || slot->sent_away;

	*when_idle = pnvs_registry->idle_should_leave;
	pnvs_registry_unlock();
	return must;
}

/*
 * Removes this worker from the registry, if it has entered, and notes when its database
 * needs the next.  False if the worker must stay, because a row was announced meanwhile
 * and even_if_woken is not set.
 */
bool
pnvs_registry_leave(const PnvsNextWorker *next, bool even_if_woken)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_EXCLUSIVE, MyDatabaseId);
	bool		left = true;

	if (slot != NULL && slot->state == PNVS_WORKER_PRESENT && slot->worker_pid == MyProcPid)
	{
		left = even_if_woken || pnvs_registry_wanted_from(slot) == DT_NOEND;
		if (left)
		{
			slot->state = PNVS_WORKER_ABSENT;
			slot->worker_pid = 0;
			slot->worker_latch = NULL;
			slot->has_queue = next->has_queue;
			slot->due = next->due;
			slot->not_before_us = next->not_before_us;
			pnvs_registry->idle_should_leave = false;
			pnvs_registry_set_latch(pnvs_registry->launcher_latch);
		}
	}
	pnvs_registry_unlock();
	return left;
}
