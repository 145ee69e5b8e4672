/*-------------------------------------------------------------------------
 *
 * roster_memory.h
 *	  Where the roster stands: its piece of shared memory, and the slots in it.
 *
 * For roster.c and roster_launcher.c alone; others see the roster through its functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ROSTER_MEMORY_H
#define PNVS_ROSTER_MEMORY_H

#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "queue/roster.h"

typedef struct PnvsRoster
{
	Latch	   *launcher_latch; /* or NULL */
	bool		idle_should_leave;	/* their places are needed elsewhere */
	bool		overflowed;		/* a database has found no slot */
	int			nslots;			/* that have ever been used */
	ConditionVariable settled[PNVS_ROSTER_ROOMS];	/* each by its own lock */
	PnvsRosterSlot slots[FLEXIBLE_ARRAY_MEMBER];	/* pnvs_max_databases */
} PnvsRoster;

extern PnvsRoster *pnvs_roster; /* NULL where the library is not preloaded */
extern LWLock *pnvs_roster_lock;

extern PnvsRosterSlot *pnvs_roster_find_slot(Oid database, bool create);
extern PnvsRosterSlot *pnvs_roster_own_slot(bool create);
extern PnvsRosterSlot *pnvs_roster_kept_slot(void);

#endif							/* PNVS_ROSTER_MEMORY_H */
