/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Says in the log what the guard does.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_REPORT_H
#define PNVS_GUARD_REPORT_H

#include "guard/breakers.h"
#include "guard/guard.h"

/* What happened while locks were held. */
typedef struct PnvsGuardReport
{
	uint32		refusing;		/* rules by their bits: they refused, or would
								 * have */
	bool		breaker_refused;	/* the same of the breaker */
	bool		memory_full;	/* a key shares a bucket */
	int			nearly_full;	/* a rule for the total that has little room;
								 * or -1 */
	PnvsBreakerEvent event;
	uint64		country;
	uint32		judged_sent;	/* the figures on which the breaker opened */
	uint32		judged_approved;
} PnvsGuardReport;

extern void pnvs_report(const PnvsGuardReport *report, const PnvsPolicy *policy);
extern void pnvs_report_setting(PnvsRefusalReason reason);

#endif							/* PNVS_GUARD_REPORT_H */
