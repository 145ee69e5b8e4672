/*-------------------------------------------------------------------------
 *
 * upkeep.h
 *	  What a sender does for the queue beside sending.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_UPKEEP_H
#define PNVS_UPKEEP_H

#include "queue/rows/rows.h"
#include "queue/sender/transaction.h"

extern bool pnvs_upkeep_recover(PnvsTransact transact, PnvsClaimer *claimer);
extern int64 pnvs_upkeep_purge(PnvsTransact transact, PnvsClaimer *claimer);
extern int64 pnvs_upkeep_interval_us(void);

#endif							/* PNVS_UPKEEP_H */
