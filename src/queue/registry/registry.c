/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Shared memory: which databases have a queue, and who works there.
 *
 * The table is the truth; what stands here is a hint, by which a worker is
 * there when it is needed and looks where something is new.  A hint that gets
 * lost costs time, never a message: workers look at the whole queue when they
 * start and at intervals.
 *
 * The registry is protected by its lock, a single one: it is held for a walk over
 * some slots at the most.  What sessions announce at each COMMIT is atomic, so
 * that they hold it together, or not at all where an earlier announcement has
 * not been taken yet.  Latches are those of processes, in shared memory; their
 * owners take them out of the registry before they end.  The rooms in which
 * messages are waited for have locks of their own.
 *
 * Who wants a database for himself holds a lock of PostgreSQL's lock manager,
 * which knows how many do, and lets go for those who die.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "monotonic.h"
#include "queue/rows/lock_class.h"
#include "queue/registry/prepared.h"
#include "queue/registry/registry.h"
#include "queue/registry/memory.h"

/* What this transaction rings for, when it ends. */
static TimestampTz wake_on_commit = DT_NOEND;
static TimestampTz wake_on_abort = DT_NOEND;

static bool is_announced(TimestampTz not_before);
static void announce(TimestampTz not_before, uint32 task);
static void note(PnvsRegistrySlot *slot, TimestampTz not_before, uint32 task);
static bool lower(pg_atomic_uint64 *rung, TimestampTz not_before);
static void set_kept_out_tag(LOCKTAG *tag, Oid database);
static void wake(Latch *latch);
static bool watch_transaction_end(void);
static void on_transaction_end(XactEvent event, void *arg);

bool
pnvs_registry_is_shared(void)
{
	return pnvs_registry != NULL;
}

/*
 * Announces a row that this transaction has made due at not_before, when the
 * transaction ends: where it is committed, or, with also_on_abort, in any case.
 */
void
pnvs_registry_wake_at_end(TimestampTz not_before, bool also_on_abort)
{
	if (!watch_transaction_end())
		return;
	wake_on_commit = Min(wake_on_commit, not_before);
	if (also_on_abort)
		wake_on_abort = Min(wake_on_abort, not_before);
}

/* Registers the callback, once for the life of the process; false where nothing is shared. */
static bool
watch_transaction_end(void)
{
	static bool registered = false;

	if (pnvs_registry == NULL)
		return false;
	if (!registered)
		RegisterXactCallback(on_transaction_end, NULL);
	registered = true;
	return true;
}

/* Announces a row of this database, now.  Never throws. */
void
pnvs_registry_wake(TimestampTz not_before)
{
	if (pnvs_registry != NULL && !is_announced(not_before))
		announce(not_before, 0);
}

/* Asks the worker of this database, which is started where there is none.  Never throws. */
void
pnvs_registry_ask(PnvsWorkerTask task)
{
	if (pnvs_registry != NULL)
		announce(DT_NOEND, task);
}

/*
 * Whether an earlier row, or one of that time, was announced that nobody has taken
 * notice of: who does will see this one, too, which is committed by now.  It needs
 * no lock: a slot in which something is announced belongs to its database.
 */
static bool
is_announced(TimestampTz not_before)
{
	PnvsRegistrySlot *slot;

	pg_memory_barrier();
	slot = pnvs_registry_kept_slot();
	return slot != NULL && (TimestampTz) pg_atomic_read_u64(&slot->rung) <= not_before;
}

static void
announce(TimestampTz not_before, uint32 task)
{
	PnvsRegistrySlot *slot;
	bool		done;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	slot = pnvs_registry_own_slot(false);
	/* of a lack of places the launcher is told once, until it has said so */
	done = slot == NULL ? pnvs_registry->overflowed : slot->has_queue;
	if (slot != NULL && done)
		note(slot, not_before, task);
	LWLockRelease(pnvs_registry_lock);
	if (done)
		return;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_own_slot(true);
	if (slot != NULL)
	{
		slot->has_queue = true;
		note(slot, not_before, task);
	}
	else
		wake(pnvs_registry->launcher_latch);
	LWLockRelease(pnvs_registry_lock);
}

/* Writes it down, and wakes whom it concerns, unless he was woken for the same. */
static void
note(PnvsRegistrySlot *slot, TimestampTz not_before, uint32 task)
{
	bool		is_new = lower(&slot->rung, not_before);

	if (task != 0 && (pg_atomic_fetch_or_u32(&slot->tasks, task) & task) == 0)
		is_new = true;
	if (is_new)
		wake(slot->state == PNVS_WORKER_PRESENT ? slot->worker_latch : pnvs_registry->launcher_latch);
}

static bool
lower(pg_atomic_uint64 *rung, TimestampTz not_before)
{
	uint64		old = pg_atomic_read_u64(rung);

	while (not_before < (TimestampTz) old)
	{
		if (pg_atomic_compare_exchange_u64(rung, &old, (uint64) not_before))
			return true;
	}
	return false;
}

/*
 * Sends the worker of a database away, and keeps others out: until let in, or with
 * in_transaction until the end of the transaction.
 */
void
pnvs_registry_keep_out(Oid database, bool in_transaction)
{
	LOCKTAG		tag;
	PnvsRegistrySlot *slot;

	/*
	 * before the look: a worker is started before it is asked whether it may
	 * come
	 */
	set_kept_out_tag(&tag, database);
	(void) LockAcquire(&tag, ShareLock, !in_transaction, false);
	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_find_slot(database, false);
	if (slot != NULL && slot->state != PNVS_WORKER_ABSENT)
	{
		slot->sent_away = true;
		wake(slot->worker_latch);
	}
	LWLockRelease(pnvs_registry_lock);
}

/* As far as this session is concerned. */
void
pnvs_registry_let_in(Oid database)
{
	LOCKTAG		tag;

	set_kept_out_tag(&tag, database);
	(void) LockRelease(&tag, ShareLock, true);
	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	wake(pnvs_registry->launcher_latch);
	LWLockRelease(pnvs_registry_lock);
}

/* Whether somebody keeps the workers of a database out. */
bool
pnvs_registry_is_kept_out(Oid database)
{
	LOCKTAG		tag;

	set_kept_out_tag(&tag, database);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}

static void
set_kept_out_tag(LOCKTAG *tag, Oid database)
{
	SET_LOCKTAG_ADVISORY(*tag, database, 0, 0, PNVS_LOCK_KEPT_OUT);
}

/* Forgets a database that has gone, whatever was announced for it. */
void
pnvs_registry_drop(Oid database)
{
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_find_slot(database, false);
	if (slot != NULL && slot->state != PNVS_WORKER_PRESENT)
		slot->database = InvalidOid;
	LWLockRelease(pnvs_registry_lock);
}

/* Whether a worker is in a database or about to be. */
bool
pnvs_registry_is_present(Oid database)
{
	PnvsRegistrySlot *slot;
	bool		present;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	slot = pnvs_registry_find_slot(database, false);
	present = slot != NULL && slot->state != PNVS_WORKER_ABSENT;
	LWLockRelease(pnvs_registry_lock);
	return present;
}

/*
 * Makes this worker the one of its database.  False where there is another one,
 * or where it is to be kept out.
 */
bool
pnvs_registry_enter(void)
{
	PnvsRegistrySlot *slot;
	bool		entered;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_own_slot(true);
	entered = slot != NULL && !slot->sent_away && slot->state != PNVS_WORKER_PRESENT;
	if (entered)
	{
		slot->state = PNVS_WORKER_PRESENT;
		slot->has_queue = true; /* until it finds that there is none */
		slot->worker_pid = MyProcPid;
		slot->worker_latch = MyLatch;
		slot->waits_since_us = PNVS_NEVER;
		slot->stays = false;
	}
	LWLockRelease(pnvs_registry_lock);
	return entered;
}

/* This worker has found something to do: the launcher need not wait for its end. */
void
pnvs_registry_stay(void)
{
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_own_slot(false);
	if (slot != NULL && slot->worker_pid == MyProcPid)
	{
		slot->stays = true;
		wake(pnvs_registry->launcher_latch);
	}
	LWLockRelease(pnvs_registry_lock);
}

/* What was announced since the last call. */
PnvsWakeUp
pnvs_registry_take_wake_up(void)
{
	PnvsWakeUp	ring = {.due = DT_NOEND};
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	slot = pnvs_registry_own_slot(false);
	if (slot != NULL)
	{
		ring.due = (TimestampTz) pg_atomic_exchange_u64(&slot->rung, (uint64) DT_NOEND);
		ring.tasks = pg_atomic_exchange_u32(&slot->tasks, 0);
		/* it has come up; nobody else writes here while it is there */
		if (slot->failures > 0)
			slot->failures = 0;
	}
	LWLockRelease(pnvs_registry_lock);
	return ring;
}

/* Whether this worker has to go, now or at least when it has nothing to do. */
bool
pnvs_registry_must_leave(bool *when_idle)
{
	PnvsRegistrySlot *slot;
	bool		must;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	slot = pnvs_registry_own_slot(false);
	must = slot == NULL || slot->sent_away;
	*when_idle = pnvs_registry->idle_should_leave;
	LWLockRelease(pnvs_registry_lock);
	return must;
}

/*
 * Takes this worker out of the registry, where it stands in it.  due is when its
 * database needs one again.  Where a row was announced meanwhile it stays, and
 * false is returned, unless even_if_woken.
 */
bool
pnvs_registry_leave(const PnvsNextWorker *next, bool even_if_woken)
{
	PnvsRegistrySlot *slot;
	bool		left = true;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_own_slot(false);
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
			wake(pnvs_registry->launcher_latch);
		}
	}
	LWLockRelease(pnvs_registry_lock);
	return left;
}

static void
wake(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
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
	if (due != DT_NOEND)
		pnvs_registry_wake(due);
}
