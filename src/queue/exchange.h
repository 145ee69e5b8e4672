/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  The one transaction of a sender: settle what has come back, claim more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_EXCHANGE_H
#define PNVS_EXCHANGE_H

#include "queue/flight.h"
#include "queue/ledger.h"
#include "queue/outages.h"

typedef struct PnvsExchange
{
	/* what to do */
	PnvsLedger *ledger;
	MemoryContext flight_context;	/* where new flights are created */
	MemoryContext scratch;		/* of everything below; the caller resets it */
	PnvsFlight **flights;		/* these are settled, if done */
	int			nflights;
	int64	   *looked_up;		/* rows that are being looked up already */
	int			nlooked_up;
	bool		abandon;		/* settle also what is not done */
	bool		start_no_more;	/* nor start anything again */
	bool		skip_held;		/* leave out rows that somebody has locked */
	int			room;			/* claim so many rows */
	int			places;			/* the window takes so many flights beside
								 * those that it keeps */
	int			lookup_room;	/* so many of them may be of unknown fate */
	bool		queued_due;
	bool		unknown_due;
	bool		unknown_first;	/* it is their turn */

	/* as they are before, and, once it is committed, after */
	PnvsOutages outages;

	/* what was done; counts only where the transaction was committed */
	bool		locked;			/* nothing, somebody has locked the table */
	bool		has_table;
	PnvsFlight **landed;
	int			nlanded;
	PnvsVerdicts verdicts;
	PnvsFlight **claimed;
	int			nclaimed;
	bool		any_held;		/* some rows were left out */
	TimestampTz next_queued;
	TimestampTz next_unknown;
} PnvsExchange;

extern void pnvs_exchange_work(void *arg);

#endif							/* PNVS_EXCHANGE_H */
