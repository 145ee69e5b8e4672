/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  Where the registry stands: its piece of shared memory, and the slots in it.
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
LWLock	   *pnvs_registry_lock;

/* The slot of this process's database, once it is known. */
static PnvsRegistrySlot *kept_slot = NULL;

static Size registry_size(void);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_registry_init(void)
{
	static const PnvsSharedPart part = {
		.name = "PnvsRegistry",
		.size = registry_size,
		.memory = (void **) &pnvs_registry,
		.lock = &pnvs_registry_lock
	};

	pnvs_shared_memory_add(&part);
}

static Size
registry_size(void)
{
	return offsetof(PnvsRegistry, slots) + pnvs_max_databases * sizeof(PnvsRegistrySlot);
}

/*
 * A database's slot, or NULL; the lock is held, exclusively where one may be created.
 * Where there is none left to be created that is noted.
 */
PnvsRegistrySlot *
pnvs_registry_find_slot(Oid database, bool create)
{
	PnvsRegistrySlot *slot = NULL;

	for (int i = 0; i < pnvs_registry->nslots; i++)
	{
		if (pnvs_registry->slots[i].database == database)
			return &pnvs_registry->slots[i];
		if (slot == NULL && !OidIsValid(pnvs_registry->slots[i].database))
			slot = &pnvs_registry->slots[i];
	}
	if (!create)
		return NULL;
	if (slot == NULL && pnvs_registry->nslots < pnvs_max_databases)
		slot = &pnvs_registry->slots[pnvs_registry->nslots++];
	if (slot == NULL)
	{
		pnvs_registry->overflowed = true;
		return NULL;
	}
	memset(slot, 0, sizeof(*slot));
	slot->database = database;
	pg_atomic_init_u64(&slot->rung, (uint64) DT_NOEND);
	pg_atomic_init_u32(&slot->tasks, 0);
	slot->due = DT_NOEND;
	slot->waits_since_us = PNVS_NEVER;
	return slot;
}

/*
 * The slot of this process's database, likewise.  It is remembered: there may be
 * hundreds, and each COMMIT that has queued something asks.
 */
PnvsRegistrySlot *
pnvs_registry_own_slot(bool create)
{
	if (pnvs_registry_kept_slot() == NULL)
		kept_slot = pnvs_registry_find_slot(MyDatabaseId, create);
	return kept_slot;
}

/* That slot, where it is remembered; it can be another's the moment after, without the lock. */
PnvsRegistrySlot *
pnvs_registry_kept_slot(void)
{
	return kept_slot != NULL && kept_slot->database == MyDatabaseId ? kept_slot : NULL;
}
