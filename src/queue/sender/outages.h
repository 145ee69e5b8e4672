/*-------------------------------------------------------------------------
 *
 * outages.h
 *	  Makes a sender pause during an outage, while the service refuses all requests, and
 *	  tells the log why.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OUTAGES_H
#define PNVS_OUTAGES_H

#include "core/outage.h"
#include "queue/rows/verdict.h"

/* Each operation can have an outage of its own: a key may look up, and not send. */
typedef struct PnvsOutages
{
	PnvsOutage	sends;
	PnvsOutage	look_ups;
} PnvsOutages;

extern void pnvs_outages_note(PnvsOutages *outages, const PnvsVerdicts *verdicts);
extern void pnvs_outages_log(const PnvsOutages *before, const PnvsOutages *after,
							 const PnvsVerdicts *verdicts);
extern int64 pnvs_outages_send_wait_us(const PnvsOutages *outages, int64 now_us);
extern int64 pnvs_outages_look_up_wait_us(const PnvsOutages *outages, int64 now_us);

#endif							/* PNVS_OUTAGES_H */
