/*-------------------------------------------------------------------------
 *
 * phase.c
 *	  How far the request of a claimed row has got, and what may follow.
 *
 *	  TO_VERIFY   <-> VERIFYING  -> TO_SEND
 *	  TO_SEND     <-> SENDING
 *	  TO_LOOK_UP  <-> LOOKING_UP
 *
 * From any TO_ phase a request that cannot be made ends in NOT_MADE or
 * NOT_LOOKED_UP, and one that must not be sent in WITHHELD.  An answer ends the
 * request, whose row then has a verdict and no phase.
 *
 *-------------------------------------------------------------------------
 */
#include "core/phase.h"

/* The phase that follows; an event that cannot happen in a phase changes nothing. */
PnvsPhase
pnvs_phase_next(PnvsPhase phase, PnvsPhaseEvent event)
{
	switch (event)
	{
		case PNVS_PHASE_STARTED:
			if (phase == PNVS_PHASE_TO_VERIFY)
				return PNVS_PHASE_VERIFYING;
			if (phase == PNVS_PHASE_TO_SEND)
				return PNVS_PHASE_SENDING;
			if (phase == PNVS_PHASE_TO_LOOK_UP)
				return PNVS_PHASE_LOOKING_UP;
			break;
		case PNVS_PHASE_START_FAILED:
			if (phase == PNVS_PHASE_TO_LOOK_UP)
				return PNVS_PHASE_NOT_LOOKED_UP;
			if (phase == PNVS_PHASE_TO_VERIFY || phase == PNVS_PHASE_TO_SEND)
				return PNVS_PHASE_NOT_MADE;
			break;
		case PNVS_PHASE_WITHHOLD:
			if (phase == PNVS_PHASE_TO_VERIFY || phase == PNVS_PHASE_TO_SEND)
				return PNVS_PHASE_WITHHELD;
			break;
		case PNVS_PHASE_REPEAT:
			if (phase == PNVS_PHASE_VERIFYING)
				return PNVS_PHASE_TO_VERIFY;
			if (phase == PNVS_PHASE_SENDING)
				return PNVS_PHASE_TO_SEND;
			if (phase == PNVS_PHASE_LOOKING_UP)
				return PNVS_PHASE_TO_LOOK_UP;
			break;
		case PNVS_PHASE_NOT_SENT_YET:
			if (phase == PNVS_PHASE_VERIFYING)
				return PNVS_PHASE_TO_SEND;
			break;
	}
	return phase;
}

/* Whether the next thing to do is to start a request. */
bool
pnvs_phase_is_to_start(PnvsPhase phase)
{
	return phase == PNVS_PHASE_TO_VERIFY || phase == PNVS_PHASE_TO_SEND ||
		phase == PNVS_PHASE_TO_LOOK_UP;
}

/* Whether a request has been started whose answer was not taken yet. */
bool
pnvs_phase_is_under_way(PnvsPhase phase)
{
	return phase == PNVS_PHASE_VERIFYING || phase == PNVS_PHASE_SENDING ||
		phase == PNVS_PHASE_LOOKING_UP;
}

/* Whether the request is for a row of unknown fate. */
bool
pnvs_phase_is_look_up(PnvsPhase phase)
{
	return phase == PNVS_PHASE_TO_LOOK_UP || phase == PNVS_PHASE_LOOKING_UP ||
		phase == PNVS_PHASE_NOT_LOOKED_UP;
}

/*
 * What is known of the row if its request ends here.  maybe_sent: some of the request
 * under way may have arrived.  What was answered and is to be made again was
 * refused, so that it is unsent, too; and a search sends nothing.
 */
PnvsAbandoned
pnvs_phase_abandon(PnvsPhase phase, bool maybe_sent)
{
	switch (phase)
	{
		case PNVS_PHASE_SENDING:
			return maybe_sent ? PNVS_ABANDONED_UNKNOWN : PNVS_ABANDONED_UNSENT;
		case PNVS_PHASE_WITHHELD:
			return PNVS_ABANDONED_UNKNOWN;
		case PNVS_PHASE_TO_LOOK_UP:
		case PNVS_PHASE_LOOKING_UP:
		case PNVS_PHASE_NOT_LOOKED_UP:
			return PNVS_ABANDONED_AS_IT_WAS;
		case PNVS_PHASE_TO_VERIFY:
		case PNVS_PHASE_VERIFYING:
		case PNVS_PHASE_TO_SEND:
		case PNVS_PHASE_NOT_MADE:
			break;
	}
	return PNVS_ABANDONED_UNSENT;
}
