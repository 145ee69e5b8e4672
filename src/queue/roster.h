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

/* What is known of a database; a copy, except within roster.c. */
typedef struct PnvsRosterSlot
{
	Oid			database;		/* 0: free */
	PnvsRosterState state;
	bool		has_queue;		/* as the last worker found */
	pid_t		worker_pid;		/* while present */
	Latch	   *worker_latch;	/* in shared memory; while present */
	bool		stays;			/* while present: it has found work */
	pid_t		keep_out_pid;	/* who drops, renames or copies it, or 0 */
	TimestampTz rung;			/* not_before of the earliest row that no
								 * worker has taken notice of, or DT_NOEND */
	TimestampTz due;			/* when an absent worker is needed again */
	TimestampTz waits_since;	/* for a place for its worker, or DT_NOEND */
	int			failures;		/* workers in a row that did not come up */
} PnvsRosterSlot;

extern void pnvs_roster_init(void);
extern bool pnvs_roster_is_shared(void);

/* For sessions. */
extern void pnvs_roster_ring_at_end(TimestampTz not_before, bool also_on_abort);
extern void pnvs_roster_ring(TimestampTz not_before);
extern void pnvs_roster_ring_if_known(TimestampTz not_before);
extern void pnvs_roster_keep_out(Oid database);
extern void pnvs_roster_let_in(Oid database);
extern void pnvs_roster_drop(Oid database);
extern bool pnvs_roster_is_present(Oid database);
extern void pnvs_roster_add_settled(PnvsRosterSettled *settled, int64 id);
extern void pnvs_roster_announce_settled(const PnvsRosterSettled *settled);
extern void pnvs_roster_await_begin(int64 id);
extern void pnvs_roster_await(int64 id, long wait_ms, uint32 wait_event);
extern void pnvs_roster_await_end(void);

/* For workers. */
extern bool pnvs_roster_enter(void);
extern void pnvs_roster_stay(void);
extern TimestampTz pnvs_roster_take_ring(void);
extern bool pnvs_roster_must_leave(bool *when_idle);
extern bool pnvs_roster_leave(bool has_queue, TimestampTz due, bool even_if_rung);

/* For the launcher. */
extern void pnvs_roster_open(void);
extern int	pnvs_roster_copy(PnvsRosterSlot *slots);
extern bool pnvs_roster_note_start(Oid database);
extern void pnvs_roster_note_wait(Oid database);
extern void pnvs_roster_note_end(Oid database, TimestampTz retry_at);
extern bool pnvs_roster_is_visit_over(Oid database);
extern void pnvs_roster_forget(Oid database);
extern void pnvs_roster_ask_idle_to_leave(void);
extern bool pnvs_roster_take_overflow(void);

#endif							/* PNVS_ROSTER_H */
