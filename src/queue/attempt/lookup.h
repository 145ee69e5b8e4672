/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Finds out by a search at the service whether a message was sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOOKUP_H
#define PNVS_LOOKUP_H

#include "queue/attempt/attempt.h"

extern void pnvs_lookup_values(const PnvsAttempt *attempt, const char **values);
extern void pnvs_lookup_collect(PnvsAttempt *attempt, const PnvsReply *reply);
extern bool pnvs_lookup_has_next_page(const PnvsAttempt *attempt);
extern void pnvs_lookup_decide(PnvsAttempt *attempt, PnvsVerdicts *verdicts);
extern const char *pnvs_lookup_now(const PnvsClaim *claim, bool *decided);
extern bool pnvs_lookup_is_approved(const char *verification_id, const char *service_sid,
									const char *number, bool *is_overloaded);
extern bool pnvs_lookup_message(const char *verification_id, PnvsRecord *message);
extern bool pnvs_lookup_fits_time(const PnvsRecord *record, TimestampTz from, TimestampTz until);

#endif							/* PNVS_LOOKUP_H */
