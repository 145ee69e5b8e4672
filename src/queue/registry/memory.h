/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  The registry's shared memory: a slot for each database that has a queue.
 *
 * For the files of this folder; other folders use the functions of registry.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REGISTRY_MEMORY_H
#define PNVS_REGISTRY_MEMORY_H

#include "storage/lwlock.h"

#include "queue/registry/registry.h"

/* All fields are protected by the lock, but for those that are atomic. */
typedef struct PnvsRegistry
{
	Latch	   *launcher_latch; /* or NULL */
	bool		idle_should_leave;	/* idle workers: others need places */
	bool		overflowed;		/* there was no slot for a database */
	int			nslots;			/* how many were ever used */
	PnvsRegistrySlot slots[FLEXIBLE_ARRAY_MEMBER];	/* pnvs_max_databases */
} PnvsRegistry;

extern PnvsRegistry *pnvs_registry; /* NULL if the library is not preloaded */

extern void pnvs_registry_init(void);
extern PnvsRegistrySlot *pnvs_registry_lock(LWLockMode mode, Oid database);
extern PnvsRegistrySlot *pnvs_registry_add_slot(Oid database);
extern void pnvs_registry_unlock(void);
extern PnvsRegistrySlot *pnvs_registry_own_slot(void);
extern void pnvs_registry_set_latch(Latch *latch);

#endif							/* PNVS_REGISTRY_MEMORY_H */
