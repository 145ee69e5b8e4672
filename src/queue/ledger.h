/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  The queue as its senders see it: claim, settle, recover, clean up.
 *
 * A ledger belongs to one sender.  All functions but open and close are to be
 * called in a transaction, within a visit (see table.h), and throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LEDGER_H
#define PNVS_LEDGER_H

#include "datatype/timestamp.h"

#include "queue/verdict.h"

/* Rows that fail by themselves (a trigger raises) are left alone for a while. */
#define PNVS_LEDGER_MAX_PASSED_OVER 1000

typedef struct PnvsLedger
{
	int64		claimer;		/* who this is, in the rows that it claims */
	TimestampTz seen_not_before;	/* nothing is due up to here, seen_id */
	int64		seen_id;
	TimestampTz purged_up_to;
	int			npassed_over;
	int64		passed_over[PNVS_LEDGER_MAX_PASSED_OVER];
} PnvsLedger;

extern void pnvs_ledger_open(PnvsLedger *ledger);
extern void pnvs_ledger_close(PnvsLedger *ledger);
extern void pnvs_ledger_rewind(PnvsLedger *ledger, TimestampTz not_before);
extern void pnvs_ledger_pass_over(PnvsLedger *ledger, int64 id);
extern int	pnvs_ledger_claim(PnvsLedger *ledger, int max, PnvsClaim *claims,
							  int *nclaims, int64 *candidate);
extern void pnvs_ledger_settle(const PnvsLedger *ledger, const PnvsVerdict *verdicts,
							   int nverdicts);
extern TimestampTz pnvs_ledger_next_queued(const PnvsLedger *ledger);
extern int	pnvs_ledger_find_interrupted(const PnvsLedger *ledger, int64 **ids);
extern void pnvs_ledger_interrupt(const int64 *ids, int nids);
extern int	pnvs_ledger_purge(PnvsLedger *ledger);
extern TimestampTz pnvs_ledger_next_purge(const PnvsLedger *ledger);
extern void pnvs_ledger_commit_durably(void);
extern bool pnvs_ledger_is_replicated(void);

#endif							/* PNVS_LEDGER_H */
