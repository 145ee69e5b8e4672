/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  The transaction of a sender: it settles the requests that have come back, and claims
 *	  rows for new requests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_EXCHANGE_H
#define PNVS_EXCHANGE_H

#include "queue/attempt/window.h"
#include "queue/sender/outages.h"
#include "queue/sender/transaction.h"

typedef struct PnvsExchange
{
	/* the sender's; its window is not changed */
	PnvsClaimer *claimer;
	const PnvsWindow *window;
	MemoryContext attempt_context;	/* where new attempts are created */
	MemoryContext scratch;		/* of the results; the caller resets it */

	/* what to do */
	bool		abandon;		/* settle also requests under way */
	bool		start_no_more;	/* settle what would be started again */
	bool		skip_locked;	/* leave locked rows for later */
	bool		queued_due;
	bool		unknown_due;
	bool		unknown_first;	/* claim rows of unknown fate first */
	int			capacity;		/* claim so many rows */
	int			look_up_capacity;	/* so many of them of unknown fate */

	/* in: the sender's; out: those after a commit */
	PnvsOutages outages;
	TimestampTz next_queued;
	TimestampTz next_unknown;

	/* the results, which count only after a commit */
	PnvsTableLock lock;			/* nothing was done unless it was locked */
	PnvsAttempt **finished;
	int			nfinished;
	PnvsAttempt **claimed;
	int			nclaimed;
	PnvsVerdicts verdicts;
	bool		met_locked;		/* some rows were left for later */
} PnvsExchange;

extern void pnvs_exchange_work(void *arg);

#endif							/* PNVS_EXCHANGE_H */
