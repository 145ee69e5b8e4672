/*-------------------------------------------------------------------------
 *
 * launch.c
 *	  The registry as the launcher uses it: where workers are needed, and which of
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

#include "queue/registry/registry.h"
#include "monotonic.h"
#include "queue/registry/memory.h"

static PnvsRegistrySlot *end_start(Oid database);
static void close_launcher(int code, Datum arg);

/* Makes this process the launcher. */
void
pnvs_registry_open(void)
{
	before_shmem_exit(close_launcher, (Datum) 0);
	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	pnvs_registry->launcher_latch = MyLatch;
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		/* what an earlier launcher has started it has taken its eyes off */
		if (pnvs_registry->slots[i].state == PNVS_WORKER_STARTING)
			pnvs_registry->slots[i].state = PNVS_WORKER_ABSENT;
	}
	LWLockRelease(pnvs_registry_lock);
}

/* Copies the slots in use into slots, which has room for all; their number. */
int
pnvs_registry_copy(PnvsRegistrySlot *slots)
{
	int			n = 0;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		if (OidIsValid(pnvs_registry->slots[i].database))
			slots[n++] = pnvs_registry->slots[i];
	}
	LWLockRelease(pnvs_registry_lock);
	return n;
}

/* From when on a worker is wanted for what was announced, or DT_NOEND. */
TimestampTz
pnvs_registry_wanted_from(PnvsRegistrySlot *slot)
{
	return pg_atomic_read_u32(&slot->tasks) != 0 ? DT_NOBEGIN :
		(TimestampTz) pg_atomic_read_u64(&slot->rung);
}

/*
 * Notes that a worker is being started; false where that must not be.  Who wants the
 * database for himself either sees that, or is seen here.
 */
bool
pnvs_registry_note_start(Oid database)
{
	PnvsRegistrySlot *slot;
	bool		may;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_find_slot(database, true);
	may = slot != NULL && slot->state == PNVS_WORKER_ABSENT;
	if (may)
	{
		slot->state = PNVS_WORKER_STARTING;
		slot->sent_away = false;
	}
	LWLockRelease(pnvs_registry_lock);
	if (!may || !pnvs_registry_is_kept_out(database))
		return may;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	(void) end_start(database);
	LWLockRelease(pnvs_registry_lock);
	return false;
}

/* Notes that there was no place for a worker: it is started when there is one. */
void
pnvs_registry_note_wait(Oid database)
{
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = end_start(database);
	if (slot != NULL)
		slot->waits_since_us = Min(slot->waits_since_us, pnvs_monotonic_us());
	LWLockRelease(pnvs_registry_lock);
}

/*
 * Notes that a worker that was being started has not come up.  One that did has
 * said itself when the next is needed.
 */
void
pnvs_registry_note_end(Oid database, int64 retry_at_us)
{
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = end_start(database);
	if (slot != NULL)
	{
		slot->due = DT_NOBEGIN;
		slot->not_before_us = retry_at_us;
		slot->waits_since_us = PNVS_NEVER;
		slot->failures++;
	}
	LWLockRelease(pnvs_registry_lock);
}

/*
 * The slot of a worker that was being started and is not any more; NULL where there is
 * none, or it has come up.  The caller holds the lock.
 */
static PnvsRegistrySlot *
end_start(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_find_slot(database, false);

	if (slot == NULL || slot->state != PNVS_WORKER_STARTING)
		return NULL;
	slot->state = PNVS_WORKER_ABSENT;
	return slot;
}

/* Whether a visitor has become the worker of its database. */
bool
pnvs_registry_is_visit_over(Oid database)
{
	PnvsRegistrySlot *slot;
	bool		over;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	slot = pnvs_registry_find_slot(database, false);
	over = slot != NULL && slot->state == PNVS_WORKER_PRESENT && slot->stays;
	LWLockRelease(pnvs_registry_lock);
	return over;
}

/* Frees the slot of a database that has no queue. */
void
pnvs_registry_forget(Oid database)
{
	PnvsRegistrySlot *slot;

	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	slot = pnvs_registry_find_slot(database, false);
	if (slot != NULL && slot->state == PNVS_WORKER_ABSENT && !slot->has_queue &&
		pnvs_registry_wanted_from(slot) == DT_NOEND)
		slot->database = InvalidOid;
	LWLockRelease(pnvs_registry_lock);
}

/* Asks workers that have nothing to do to make room. */
void
pnvs_registry_ask_idle_to_leave(void)
{
	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	pnvs_registry->idle_should_leave = true;
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		if (pnvs_registry->slots[i].worker_latch != NULL)
			SetLatch(pnvs_registry->slots[i].worker_latch);
	}
	LWLockRelease(pnvs_registry_lock);
}

/* Whether there was no slot for a database since that was forgotten. */
bool
pnvs_registry_has_overflowed(void)
{
	bool		overflowed;

	LWLockAcquire(pnvs_registry_lock, LW_SHARED);
	overflowed = pnvs_registry->overflowed;
	LWLockRelease(pnvs_registry_lock);
	return overflowed;
}

void
pnvs_registry_forget_overflow(void)
{
	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	pnvs_registry->overflowed = false;
	LWLockRelease(pnvs_registry_lock);
}

static void
close_launcher(int code, Datum arg)
{
	LWLockAcquire(pnvs_registry_lock, LW_EXCLUSIVE);
	pnvs_registry->launcher_latch = NULL;
	LWLockRelease(pnvs_registry_lock);
}
