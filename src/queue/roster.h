/*-------------------------------------------------------------------------
 *
 * roster.h
 *	  Shared memory: which databases have a queue, and who works there.
 *
 * Only where the library is in shared_preload_libraries; elsewhere
 * pnvs_roster_is_shared() is false and the rest does nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ROSTER_H
#define PNVS_ROSTER_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"

typedef enum PnvsRosterState
{
	PNVS_ROSTER_ABSENT,			/* no worker */
	PNVS_ROSTER_STARTING,		/* the launcher has asked for one */
	PNVS_ROSTER_PRESENT			/* there is one, which can be woken */
} PnvsRosterState;

/*
 * Who waits for a message to be settled does so in one of these rooms, by the
 * message; who announces it wakes that room alone.  More than sessions are likely
 * to wait at a time, so that few are woken for another's message; one takes 12
 * bytes of shared memory.
 */
#define PNVS_ROSTER_ROOMS 1024

/* The rooms of messages that were settled together; to begin with, all zeros. */
typedef struct PnvsRosterSettled
{
	bool		rooms[PNVS_ROSTER_ROOMS];
} PnvsRosterSettled;

/* What a worker is asked to do beside looking for rows that are due; bits. */
typedef enum PnvsErrand
{
	PNVS_ERRAND_RECOVER = 1,	/* somebody has left rows that he had claimed */
	PNVS_ERRAND_BEGIN_ANEW = 2	/* the clock was set back */
} PnvsErrand;

/* What was announced to a worker since it looked last. */
typedef struct PnvsRosterRing
{
	TimestampTz due;			/* the earliest row, or DT_NOEND */
	uint32		errands;
} PnvsRosterRing;

/* What is known of a database; a copy, except within the roster's own files. */
typedef struct PnvsRosterSlot
{
	Oid			database;		/* 0: free */
	PnvsRosterState state;
	bool		has_queue;		/* as the last worker found */
	bool		stays;			/* while present: it has found work */
	bool		sent_away;		/* while starting or present: it has to leave */
	pid_t		worker_pid;		/* while present */
	Latch	   *worker_latch;	/* in shared memory; while present */
	pg_atomic_uint64 rung;		/* not_before of the earliest row that no
								 * worker has taken notice of, or DT_NOEND */
	pg_atomic_uint32 errands;	/* that no worker has taken */
	TimestampTz due;			/* when an absent worker is needed again */
	TimestampTz waits_since;	/* for a place for its worker, or DT_NOEND */
	int			failures;		/* workers in a row that did not come up */
} PnvsRosterSlot;

extern void pnvs_roster_init(void);
extern bool pnvs_roster_is_shared(void);

/* For sessions. */
extern void pnvs_roster_ring_at_end(TimestampTz not_before, bool also_on_abort);
extern void pnvs_roster_ring(TimestampTz not_before);
extern void pnvs_roster_ask(PnvsErrand errand);
extern void pnvs_roster_keep_out(Oid database, bool in_transaction);
extern void pnvs_roster_let_in(Oid database);
extern bool pnvs_roster_is_kept_out(Oid database);
extern void pnvs_roster_drop(Oid database);
extern bool pnvs_roster_is_present(Oid database);
extern void pnvs_roster_add_settled(PnvsRosterSettled *settled, int64 id);
extern void pnvs_roster_announce_settled(const PnvsRosterSettled *settled);
extern void pnvs_roster_announce_at_commit(int64 id);
extern void pnvs_roster_await_begin(int64 id);
extern void pnvs_roster_await(int64 id, long wait_ms, uint32 wait_event);
extern void pnvs_roster_await_end(void);

/* For workers. */
extern bool pnvs_roster_enter(void);
extern void pnvs_roster_stay(void);
extern PnvsRosterRing pnvs_roster_take_ring(void);
extern bool pnvs_roster_must_leave(bool *when_idle);
extern bool pnvs_roster_leave(bool has_queue, TimestampTz due, bool even_if_rung);

/* For the launcher. */
extern void pnvs_roster_open(void);
extern int	pnvs_roster_copy(PnvsRosterSlot *slots);
extern TimestampTz pnvs_roster_wanted_from(PnvsRosterSlot *slot);
extern bool pnvs_roster_note_start(Oid database);
extern void pnvs_roster_note_wait(Oid database);
extern void pnvs_roster_note_end(Oid database, TimestampTz retry_at);
extern bool pnvs_roster_is_visit_over(Oid database);
extern void pnvs_roster_forget(Oid database);
extern void pnvs_roster_ask_idle_to_leave(void);
extern bool pnvs_roster_has_overflowed(void);
extern void pnvs_roster_forget_overflow(void);

#endif							/* PNVS_ROSTER_H */
