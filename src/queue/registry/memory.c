/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  The registry's shared memory: a slot for each database that has a queue.
 *
 * One lock protects all slots.  No process holds it longer than for a walk over them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "monotonic.h"
#include "queue/registry/memory.h"
#include "settings.h"
#include "shared/memory.h"

PnvsRegistry *pnvs_registry = NULL;

static LWLockPadded *locks;

/* The slot of this process's database, once it has been found. */
static PnvsRegistrySlot *own_slot = NULL;

static Size registry_size(void);
static int	lock_count(void);
static PnvsRegistrySlot *find_slot(Oid database);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_registry_init(void)
{
	static const PnvsSharedPart part = {
		.name = "PnvsRegistry",
		.size = registry_size,
		.nlocks = lock_count,
		.memory = (void **) &pnvs_registry,
		.locks = &locks
	};

	pnvs_shared_memory_add(&part);
}

static Size
registry_size(void)
{
	return offsetof(PnvsRegistry, slots) + pnvs_max_databases * sizeof(PnvsRegistrySlot);
}

static int
lock_count(void)
{
	return 1;
}

/* Takes the lock, and returns the slot of a database, or NULL; 0 looks for none. */
PnvsRegistrySlot *
pnvs_registry_lock(LWLockMode mode, Oid database)
{
	LWLockAcquire(&locks->lock, mode);
	return OidIsValid(database) ? find_slot(database) : NULL;
}

void
pnvs_registry_unlock(void)
{
	LWLockRelease(&locks->lock);
}

/* The slot of this process's database, if known; without the lock it may be freed. */
PnvsRegistrySlot *
pnvs_registry_own_slot(void)
{
	return own_slot != NULL && own_slot->database == MyDatabaseId ? own_slot : NULL;
}

/* Remembers the own slot: each COMMIT of a message needs it, perhaps among hundreds. */
static PnvsRegistrySlot *
find_slot(Oid database)
{
	if (database == MyDatabaseId && pnvs_registry_own_slot() != NULL)
		return own_slot;
	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		if (pnvs_registry->slots[i].database != database)
			continue;
		if (database == MyDatabaseId)
			own_slot = &pnvs_registry->slots[i];
		return &pnvs_registry->slots[i];
	}
	return NULL;
}

/*
 * The slot of a database, which is added if there is none.  If there is no space for it,
 * that is noted, and the result is NULL.  The caller holds the lock exclusively.
 */
PnvsRegistrySlot *
pnvs_registry_add_slot(Oid database)
{
	PnvsRegistrySlot *slot = find_slot(database);

	if (slot != NULL)
		return slot;
	slot = find_slot(InvalidOid);
	if (slot == NULL && pnvs_registry->nslots < pnvs_max_databases)
		slot = &pnvs_registry->slots[pnvs_registry->nslots++];
	if (slot == NULL)
	{
		pnvs_registry->overflowed = true;
		return NULL;
	}
	memset(slot, 0, sizeof(*slot));
	slot->database = database;
	pg_atomic_init_u64(&slot->announced, (uint64) DT_NOEND);
	pg_atomic_init_u32(&slot->recovery_asked, 0);
	slot->due = DT_NOEND;
	slot->waits_since_us = PNVS_NEVER;
	return slot;
}

/* Sets the latch of a process, which removes it from the registry before it ends. */
void
pnvs_registry_set_latch(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}
