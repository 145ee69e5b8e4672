/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Runs the transactions of a sender, and declares the small jobs that are done in
 *	  transactions of their own: NOTIFY, recovery and purge.
 *
 * The worker and the procedure drive the same sender, but begin and commit a transaction
 * in different ways.  So each brings a function that does that, a PnvsTransact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TRANSACTION_H
#define PNVS_TRANSACTION_H

#include "queue/rows/rows.h"
#include "table/table.h"

/*
 * Runs work in a transaction of its own and commits it.  Returns NULL; or the error, in
 * the caller's memory context, after the transaction was rolled back.
 */
typedef ErrorData *(*PnvsTransact) (void (*work) (void *arg), void *arg);

/* The result of pnvs_transaction_lock_table(). */
typedef enum PnvsTableLock
{
	PNVS_TABLE_LOCKED,
	PNVS_TABLE_BUSY,			/* another process has locked it */
	PNVS_TABLE_MISSING			/* the extension is not in this database */
} PnvsTableLock;

/* A batch of a purge. */
typedef struct PnvsPurgeBatch
{
	int			max;			/* rows */
	int			npurged;		/* out; as many as max: there may be more */
	int64		wait_us;		/* out: until another row is to be purged, or
								 * PNVS_NEVER */
} PnvsPurgeBatch;

/*
 * Deletes old rows of a table of a module above, or takes out of them what is no longer
 * needed.  Called in a transaction with the table locked.
 */
typedef struct PnvsPurger
{
	PnvsTable  *table;
	void		(*purge) (PnvsPurgeBatch *batch);
	int64		interval_us;	/* a row that is new now is not purged sooner */
} PnvsPurger;

/* What a module above has left undone, for senders to come back to. */
typedef struct PnvsUpkeepJob
{
	int64		(*due_us) (void);	/* when, by the monotonic clock, or
									 * PNVS_NEVER */
	void		(*repeat) (void *arg);	/* in a transaction; arg: a
										 * PnvsUpkeepRun */
} PnvsUpkeepJob;

typedef struct PnvsUpkeepRun
{
	bool		all;			/* look for all that is undone, whoever has
								 * left it */
	bool		goes_on;		/* the last transaction has not come to the
								 * end; out: nor has this */
} PnvsUpkeepRun;

/* transaction.c */
extern bool pnvs_transaction_run(PnvsTransact transact, void (*work) (void *arg), void *arg);
extern ErrorData *pnvs_transaction_take_error(MemoryContext context);
extern void pnvs_transaction_note_written(void);
extern PnvsTableLock pnvs_transaction_lock_table(PnvsTable *table);

/* notify.c */
extern void pnvs_notify_announce(PnvsTransact transact, PnvsVerdicts *verdicts);

/* upkeep.c */
extern void pnvs_upkeep_add_purger(const PnvsPurger *purger);
extern bool pnvs_upkeep_recover(PnvsTransact transact, PnvsClaimer *claimer);
extern void pnvs_upkeep_expire(PnvsTransact transact, PnvsClaimer *claimer);
extern int64 pnvs_upkeep_purge(PnvsTransact transact, PnvsClaimer *claimer);
extern int64 pnvs_upkeep_interval_us(void);
extern int64 pnvs_upkeep_wait_us(TimestampTz since, int64 kept_us);
extern void pnvs_upkeep_register(const PnvsUpkeepJob *job);
extern int64 pnvs_upkeep_repeat_due_us(void);
extern void pnvs_upkeep_repeat(PnvsTransact transact, bool all);

#endif							/* PNVS_TRANSACTION_H */
