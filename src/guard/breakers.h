/*-------------------------------------------------------------------------
 *
 * breakers.h
 *	  The breaker of each country.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_BREAKERS_H
#define PNVS_GUARD_BREAKERS_H

#include "guard/guard.h"
#include "guard/shares.h"

/* What a breaker has done during a call, for the log. */
typedef enum PnvsBreakerEvent
{
	PNVS_BREAKER_SILENT,
	PNVS_BREAKER_OPENED,
	PNVS_BREAKER_CLOSED,
	PNVS_BREAKER_ARMED
} PnvsBreakerEvent;

/* With the lock of the country share. */
extern PnvsGuardBreaker *pnvs_breaker_of(uint64 country);
extern void pnvs_breaker_load(uint64 country, const PnvsGuardBreaker *breaker);
extern bool pnvs_breaker_refuses(PnvsGuardBreaker *breaker, const PnvsPolicy *policy,
								 TimestampTz due, TimestampTz now, PnvsBreakerEvent *event);
extern bool pnvs_breaker_counts_at_once(const PnvsPolicy *policy, const PnvsAdmission *admission);
extern void pnvs_breaker_count(PnvsGuardBreaker *breaker, const PnvsPolicy *policy,
							   PnvsGuardNote *note, TimestampTz sent, TimestampTz now);
extern void pnvs_breaker_give_back(PnvsGuardBreaker *breaker, const PnvsPolicy *policy,
								   PnvsGuardNote *note, const PnvsAdmission *admission);
extern void pnvs_breaker_approve(PnvsGuardBreaker *breaker, const PnvsPolicy *policy,
								 PnvsGuardNote *note, TimestampTz due);
extern void pnvs_breakers_reset(void);

#endif							/* PNVS_GUARD_BREAKERS_H */
