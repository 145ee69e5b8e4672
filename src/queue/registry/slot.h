/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  What the registry knows of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REGISTRY_SLOT_H
#define PNVS_REGISTRY_SLOT_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"

typedef enum PnvsWorkerState
{
	PNVS_WORKER_ABSENT,
	PNVS_WORKER_STARTING,		/* the launcher has asked for one */
	PNVS_WORKER_PRESENT			/* can be woken */
} PnvsWorkerState;

/* A database.  Others than the registry's own files see copies. */
typedef struct PnvsRegistrySlot
{
	Oid			database;		/* 0: free */
	PnvsWorkerState state;
	bool		has_queue;		/* as the last worker found */
	bool		stays;			/* the worker has found work */
	bool		sent_away;		/* the worker has to leave */
	pid_t		worker_pid;		/* while present */
	Latch	   *worker_latch;	/* in shared memory; while present */
	pg_atomic_uint64 announced; /* not_before of the earliest row that no
								 * worker has taken notice of, or DT_NOEND */
	pg_atomic_uint32 recovery_asked;	/* by a session; 0 or 1 */
	TimestampTz due;			/* when an absent worker is needed again */
	int64		not_before_us;	/* monotonic: none is started earlier; or 0 */
	int64		waits_since_us; /* monotonic: for a worker's place, or
								 * PNVS_NEVER */
	int			failures;		/* workers in a row that did not start */
} PnvsRegistrySlot;

/* From when on a worker is wanted for what sessions have announced, or DT_NOEND. */
static inline TimestampTz
pnvs_registry_wanted_from(PnvsRegistrySlot *slot)
{
	return pg_atomic_read_u32(&slot->recovery_asked) != 0 ? DT_NOBEGIN :
		(TimestampTz) pg_atomic_read_u64(&slot->announced);
}

#endif							/* PNVS_REGISTRY_SLOT_H */
