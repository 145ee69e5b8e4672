/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  The registry: knows which databases have a queue or a worker, and wakes workers and
 *	  waiting sessions, by shared memory.
 *
 * If the library is not in shared_preload_libraries, pnvs_registry_is_shared() is false,
 * and announcements do nothing.
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
	PNVS_WORKER_ABSENT,
	PNVS_WORKER_STARTING,		/* the launcher has asked for it */
	PNVS_WORKER_PRESENT			/* can be woken */
} PnvsWorkerState;

/* A database in the registry.  Files of other folders see copies. */
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
	int64		waits_since_us; /* monotonic: since when it waits for a
								 * worker's place, or PNVS_NEVER */
	int			failures;		/* workers in a row that did not start */
} PnvsRegistrySlot;

/* When a worker is needed for the announcements of sessions, or DT_NOEND. */
static inline TimestampTz
pnvs_registry_wanted_from(PnvsRegistrySlot *slot)
{
	return pg_atomic_read_u32(&slot->recovery_asked) != 0 ? DT_NOBEGIN :
		(TimestampTz) pg_atomic_read_u64(&slot->announced);
}

/* What sessions have announced since the worker looked last. */
typedef struct PnvsWakeUp
{
	TimestampTz due;			/* of the earliest row, or DT_NOEND */
	bool		recover;		/* a session has left claimed rows */
} PnvsWakeUp;

/* When a database needs a worker again. */
typedef struct PnvsNextWorker
{
	bool		has_queue;
	TimestampTz due;			/* for a row, or DT_NOEND */
	int64		not_before_us;	/* by the monotonic clock: not earlier; or 0 */
} PnvsNextWorker;

extern bool pnvs_registry_is_shared(void);

/* registry.c, for sessions */
extern void pnvs_registry_wake_at_end(TimestampTz not_before, bool also_on_abort);
extern void pnvs_registry_wake(TimestampTz not_before);
extern void pnvs_registry_ask_to_recover(void);
extern TimestampTz pnvs_registry_take_own(void);

/* registry.c, for workers */
extern bool pnvs_registry_enter(void);
extern void pnvs_registry_stay(void);
extern PnvsWakeUp pnvs_registry_take_wake_up(void);
extern bool pnvs_registry_must_leave(bool *when_idle);
extern bool pnvs_registry_leave(const PnvsNextWorker *next, bool even_if_woken);

/* keep_out.c */
extern void pnvs_registry_keep_out(Oid database, bool in_transaction);
extern void pnvs_registry_let_in(Oid database);
extern bool pnvs_registry_is_kept_out(Oid database);
extern bool pnvs_registry_is_present(Oid database);
extern void pnvs_registry_drop(Oid database);

/* launch.c, for the launcher */
extern void pnvs_registry_open(void);
extern int	pnvs_registry_copy(PnvsRegistrySlot *slots);
extern bool pnvs_registry_note_start(Oid database);
extern void pnvs_registry_note_no_place(Oid database);
extern void pnvs_registry_note_failure(Oid database, int64 retry_at_us);
extern bool pnvs_registry_has_stayed(Oid database);
extern void pnvs_registry_forget(Oid database);
extern void pnvs_registry_ask_idle_to_leave(void);
extern bool pnvs_registry_take_overflow(void);

/* prepared.c */
extern void pnvs_prepared_note_name(const char *gid);
extern void pnvs_prepared_remember(void);
extern bool pnvs_prepared_is_remembered(const char *gid);

/* waiters.c */
extern void pnvs_waiters_init(void);
extern void pnvs_waiters_begin(int64 id);
extern void pnvs_waiters_wait(int64 id, long wait_ms, uint32 wait_event);
extern void pnvs_waiters_end(void);

#endif							/* PNVS_REGISTRY_H */
