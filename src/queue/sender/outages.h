/*-------------------------------------------------------------------------
 *
 * outages.h
 *	  What a sender waits for because of what is everybody's fault.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OUTAGES_H
#define PNVS_OUTAGES_H

#include "core/outage.h"
#include "queue/rows/verdict.h"

/* A key may look messages up and not send them, so that each has its own. */
typedef struct PnvsOutages
{
	PnvsOutage	sends;
	PnvsOutage	look_ups;
} PnvsOutages;

extern void pnvs_outages_note(PnvsOutages *outages, const PnvsVerdicts *verdicts);
extern void pnvs_outages_log(const PnvsOutages *before, const PnvsOutages *after,
							 const PnvsVerdicts *verdicts);
extern void pnvs_outages_try_again(PnvsOutages *outages);
extern int64 pnvs_outages_send_wait_us(const PnvsOutages *outages, int64 now_us);
extern int64 pnvs_outages_look_up_wait_us(const PnvsOutages *outages, int64 now_us);

#endif							/* PNVS_OUTAGES_H */
