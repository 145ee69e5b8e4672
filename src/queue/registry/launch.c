/*-------------------------------------------------------------------------
 *
 * launch.c
 *	  Lets the launcher read and write the registry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "monotonic.h"
#include "queue/registry/memory.h"

static PnvsRegistrySlot *lock_unstarted(Oid database);
static void close_launcher(int code, Datum arg);

/* Makes this process the launcher. */
void
pnvs_registry_open(void)
{
	before_shmem_exit(close_launcher, (Datum) 0);
	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	pnvs_registry->launcher_latch = MyLatch;
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		/* no launcher watches workers that an earlier launcher was starting */
		if (pnvs_registry->slots[i].state == PNVS_WORKER_STARTING)
			pnvs_registry->slots[i].state = PNVS_WORKER_ABSENT;
	}
	pnvs_registry_unlock();
}

static void
close_launcher(int code, Datum arg)
{
	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	pnvs_registry->launcher_latch = NULL;
	pnvs_registry_unlock();
}

/* Copies the slots in use, for which slots has space, and returns their number. */
int
pnvs_registry_copy(PnvsRegistrySlot *slots)
{
	int			n = 0;

	(void) pnvs_registry_lock(LW_SHARED, InvalidOid);
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		if (OidIsValid(pnvs_registry->slots[i].database))
			slots[n++] = pnvs_registry->slots[i];
	}
	pnvs_registry_unlock();
	return n;
}

/*
 * Notes that a worker is being started; false if it must not be.  A session that keeps
 * workers out at the same time sees the note, or is seen here.
 */
bool
pnvs_registry_note_start(Oid database)
{
	PnvsRegistrySlot *slot;
	bool		may;

	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	slot = pnvs_registry_add_slot(database);
	may = slot != NULL && slot->state == PNVS_WORKER_ABSENT;
	if (may)
	{
		slot->state = PNVS_WORKER_STARTING;
		slot->sent_away = false;
	}
	pnvs_registry_unlock();
	if (!may || !pnvs_registry_is_kept_out(database))
		return may;

	(void) lock_unstarted(database);
	pnvs_registry_unlock();
	return false;
}

/* Notes that the database waits for a place for its worker. */
void
pnvs_registry_note_no_place(Oid database)
{
	PnvsRegistrySlot *slot = lock_unstarted(database);

	if (slot != NULL)
		slot->waits_since_us = Min(slot->waits_since_us, pnvs_monotonic_us());
	pnvs_registry_unlock();
}

/*
 * Notes that a worker has ended.  If it had entered the registry, it has noted that itself;
 * otherwise it has failed to start, and the next may start at retry_at_us.
 */
void
pnvs_registry_note_failure(Oid database, int64 retry_at_us)
{
	PnvsRegistrySlot *slot = lock_unstarted(database);

	if (slot != NULL)
	{
		slot->due = DT_NOBEGIN;
		slot->not_before_us = retry_at_us;
		slot->waits_since_us = PNVS_NEVER;
		slot->failures++;
	}
	pnvs_registry_unlock();
}

/*
 * Takes the lock, notes that no worker is being started any more, and returns the slot;
 * NULL if no worker was, or it has entered the registry.
 */
static PnvsRegistrySlot *
lock_unstarted(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_EXCLUSIVE, database);

	if (slot == NULL || slot->state != PNVS_WORKER_STARTING)
		return NULL;
	slot->state = PNVS_WORKER_ABSENT;
	return slot;
}

/* Whether the worker of a database has found work there. */
bool
pnvs_registry_has_stayed(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_SHARED, database);
	bool		stays = slot != NULL && slot->state == PNVS_WORKER_PRESENT && slot->stays;

	pnvs_registry_unlock();
	return stays;
}

/* Frees the slot of a database that has no queue. */
void
pnvs_registry_forget(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_EXCLUSIVE, database);

	if (slot != NULL && slot->state == PNVS_WORKER_ABSENT && !slot->has_queue &&
		pnvs_registry_wanted_from(slot) == DT_NOEND)
		slot->database = InvalidOid;
	pnvs_registry_unlock();
}

/* Asks workers that have nothing to do to leave their places to other databases. */
void
pnvs_registry_ask_idle_to_leave(void)
{
	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	pnvs_registry->idle_should_leave = true;
	for (int i = 0; i < pnvs_registry->nslots; i++)
		pnvs_registry_set_latch(pnvs_registry->slots[i].worker_latch);
	pnvs_registry_unlock();
}

/* Whether a database has found no slot since the last call. */
bool
pnvs_registry_take_overflow(void)
{
	bool		overflowed;

	(void) pnvs_registry_lock(LW_EXCLUSIVE, InvalidOid);
	overflowed = pnvs_registry->overflowed;
	pnvs_registry->overflowed = false;
	pnvs_registry_unlock();
	return overflowed;
}
