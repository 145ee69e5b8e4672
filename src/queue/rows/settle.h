/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  Writes what became of messages into their rows.
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

extern void pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts,
							 int nverdicts);
extern int	pnvs_settle_find_locked(int64 *ids, int nids);

#endif							/* PNVS_SETTLE_H */
