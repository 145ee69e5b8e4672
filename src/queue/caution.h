/*-------------------------------------------------------------------------
 *
 * caution.h
 *	  How a sender goes on after a failure: after a pause.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CAUTION_H
#define PNVS_CAUTION_H

#include "datatype/timestamp.h"

typedef struct PnvsCaution
{
	TimestampTz paused_until;	/* or 0 */
	int			failures;		/* in a row */
} PnvsCaution;

extern void pnvs_caution_pause(PnvsCaution *caution);
extern void pnvs_caution_forget_failures(PnvsCaution *caution);
extern void pnvs_caution_end_pause(PnvsCaution *caution);
extern void pnvs_caution_wait_for_lock(PnvsCaution *caution);

#endif							/* PNVS_CAUTION_H */
