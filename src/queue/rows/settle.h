/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  Writes what became of messages into their rows, and lets observers know.
 *
 * All functions are to be called in a transaction, within a visit (see table.h), and
 * throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTLE_H
#define PNVS_SETTLE_H

#include "queue/rows/claimer.h"
#include "queue/rows/verdict.h"

/*
 * Called with verdicts that were written, also with those that leave a row open (their
 * settled_at is 0).
 */
typedef void (*PnvsSettleObserver) (const PnvsVerdict *verdicts, int nverdicts);

extern void pnvs_settle_observe(PnvsSettleObserver observer);
extern void pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts,
							 int nverdicts);
extern bool pnvs_settle_cancel(int64 id, const char *recipient, Oid requester);
extern int	pnvs_settle_find_locked(int64 *ids, int nids);

#endif							/* PNVS_SETTLE_H */
