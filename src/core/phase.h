/*-------------------------------------------------------------------------
 *
 * phase.h
 *	  The phases of a claimed row's request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PHASE_H
#define PNVS_PHASE_H

#include <stdbool.h>

/* In a TO_ phase a request is to be started, for the first time or again. */
typedef enum PnvsPhase
{
	PNVS_PHASE_TO_VERIFY,		/* SearchVerification, before the first send */
	PNVS_PHASE_VERIFYING,
	PNVS_PHASE_TO_SEND,			/* StartVerification */
	PNVS_PHASE_SENDING,
	PNVS_PHASE_TO_LOOK_UP,		/* SearchVerification, for a row of unknown
								 * fate */
	PNVS_PHASE_LOOKING_UP,
	PNVS_PHASE_WITHHELD,		/* must not be sent: its claim is not safe */
	PNVS_PHASE_NOT_MADE,		/* the request could not be made */
	PNVS_PHASE_NOT_LOOKED_UP	/* the same, for a row of unknown fate */
} PnvsPhase;

typedef enum PnvsPhaseEvent
{
	PNVS_PHASE_STARTED,
	PNVS_PHASE_START_FAILED,
	PNVS_PHASE_WITHHOLD,
	PNVS_PHASE_REPEAT,			/* for the next page, or with the clock
								 * corrected */
	PNVS_PHASE_NOT_SENT_YET		/* the search before the send found nothing */
} PnvsPhaseEvent;

/* The fate of a row whose request is given up. */
typedef enum PnvsAbandoned
{
	PNVS_ABANDONED_UNSENT,
	PNVS_ABANDONED_UNKNOWN,
	PNVS_ABANDONED_AS_IT_WAS	/* still unknown, to be looked up again */
} PnvsAbandoned;

extern PnvsPhase pnvs_phase_next(PnvsPhase phase, PnvsPhaseEvent event);
extern bool pnvs_phase_is_to_start(PnvsPhase phase);
extern bool pnvs_phase_is_under_way(PnvsPhase phase);
extern bool pnvs_phase_is_look_up(PnvsPhase phase);
extern PnvsAbandoned pnvs_phase_abandon(PnvsPhase phase, bool maybe_sent);

#endif							/* PNVS_PHASE_H */
