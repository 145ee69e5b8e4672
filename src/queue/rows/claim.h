/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  Claims rows that are due, so that their messages can be sent.
 *
 * All functions are to be called in a transaction, within a visit (see table.h), and
 * throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CLAIM_H
#define PNVS_CLAIM_H

#include "core/outage.h"
#include "queue/rows/claimer.h"
#include "queue/rows/verdict.h"

/* How a claim is limited to one row, while all are refused. */
typedef struct PnvsClaimLimit
{
	PnvsTryable tryable;
	int64		avoid;			/* the row that was refused last, or 0 */
} PnvsClaimLimit;

extern int	pnvs_claim_due(PnvsClaimer *claimer, int max, const PnvsClaimLimit *limit,
						   PnvsClaim *claims,
						   int *nclaims, PnvsVerdicts *verdicts);
extern int	pnvs_claim_expire(const PnvsClaimer *claimer, int max, PnvsVerdicts *verdicts);
extern TimestampTz pnvs_claim_next(PnvsClaimer *claimer);

#endif							/* PNVS_CLAIM_H */
