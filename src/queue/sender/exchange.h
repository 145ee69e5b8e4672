/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  The one transaction of a sender: settle what has come back, claim more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_EXCHANGE_H
#define PNVS_EXCHANGE_H

#include "queue/attempt/attempt.h"
#include "queue/rows/rows.h"
#include "queue/sender/outages.h"

typedef struct PnvsExchange
{
	/* what to do */
	PnvsClaimer *claimer;
	MemoryContext attempt_context;	/* where new attempts are created */
	MemoryContext scratch;		/* of everything below; the caller resets it */
	PnvsAttempt **attempts;		/* these are settled, if done */
	int			nattempts;
	int64	   *looked_up;		/* rows that are being looked up already */
	int			nlooked_up;
	bool		abandon;		/* settle also what is not done */
	bool		start_no_more;	/* nor start anything again */
	bool		skip_locked;	/* leave out rows that somebody has locked */
	int			capacity;		/* claim so many rows */
	int			places;			/* the window takes so many attempts beside
								 * those that it keeps */
	int			look_up_capacity;	/* so many of them may be of unknown fate */
	bool		queued_due;
	bool		unknown_due;
	bool		unknown_first;	/* it is their turn */

	/* as they are before, and, once it is committed, after */
	PnvsOutages outages;

	/* what was done; counts only where the transaction was committed */
	bool		table_locked;	/* nothing, somebody has locked the table */
	bool		has_table;
	PnvsAttempt **finished;
	int			nfinished;
	PnvsVerdicts verdicts;
	PnvsAttempt **claimed;
	int			nclaimed;
	bool		met_locked;		/* some rows were left out */
	TimestampTz next_queued;
	TimestampTz next_unknown;
} PnvsExchange;

extern void pnvs_exchange_work(void *arg);

#endif							/* PNVS_EXCHANGE_H */
