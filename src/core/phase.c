/*-------------------------------------------------------------------------
 *
 * phase.c
 *	  The phases of a claimed row's request, and the order in which they follow each
 *	  other.
 *
 *	  TO_VERIFY   <-> VERIFYING  -> TO_SEND
 *	  TO_SEND     <-> SENDING
 *	  TO_LOOK_UP  <-> LOOKING_UP
 *
 * From a TO_ phase, a request that cannot be made goes to NOT_MADE or NOT_LOOKED_UP, and
 * a request that must not be sent to WITHHELD.  An answer ends the request: its row then
 * has a verdict and no phase.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/phase.h"

static const struct
{
	PnvsPhase	from;
	PnvsPhaseEvent event;
	PnvsPhase	to;
}			transitions[] = {
	{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_STARTED, PNVS_PHASE_VERIFYING},
	{PNVS_PHASE_TO_SEND, PNVS_PHASE_STARTED, PNVS_PHASE_SENDING},
	{PNVS_PHASE_TO_LOOK_UP, PNVS_PHASE_STARTED, PNVS_PHASE_LOOKING_UP},
	{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_MADE},
	{PNVS_PHASE_TO_SEND, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_MADE},
	{PNVS_PHASE_TO_LOOK_UP, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_LOOKED_UP},
	{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_WITHHOLD, PNVS_PHASE_WITHHELD},
	{PNVS_PHASE_TO_SEND, PNVS_PHASE_WITHHOLD, PNVS_PHASE_WITHHELD},
	{PNVS_PHASE_VERIFYING, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_VERIFY},
	{PNVS_PHASE_SENDING, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_SEND},
	{PNVS_PHASE_LOOKING_UP, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_LOOK_UP},
	{PNVS_PHASE_VERIFYING, PNVS_PHASE_NOT_SENT_YET, PNVS_PHASE_TO_SEND},
};

/* The phase after an event; an event that cannot happen in a phase changes nothing. */
PnvsPhase
pnvs_phase_next(PnvsPhase phase, PnvsPhaseEvent event)
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
	{
		if (transitions[i].from == phase && transitions[i].event == event)
			return transitions[i].to;
	}
	return phase;
}

/* Whether a request is to be started next. */
bool
pnvs_phase_is_to_start(PnvsPhase phase)
{
	return phase == PNVS_PHASE_TO_VERIFY || phase == PNVS_PHASE_TO_SEND ||
		phase == PNVS_PHASE_TO_LOOK_UP;
}

/* Whether a request is under way. */
bool
pnvs_phase_is_under_way(PnvsPhase phase)
{
	return phase == PNVS_PHASE_VERIFYING || phase == PNVS_PHASE_SENDING ||
		phase == PNVS_PHASE_LOOKING_UP;
}

/* Whether the request looks up a row of unknown fate. */
bool
pnvs_phase_is_look_up(PnvsPhase phase)
{
	return phase == PNVS_PHASE_TO_LOOK_UP || phase == PNVS_PHASE_LOOKING_UP ||
		phase == PNVS_PHASE_NOT_LOOKED_UP;
}

/*
 * The fate of the row if its request is given up.  maybe_sent: the service may have received
 * the request under way.  A request that was answered and is to be repeated was refused,
 * so its message is unsent; and a search sends no message.
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
