/*-------------------------------------------------------------------------
 *
 * caution.h
 *	  How a sender goes on after a failure: row by row, and after a pause.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CAUTION_H
#define PNVS_CAUTION_H

#include "datatype/timestamp.h"

/* After a failure, row by row for so many exchanges. */
#define PNVS_CAREFUL_TURNS 8

/*
 * So many tries that fail end such an exchange: few, for where nothing can be written
 * they all do.
 */
#define PNVS_CAREFUL_TRIES 8

typedef struct PnvsCaution
{
	TimestampTz paused_until;	/* or 0 */
	int64		pause_ms;		/* the last */
	int			failures;		/* in a row */
	int			careful;		/* exchanges that are to be small */
	unsigned	rounds;			/* of settling by turns, so far */
	bool		round_failed;	/* this one has, and that is counted */
} PnvsCaution;

extern void pnvs_caution_begin_round(PnvsCaution *caution);
extern void pnvs_caution_pause(PnvsCaution *caution);
extern void pnvs_caution_forget_failures(PnvsCaution *caution);
extern void pnvs_caution_end_pause(PnvsCaution *caution);
extern void pnvs_caution_wait_for_lock(PnvsCaution *caution);
extern TimestampTz pnvs_caution_retry_at(const PnvsCaution *caution, bool nothing_commits);

#endif							/* PNVS_CAUTION_H */
