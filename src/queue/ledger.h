/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The queue as its senders see it: claim, settle, recover, clean up.
 *
 * A ledger belongs to one sender.  All functions that read or write rows are to be
 * called in a transaction, within a visit (see table.h), and throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LEDGER_H
#define PNVS_LEDGER_H

#include "datatype/timestamp.h"

#include "core/outage.h"
#include "queue/verdict.h"

/* Where a row stands in the order in which rows are due. */
typedef struct PnvsPosition
{
	TimestampTz not_before;
	int64		id;				/* 0: before all rows of that time */
} PnvsPosition;

typedef struct PnvsLedger
{
	int64		claimer;		/* who this is, in the rows that it claims */
	PnvsPosition seen;			/* nothing is due up to here */
	PnvsPosition checked;		/* nothing that somebody held is left up to
								 * here */
	TimestampTz purged_up_to;	/* the next batch begins here */
} PnvsLedger;

/* How a claim is limited to one row, while all are refused. */
typedef struct PnvsClaimLimit
{
	PnvsTryable tryable;
	int64		avoid;			/* the row that was refused last, or 0 */
} PnvsClaimLimit;

extern void pnvs_ledger_open(PnvsLedger *ledger);
extern void pnvs_ledger_close(PnvsLedger *ledger);
extern void pnvs_ledger_rewind(PnvsLedger *ledger, TimestampTz not_before);
extern int	pnvs_ledger_claim(PnvsLedger *ledger, int max, const PnvsClaimLimit *limit,
							  PnvsClaim *claims,
							  int *nclaims, PnvsVerdicts *verdicts);
extern int	pnvs_ledger_expire(const PnvsLedger *ledger, int max, PnvsVerdicts *verdicts);
extern void pnvs_ledger_settle(const PnvsLedger *ledger, const PnvsVerdict *verdicts,
							   int nverdicts);
extern TimestampTz pnvs_ledger_next_queued(PnvsLedger *ledger);
extern int	pnvs_ledger_find_interrupted(const PnvsLedger *ledger, int64 **ids);
extern bool pnvs_ledger_interrupt(const int64 *ids, int nids);
extern int	pnvs_ledger_find_held(int64 *ids, int nids);
extern int	pnvs_ledger_purge(PnvsLedger *ledger, int max);
extern TimestampTz pnvs_ledger_next_purge(const PnvsLedger *ledger);
extern int64 pnvs_ledger_retention_us(void);

#endif							/* PNVS_LEDGER_H */
