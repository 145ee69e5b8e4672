/*-------------------------------------------------------------------------
 *
 * keep_out.c
 *	  Keeps workers out of a database while a statement needs it without other sessions.
 *
 * A session that keeps workers out holds an advisory lock.  PostgreSQL's lock manager counts
 * these sessions, and releases the locks of sessions that die.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lock.h"

#include "queue/registry/memory.h"
#include "queue/rows/lock_class.h"

static LOCKTAG tag_of(Oid database);

/*
 * Asks the worker of a database to leave, and lets no other start, until
 * pnvs_registry_let_in(); with in_transaction until the transaction ends.
 */
void
pnvs_registry_keep_out(Oid database, bool in_transaction)
{
	LOCKTAG		tag = tag_of(database);
	PnvsRegistrySlot *slot;

	/*
	 * first: the launcher notes a start in the slot, and then looks for this
	 * lock
	 */
	(void) LockAcquire(&tag, ShareLock, !in_transaction, false);
	slot = pnvs_registry_lock(LW_EXCLUSIVE, database);
	if (slot != NULL && slot->state != PNVS_WORKER_ABSENT)
	{
		slot->sent_away = true;
		pnvs_registry_set_latch(slot->worker_latch);
	}
	pnvs_registry_unlock();
}

/* Lets workers start again, unless other sessions keep them out, too. */
void
pnvs_registry_let_in(Oid database)
{
	LOCKTAG		tag = tag_of(database);

	(void) LockRelease(&tag, ShareLock, true);
	(void) pnvs_registry_lock(LW_SHARED, InvalidOid);
	pnvs_registry_set_latch(pnvs_registry->launcher_latch);
	pnvs_registry_unlock();
}

/* Whether a session keeps the workers of a database out. */
bool
pnvs_registry_is_kept_out(Oid database)
{
	LOCKTAG		tag = tag_of(database);

	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}

/* Whether a database has a worker, running or being started. */
bool
pnvs_registry_is_present(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_SHARED, database);
	bool		present = slot != NULL && slot->state != PNVS_WORKER_ABSENT;

	pnvs_registry_unlock();
	return present;
}

/* Removes a database that was dropped, with its announcements. */
void
pnvs_registry_drop(Oid database)
{
	PnvsRegistrySlot *slot = pnvs_registry_lock(LW_EXCLUSIVE, database);

	if (slot != NULL && slot->state != PNVS_WORKER_PRESENT)
		slot->database = InvalidOid;
	pnvs_registry_unlock();
}

static LOCKTAG
tag_of(Oid database)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, database, 0, 0, PNVS_LOCK_KEPT_OUT);
	return tag;
}
