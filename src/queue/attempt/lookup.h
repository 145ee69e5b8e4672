/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Rows of unknown fate, looked up at the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOOKUP_H
#define PNVS_LOOKUP_H

#include "queue/attempt/attempt.h"

extern void pnvs_lookup_values(const PnvsAttempt *attempt, const char **values);
extern bool pnvs_lookup_collect(PnvsAttempt *attempt, const PnvsReply *reply);
extern void pnvs_lookup_decide(PnvsAttempt *attempt, const PnvsAnswer *answer,
							   PnvsVerdicts *verdicts);

#endif							/* PNVS_LOOKUP_H */
