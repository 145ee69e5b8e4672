/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Shared memory: which databases have a queue, and who works there.
 *
 * Only where the library is in shared_preload_libraries; elsewhere
 * pnvs_registry_is_shared() is false and the rest does nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REGISTRY_H
#define PNVS_REGISTRY_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"

typedef enum PnvsWorkerState
{
	PNVS_WORKER_ABSENT,			/* no worker */
	PNVS_WORKER_STARTING,		/* the launcher has asked for one */
	PNVS_WORKER_PRESENT			/* there is one, which can be woken */
} PnvsWorkerState;

/* What a worker is asked to do beside looking for rows that are due; bits. */
typedef enum PnvsWorkerTask
{
	PNVS_TASK_RECOVER = 1		/* somebody has left rows that he had claimed */
} PnvsWorkerTask;

/* What was announced to a worker since it looked last. */
typedef struct PnvsWakeUp
{
	TimestampTz due;			/* the earliest row, or DT_NOEND */
	uint32		tasks;
} PnvsWakeUp;

/* When a database needs a worker again. */
typedef struct PnvsNextWorker
{
	bool		has_queue;
	TimestampTz due;			/* for a row, or DT_NOEND */
	int64		not_before_us;	/* by the monotonic clock: not earlier; or 0 */
} PnvsNextWorker;

/* What is known of a database; a copy, except within the registry's own files. */
typedef struct PnvsRegistrySlot
{
	Oid			database;		/* 0: free */
	PnvsWorkerState state;
	bool		has_queue;		/* as the last worker found */
	bool		stays;			/* while present: it has found work */
	bool		sent_away;		/* while starting or present: it has to leave */
	pid_t		worker_pid;		/* while present */
	Latch	   *worker_latch;	/* in shared memory; while present */
	pg_atomic_uint64 rung;		/* not_before of the earliest row that no
								 * worker has taken notice of, or DT_NOEND */
	pg_atomic_uint32 tasks;		/* that no worker has taken */
	TimestampTz due;			/* when an absent worker is needed again */
	int64		not_before_us;	/* monotonic: none is started earlier; or 0 */
	int64		waits_since_us; /* monotonic: for a place for its worker, or
								 * PNVS_NEVER */
	int			failures;		/* workers in a row that did not come up */
} PnvsRegistrySlot;

extern void pnvs_registry_init(void);
extern bool pnvs_registry_is_shared(void);

/* For sessions. */
extern void pnvs_registry_wake_at_end(TimestampTz not_before, bool also_on_abort);
extern void pnvs_registry_wake(TimestampTz not_before);
extern void pnvs_registry_ask(PnvsWorkerTask task);
extern void pnvs_registry_keep_out(Oid database, bool in_transaction);
extern void pnvs_registry_let_in(Oid database);
extern bool pnvs_registry_is_kept_out(Oid database);
extern void pnvs_registry_drop(Oid database);
extern bool pnvs_registry_is_present(Oid database);

/* For workers. */
extern bool pnvs_registry_enter(void);
extern void pnvs_registry_stay(void);
extern PnvsWakeUp pnvs_registry_take_wake_up(void);
extern bool pnvs_registry_must_leave(bool *when_idle);
extern bool pnvs_registry_leave(const PnvsNextWorker *next, bool even_if_woken);

/* For the launcher. */
extern void pnvs_registry_open(void);
extern int	pnvs_registry_copy(PnvsRegistrySlot *slots);
extern TimestampTz pnvs_registry_wanted_from(PnvsRegistrySlot *slot);
extern bool pnvs_registry_note_start(Oid database);
extern void pnvs_registry_note_wait(Oid database);
extern void pnvs_registry_note_end(Oid database, int64 retry_at_us);
extern bool pnvs_registry_is_visit_over(Oid database);
extern void pnvs_registry_forget(Oid database);
extern void pnvs_registry_ask_idle_to_leave(void);
extern bool pnvs_registry_has_overflowed(void);
extern void pnvs_registry_forget_overflow(void);

#endif							/* PNVS_REGISTRY_H */
