/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Rows of unknown fate, looked up at the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOOKUP_H
#define PNVS_LOOKUP_H

#include "queue/flight.h"

extern void pnvs_lookup_values(const PnvsFlight *flight, const char **values);
extern bool pnvs_lookup_collect(PnvsFlight *flight, const PnvsReply *reply);
extern void pnvs_lookup_decide(PnvsFlight *flight, const PnvsAnswer *answer,
							   PnvsVerdicts *verdicts);
extern int	pnvs_lookup_select(PnvsClaim *claims, int max, const int64 *under_way,
							   int nunder_way);
extern TimestampTz pnvs_lookup_next(const PnvsClaim *claims, int nclaims,
									const int64 *under_way, int nunder_way);

#endif							/* PNVS_LOOKUP_H */
