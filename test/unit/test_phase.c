/*
 * test_phase.c: how far the request of a claimed row has got.
 */
#include <stddef.h>

#include "core/phase.h"
#include "tap.h"

#define NPHASES (PNVS_PHASE_NOT_LOOKED_UP + 1)
#define NEVENTS (PNVS_PHASE_NOT_SENT_YET + 1)

static const char *const names[NPHASES] = {
	[PNVS_PHASE_TO_VERIFY] = "to verify",[PNVS_PHASE_VERIFYING] = "verifying",
	[PNVS_PHASE_TO_SEND] = "to send",[PNVS_PHASE_SENDING] = "sending",
	[PNVS_PHASE_TO_LOOK_UP] = "to look up",[PNVS_PHASE_LOOKING_UP] = "looking up",
	[PNVS_PHASE_WITHHELD] = "withheld",[PNVS_PHASE_NOT_MADE] = "not made",
	[PNVS_PHASE_NOT_LOOKED_UP] = "not looked up"
};

static const char *const events[NEVENTS] = {
	[PNVS_PHASE_STARTED] = "started",[PNVS_PHASE_START_FAILED] = "start failed",
	[PNVS_PHASE_WITHHOLD] = "withhold",[PNVS_PHASE_REPEAT] = "repeat",
	[PNVS_PHASE_NOT_SENT_YET] = "not sent yet"
};

static void
test_transitions(void)
{
	static const struct
	{
		PnvsPhase	phase;
		PnvsPhaseEvent event;
		PnvsPhase	next;
	}			transitions[] = {
		{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_STARTED, PNVS_PHASE_VERIFYING},
		{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_MADE},
		{PNVS_PHASE_TO_VERIFY, PNVS_PHASE_WITHHOLD, PNVS_PHASE_WITHHELD},
		{PNVS_PHASE_VERIFYING, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_VERIFY},
		{PNVS_PHASE_VERIFYING, PNVS_PHASE_NOT_SENT_YET, PNVS_PHASE_TO_SEND},
		{PNVS_PHASE_TO_SEND, PNVS_PHASE_STARTED, PNVS_PHASE_SENDING},
		{PNVS_PHASE_TO_SEND, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_MADE},
		{PNVS_PHASE_TO_SEND, PNVS_PHASE_WITHHOLD, PNVS_PHASE_WITHHELD},
		{PNVS_PHASE_SENDING, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_SEND},
		{PNVS_PHASE_TO_LOOK_UP, PNVS_PHASE_STARTED, PNVS_PHASE_LOOKING_UP},
		{PNVS_PHASE_TO_LOOK_UP, PNVS_PHASE_START_FAILED, PNVS_PHASE_NOT_LOOKED_UP},
		{PNVS_PHASE_LOOKING_UP, PNVS_PHASE_REPEAT, PNVS_PHASE_TO_LOOK_UP},
	};
	PnvsPhase	expected[NPHASES][NEVENTS];

	for (int phase = 0; phase < NPHASES; phase++)
	{
		for (int event = 0; event < NEVENTS; event++)
			expected[phase][event] = phase;
	}
	for (size_t i = 0; i < TAP_LENGTH(transitions); i++)
		expected[transitions[i].phase][transitions[i].event] = transitions[i].next;
	for (int phase = 0; phase < NPHASES; phase++)
	{
		for (int event = 0; event < NEVENTS; event++)
		{
			PnvsPhase	next = expected[phase][event];

			tap_int(pnvs_phase_next(phase, event), next, "after \"%s\" \"%s\" is \"%s\"",
					events[event], names[phase], names[next]);
		}
	}
}

static void
test_kinds(void)
{
	for (PnvsPhase phase = 0; phase < NPHASES; phase++)
	{
		tap_int(pnvs_phase_is_to_start(phase), pnvs_phase_next(phase, PNVS_PHASE_STARTED) != phase,
				"a request is to be started where it can be (%s)", names[phase]);
		tap_int(pnvs_phase_is_under_way(phase), pnvs_phase_next(phase, PNVS_PHASE_REPEAT) != phase,
				"one is under way where it can be repeated (%s)", names[phase]);
		tap_int(pnvs_phase_is_look_up(phase),
				pnvs_phase_abandon(phase, true) == PNVS_ABANDONED_AS_IT_WAS,
				"a look-up leaves its row as it was (%s)", names[phase]);
	}
}

static void
test_abandoned(void)
{
	tap_int(pnvs_phase_abandon(PNVS_PHASE_SENDING, true), PNVS_ABANDONED_UNKNOWN,
			"nobody knows what became of a request that was written");
	tap_int(pnvs_phase_abandon(PNVS_PHASE_SENDING, false), PNVS_ABANDONED_UNSENT,
			"one that was not written is unsent");
	tap_int(pnvs_phase_abandon(PNVS_PHASE_WITHHELD, false), PNVS_ABANDONED_UNKNOWN,
			"another server may send what is withheld here");
	for (int maybe_sent = 0; maybe_sent <= 1; maybe_sent++)
	{
		tap_int(pnvs_phase_abandon(PNVS_PHASE_TO_SEND, maybe_sent), PNVS_ABANDONED_UNSENT,
				"what is to be sent is unsent, also where it was refused before");
		tap_int(pnvs_phase_abandon(PNVS_PHASE_TO_VERIFY, maybe_sent), PNVS_ABANDONED_UNSENT,
				"so is what is to be looked for before it is sent");
		tap_int(pnvs_phase_abandon(PNVS_PHASE_VERIFYING, maybe_sent), PNVS_ABANDONED_UNSENT,
				"or is being looked for");
		tap_int(pnvs_phase_abandon(PNVS_PHASE_NOT_MADE, maybe_sent), PNVS_ABANDONED_UNSENT,
				"and what could not be made");
	}
}

int
main(void)
{
	test_transitions();
	test_kinds();
	test_abandoned();
	return tap_done();
}
