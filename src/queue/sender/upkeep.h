/*-------------------------------------------------------------------------
 *
 * upkeep.h
 *	  What a sender does for the queue beside sending.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_UPKEEP_H
#define PNVS_UPKEEP_H

#include "queue/rows/claim.h"
#include "queue/sender/transaction.h"

extern bool pnvs_upkeep_recover(PnvsTransact transact, PnvsClaimer *claimer);
extern TimestampTz pnvs_upkeep_purge(PnvsTransact transact, PnvsClaimer *claimer);
extern TimestampTz pnvs_upkeep_next_purge(TimestampTz purged_at);

#endif							/* PNVS_UPKEEP_H */
