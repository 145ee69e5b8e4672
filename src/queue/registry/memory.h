/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  Where the registry stands: its piece of shared memory, and the slots in it.
 *
 * For registry.c and launch.c alone; others see the registry through its functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REGISTRY_MEMORY_H
#define PNVS_REGISTRY_MEMORY_H

#include "storage/lwlock.h"

#include "queue/registry/registry.h"

typedef struct PnvsRegistry
{
	Latch	   *launcher_latch; /* or NULL */
	bool		idle_should_leave;	/* their places are needed elsewhere */
	bool		overflowed;		/* a database has found no slot */
	int			nslots;			/* that have ever been used */
	PnvsRegistrySlot slots[FLEXIBLE_ARRAY_MEMBER];	/* pnvs_max_databases */
} PnvsRegistry;

extern PnvsRegistry *pnvs_registry; /* NULL where the library is not preloaded */
extern LWLock *pnvs_registry_lock;

extern PnvsRegistrySlot *pnvs_registry_find_slot(Oid database, bool create);
extern PnvsRegistrySlot *pnvs_registry_own_slot(bool create);
extern PnvsRegistrySlot *pnvs_registry_kept_slot(void);

#endif							/* PNVS_REGISTRY_MEMORY_H */
