/*-------------------------------------------------------------------------
 *
 * roster_launcher.c
 *	  The roster as the launcher uses it: where workers are needed, and which of
 *	  those that it has started have come up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "queue/roster.h"
#include "queue/roster_memory.h"

static PnvsRosterSlot *end_start(Oid database);
static void close_launcher(int code, Datum arg);

/* Makes this process the launcher. */
void
pnvs_roster_open(void)
{
	before_shmem_exit(close_launcher, (Datum) 0);
	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	pnvs_roster->launcher_latch = MyLatch;
	for (int i = 0; i < pnvs_roster->nslots; i++)
	{
		/* what an earlier launcher has started it has taken its eyes off */
		if (pnvs_roster->slots[i].state == PNVS_ROSTER_STARTING)
			pnvs_roster->slots[i].state = PNVS_ROSTER_ABSENT;
	}
	LWLockRelease(pnvs_roster_lock);
}

/* Copies the slots in use into slots, which has room for all; their number. */
int
pnvs_roster_copy(PnvsRosterSlot *slots)
{
	int			n = 0;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	for (int i = 0; i < pnvs_roster->nslots; i++)
	{
		if (OidIsValid(pnvs_roster->slots[i].database))
			slots[n++] = pnvs_roster->slots[i];
	}
	LWLockRelease(pnvs_roster_lock);
	return n;
}

/* From when on a worker is wanted for what was announced, or DT_NOEND. */
TimestampTz
pnvs_roster_wanted_from(PnvsRosterSlot *slot)
{
	return pg_atomic_read_u32(&slot->errands) != 0 ? DT_NOBEGIN :
		(TimestampTz) pg_atomic_read_u64(&slot->rung);
}

/*
 * Notes that a worker is being started; false where that must not be.  Who wants the
 * database for himself either sees that, or is seen here.
 */
bool
pnvs_roster_note_start(Oid database)
{
	PnvsRosterSlot *slot;
	bool		may;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_find_slot(database, true);
	may = slot != NULL && slot->state == PNVS_ROSTER_ABSENT;
	if (may)
	{
		slot->state = PNVS_ROSTER_STARTING;
		slot->sent_away = false;
	}
	LWLockRelease(pnvs_roster_lock);
	if (!may || !pnvs_roster_is_kept_out(database))
		return may;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	(void) end_start(database);
	LWLockRelease(pnvs_roster_lock);
	return false;
}

/* Notes that there was no place for a worker: it is started when there is one. */
void
pnvs_roster_note_wait(Oid database)
{
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = end_start(database);
	if (slot != NULL)
		slot->waits_since = Min(slot->waits_since, GetCurrentTimestamp());
	LWLockRelease(pnvs_roster_lock);
}

/*
 * Notes that a worker that was being started has not come up.  One that did has
 * said itself when the next is needed.
 */
void
pnvs_roster_note_end(Oid database, TimestampTz retry_at)
{
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = end_start(database);
	if (slot != NULL)
	{
		slot->due = retry_at;
		slot->waits_since = DT_NOEND;
		slot->failures++;
	}
	LWLockRelease(pnvs_roster_lock);
}

/*
 * The slot of a worker that was being started and is not any more; NULL where there is
 * none, or it has come up.  The caller holds the lock.
 */
static PnvsRosterSlot *
end_start(Oid database)
{
	PnvsRosterSlot *slot = pnvs_roster_find_slot(database, false);

	if (slot == NULL || slot->state != PNVS_ROSTER_STARTING)
		return NULL;
	slot->state = PNVS_ROSTER_ABSENT;
	return slot;
}

/* Whether a visitor has become the worker of its database. */
bool
pnvs_roster_is_visit_over(Oid database)
{
	PnvsRosterSlot *slot;
	bool		over;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	slot = pnvs_roster_find_slot(database, false);
	over = slot != NULL && slot->state == PNVS_ROSTER_PRESENT && slot->stays;
	LWLockRelease(pnvs_roster_lock);
	return over;
}

/* Frees the slot of a database that has no queue. */
void
pnvs_roster_forget(Oid database)
{
	PnvsRosterSlot *slot;

	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	slot = pnvs_roster_find_slot(database, false);
	if (slot != NULL && slot->state == PNVS_ROSTER_ABSENT && !slot->has_queue &&
		pnvs_roster_wanted_from(slot) == DT_NOEND)
		slot->database = InvalidOid;
	LWLockRelease(pnvs_roster_lock);
}

/* Asks workers that have nothing to do to make room. */
void
pnvs_roster_ask_idle_to_leave(void)
{
	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	pnvs_roster->idle_should_leave = true;
	for (int i = 0; i < pnvs_roster->nslots; i++)
	{
		if (pnvs_roster->slots[i].worker_latch != NULL)
			SetLatch(pnvs_roster->slots[i].worker_latch);
	}
	LWLockRelease(pnvs_roster_lock);
}

/* Whether there was no slot for a database since that was forgotten. */
bool
pnvs_roster_has_overflowed(void)
{
	bool		overflowed;

	LWLockAcquire(pnvs_roster_lock, LW_SHARED);
	overflowed = pnvs_roster->overflowed;
	LWLockRelease(pnvs_roster_lock);
	return overflowed;
}

void
pnvs_roster_forget_overflow(void)
{
	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	pnvs_roster->overflowed = false;
	LWLockRelease(pnvs_roster_lock);
}

static void
close_launcher(int code, Datum arg)
{
	LWLockAcquire(pnvs_roster_lock, LW_EXCLUSIVE);
	pnvs_roster->launcher_latch = NULL;
	LWLockRelease(pnvs_roster_lock);
}
