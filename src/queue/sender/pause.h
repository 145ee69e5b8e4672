/*-------------------------------------------------------------------------
 *
 * pause.h
 *	  How a sender goes on after a failure: after a pause.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PAUSE_H
#define PNVS_PAUSE_H

#include "datatype/timestamp.h"

typedef struct PnvsPause
{
	TimestampTz paused_until;	/* or 0 */
	int			failures;		/* in a row */
} PnvsPause;

extern void pnvs_pause_begin(PnvsPause *pause);
extern void pnvs_pause_forget_failures(PnvsPause *pause);
extern void pnvs_pause_end(PnvsPause *pause);
extern void pnvs_pause_for_lock(PnvsPause *pause);

#endif							/* PNVS_PAUSE_H */
