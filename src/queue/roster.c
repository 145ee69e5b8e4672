/*-------------------------------------------------------------------------
 *
 * roster.c
 *	  Shared memory: which databases have a queue, and who works there.
 *
 * The table is the truth; what stands here is a hint, by which a worker is
 * there when it is needed and looks where something is new.  A hint that gets
 * lost costs time, never a message: workers look at the whole queue when they
 * start and at intervals.
 *
 * The roster is protected by its lock, a single one: it is held for a walk over
 * some slots at the most.  What sessions announce at each COMMIT is atomic, so
 * that they hold it together, or not at all where an earlier announcement has
 * not been taken yet.  Latches are those of processes, in shared memory; their
 * owners take them out of the roster before they end.  The rooms in which
 * messages are waited for have locks of their own.
 *
 * Who wants a database for himself holds a lock of PostgreSQL's lock manager,
 * which knows how many do, and lets go for those who die.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "queue/lock_class.h"
#include "queue/prepared.h"
#include "queue/roster.h"
#include "queue/roster_memory.h"

/* What this transaction rings for, when it ends. */
static TimestampTz ring_on_commit = DT_NOEND;
static TimestampTz ring_on_abort = DT_NOEND;

/* What this transaction has settled, for those who wait. */
static PnvsRosterSettled settled_on_commit;
static bool has_settled = false;

static bool is_rung(TimestampTz not_before);
static void announce(TimestampTz not_before, uint32 errand);
static void note(PnvsRosterSlot *slot, TimestampTz not_before, uint32 errand);
static bool lower(pg_atomic_uint64 *rung, TimestampTz not_before);
static void set_door_tag(LOCKTAG *tag, Oid database);
static int	room(int64 id);
static void wake(Latch *latch);
static bool watch_transaction_end(void);
static void on_transaction_end(XactEvent event, void *arg);

bool
pnvs_roster_is_shared(void)
{
	return pnvs_roster != NULL;
}

/*
 * Announces a row that this transaction has made due at not_before, when the
 * transaction ends: where it is committed, or, with also_on_abort, in any case.
 */
void
pnvs_roster_ring_at_end(TimestampTz not_before, bool also_on_abort)
{
	if (!watch_transaction_end())
		return;
	ring_on_commit = Min(ring_on_commit, not_before);
	if (also_on_abort)
		ring_on_abort = Min(ring_on_abort, not_before);
}

/* Wakes whoever waits for a message that this transaction has settled, when it is committed. */
void
pnvs_roster_announce_at_commit(int64 id)
{
	if (!watch_transaction_end())
		return;
	pnvs_roster_add_settled(&settled_on_commit, id);
	has_settled = true;
}

/* Registers the callback, once for the life of the process; false where nothing is shared. */
static bool
watch_transaction_end(void)
{
	static bool registered = false;

	if (pnvs_roster == NULL)
		return false;
	if (!registered)
		RegisterXactCallback(on_transaction_end, NULL);
	registered = true;
	return true;
}

/* Announces a row of this database, now.  Never throws. */
void
pnvs_roster_ring(TimestampTz not_before)
{
	if (pnvs_roster != NULL && !is_rung(not_before))
		announce(not_before, 0);
}

/* Asks the worker of this database, which is started where there is none.  Never throws. */
void
pnvs_roster_ask(PnvsErrand errand)
{
	if (pnvs_roster != NULL)
		announce(DT_NOEND, errand);
}

/*
 * Whether an earlier row, or one of that time, was announced that nobody has taken
 * notice of: who does will see this one, too, which is committed by now.  It needs
 * no lock: a slot in which something is announced belongs to its database.
 */
static bool
is_rung(TimestampTz not_before)
{
	PnvsRosterSlot *slot;

	pg_memory_barrier();
	slot = pnvs_roster_kept_slot();
	return slot != NULL && (TimestampTz) pg_atomic_read_u64(&slot->rung) <= not_before;
}

static void
announce(TimestampTz not_before, uint32 errand)
{
	PnvsRosterSlot *slot;
	bool		done;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	slot = pnvs_roster_own_slot(false);
	/* of a lack of places the launcher is told once, until it has said so */
	done = slot == NULL ? pnvs_roster->overflowed : slot->has_queue;
	if (slot != NULL && done)
		note(slot, not_before, errand);
	LWLockRelease(pnvs_roster_lock);
	if (done)
		return;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_own_slot(true);
	if (slot != NULL)
	{
		slot->has_queue = true;
		note(slot, not_before, errand);
	}
	else
		wake(pnvs_roster->launcher_latch);
	LWLockRelease(pnvs_roster_lock);
}

/* Writes it down, and wakes whom it concerns, unless he was woken for the same. */
static void
note(PnvsRosterSlot *slot, TimestampTz not_before, uint32 errand)
{
	bool		is_new = lower(&slot->rung, not_before);

	if (errand != 0 && (pg_atomic_fetch_or_u32(&slot->errands, errand) & errand) == 0)
		is_new = true;
	if (is_new)
		wake(slot->state == PNVS_ROSTER_PRESENT ? slot->worker_latch : pnvs_roster->launcher_latch);
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
pnvs_roster_keep_out(Oid database, bool in_transaction)
{
	LOCKTAG		tag;
	PnvsRosterSlot *slot;

	/*
	 * before the look: a worker is started before it is asked whether it may
	 * come
	 */
	set_door_tag(&tag, database);
	(void) LockAcquire(&tag, ShareLock, !in_transaction, false);
	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_find_slot(database, false);
	if (slot != NULL && slot->state != PNVS_ROSTER_ABSENT)
	{
		slot->sent_away = true;
		wake(slot->worker_latch);
	}
	LWLockRelease(pnvs_roster_lock);
}

/* As far as this session is concerned. */
void
pnvs_roster_let_in(Oid database)
{
	LOCKTAG		tag;

	set_door_tag(&tag, database);
	(void) LockRelease(&tag, ShareLock, true);
	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	wake(pnvs_roster->launcher_latch);
	LWLockRelease(pnvs_roster_lock);
}

/* Whether somebody keeps the workers of a database out. */
bool
pnvs_roster_is_kept_out(Oid database)
{
	LOCKTAG		tag;

	set_door_tag(&tag, database);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}

static void
set_door_tag(LOCKTAG *tag, Oid database)
{
	SET_LOCKTAG_ADVISORY(*tag, database, 0, 0, PNVS_LOCK_KEPT_OUT);
}

/* Forgets a database that has gone, whatever was announced for it. */
void
pnvs_roster_drop(Oid database)
{
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_find_slot(database, false);
	if (slot != NULL && slot->state != PNVS_ROSTER_PRESENT)
		slot->database = InvalidOid;
	LWLockRelease(pnvs_roster_lock);
}

/* Whether a worker is in a database or about to be. */
bool
pnvs_roster_is_present(Oid database)
{
	PnvsRosterSlot *slot;
	bool		present;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	slot = pnvs_roster_find_slot(database, false);
	present = slot != NULL && slot->state != PNVS_ROSTER_ABSENT;
	LWLockRelease(pnvs_roster_lock);
	return present;
}

/* Adds a message of this database to those that will be announced together. */
void
pnvs_roster_add_settled(PnvsRosterSettled *settled, int64 id)
{
	settled->rooms[room(id)] = true;
}

/*
 * Wakes whoever waits for one of the messages.  Others are left alone but those who
 * share a room with them: each who is woken looks its row up, and where hundreds
 * wait while many messages a second are settled, nothing else would get done.
 * Never throws.
 */
void
pnvs_roster_announce_settled(const PnvsRosterSettled *settled)
{
	if (pnvs_roster == NULL)
		return;
	for (int i = 0; i < PNVS_ROSTER_ROOMS; i++)
	{
		if (settled->rooms[i])
			ConditionVariableBroadcast(&pnvs_roster->settled[i]);
	}
}

/* Between begin and end no announcement of this message is missed. */
void
pnvs_roster_await_begin(int64 id)
{
	if (pnvs_roster != NULL)
		ConditionVariablePrepareToSleep(&pnvs_roster->settled[room(id)]);
}

/*
 * Waits until the message is announced, or another one of its room, or for wait_ms
 * milliseconds.  Serves interrupts.  Where the library is not preloaded nobody
 * announces anything, and the time just passes.
 */
void
pnvs_roster_await(int64 id, long wait_ms, uint32 wait_event)
{
	if (pnvs_roster != NULL)
	{
		/*
		 * a look at the row may have waited for something else, which resets
		 * the latch that an announcement has set
		 */
		SetLatch(MyLatch);
		(void) ConditionVariableTimedSleep(&pnvs_roster->settled[room(id)], wait_ms,
										   wait_event);
		return;
	}
	if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
				  wait_event) & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
pnvs_roster_await_end(void)
{
	if (pnvs_roster != NULL)
		ConditionVariableCancelSleep();
}

/* The room of a message of this database; each database counts its IDs from 1. */
static int
room(int64 id)
{
	return hash_bytes_extended((const unsigned char *) &id, sizeof(id), MyDatabaseId) %
		PNVS_ROSTER_ROOMS;
}

/*
 * Makes this worker the one of its database.  False where there is another one,
 * or where it is to be kept out.
 */
bool
pnvs_roster_enter(void)
{
	PnvsRosterSlot *slot;
	bool		entered;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_own_slot(true);
	entered = slot != NULL && !slot->sent_away && slot->state != PNVS_ROSTER_PRESENT;
	if (entered)
	{
		slot->state = PNVS_ROSTER_PRESENT;
		slot->has_queue = true; /* until it finds that there is none */
		slot->worker_pid = MyProcPid;
		slot->worker_latch = MyLatch;
		slot->waits_since = DT_NOEND;
		slot->stays = false;
	}
	LWLockRelease(pnvs_roster_lock);
	return entered;
}

/* This worker has found something to do: the launcher need not wait for its end. */
void
pnvs_roster_stay(void)
{
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_own_slot(false);
	if (slot != NULL && slot->worker_pid == MyProcPid)
	{
		slot->stays = true;
		wake(pnvs_roster->launcher_latch);
	}
	LWLockRelease(pnvs_roster_lock);
}

/* What was announced since the last call. */
PnvsRosterRing
pnvs_roster_take_ring(void)
{
	PnvsRosterRing ring = {.due = DT_NOEND};
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	slot = pnvs_roster_own_slot(false);
	if (slot != NULL)
	{
		ring.due = (TimestampTz) pg_atomic_exchange_u64(&slot->rung, (uint64) DT_NOEND);
		ring.errands = pg_atomic_exchange_u32(&slot->errands, 0);
		/* it has come up; nobody else writes here while it is there */
		if (slot->failures > 0)
			slot->failures = 0;
	}
	LWLockRelease(pnvs_roster_lock);
	return ring;
}

/* Whether this worker has to go, now or at least when it has nothing to do. */
bool
pnvs_roster_must_leave(bool *when_idle)
{
	PnvsRosterSlot *slot;
	bool		must;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	slot = pnvs_roster_own_slot(false);
	must = slot == NULL || slot->sent_away;
	*when_idle = pnvs_roster->idle_should_leave;
	LWLockRelease(pnvs_roster_lock);
	return must;
}

/*
 * Takes this worker out of the roster, where it stands in it.  due is when its
 * database needs one again.  Where a row was announced meanwhile it stays, and
 * false is returned, unless even_if_rung.
 */
bool
pnvs_roster_leave(bool has_queue, TimestampTz due, bool even_if_rung)
{
	PnvsRosterSlot *slot;
	bool		left = true;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_own_slot(false);
	if (slot != NULL && slot->state == PNVS_ROSTER_PRESENT && slot->worker_pid == MyProcPid)
	{
		left = even_if_rung || pnvs_roster_wanted_from(slot) == DT_NOEND;
		if (left)
		{
			slot->state = PNVS_ROSTER_ABSENT;
			slot->worker_pid = 0;
			slot->worker_latch = NULL;
			slot->has_queue = has_queue;
			slot->due = due;
			pnvs_roster->idle_should_leave = false;
			wake(pnvs_roster->launcher_latch);
		}
	}
	LWLockRelease(pnvs_roster_lock);
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
		due = Min(ring_on_commit, ring_on_abort);
	else if (event == XACT_EVENT_ABORT)
		due = ring_on_abort;
	else if (event == XACT_EVENT_PRE_PREPARE)
	{
		if (ring_on_commit != DT_NOEND)
			pnvs_prepared_remember();
		return;
	}
	else if (event != XACT_EVENT_PREPARE)
		return;
	ring_on_commit = ring_on_abort = DT_NOEND;
	if (due != DT_NOEND)
		pnvs_roster_ring(due);
	if (!has_settled)
		return;
	if (event == XACT_EVENT_COMMIT)
		pnvs_roster_announce_settled(&settled_on_commit);
	memset(&settled_on_commit, 0, sizeof(settled_on_commit));
	has_settled = false;
}
