/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Which databases have a queue, and which have a worker, in shared memory.
 *
 * If the library is not in shared_preload_libraries, pnvs_registry_is_shared() is false
 * and sessions' announcements do nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REGISTRY_H
#define PNVS_REGISTRY_H

#include "queue/registry/slot.h"

/* What sessions have announced to a worker since it looked last. */
typedef struct PnvsWakeUp
{
	TimestampTz due;			/* of the earliest row, or DT_NOEND */
	bool		recover;		/* somebody left rows that he had claimed */
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
extern bool pnvs_registry_has_overflowed(void);
extern void pnvs_registry_forget_overflow(void);

#endif							/* PNVS_REGISTRY_H */
