/*
 * test_decision.c: what becomes of a queued message.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/backoff.h"
#include "core/decision.h"
#include "tap.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)
#define NOW_US (1000 * DAY_US)
#define LOOK_FOR_US (3600 * SECOND_US)

/* The third of five attempts, with five minutes left and the longest pauses. */
static PnvsMessageFacts
third_attempt(void)
{
	PnvsMessageFacts message = {
		.attempts = 3,.max_attempts = 5,.send_before_us = NOW_US + 300 * SECOND_US,
		.random = UINT32_MAX
	};

	return message;
}

static int64_t
pause_us(int attempts, int64_t retry_after_ms)
{
	return pnvs_backoff_ms(attempts, UINT32_MAX, retry_after_ms) * 1000;
}

/* Asserts state, whether it is for good, when the row is due, and whether it was an attempt. */
static void
is_decided(PnvsDecision decision, PnvsState state, int64_t due_us, const char *what)
{
	tap_text(pnvs_state_name(decision.state), pnvs_state_name(state), "%s", what);
	tap_int(decision.due_us, due_us, "%s: when it is due", what);
	tap_int(decision.settled_us, due_us == 0 ? NOW_US : 0, "%s: and whether it is settled", what);
}

static void
test_due(void)
{
	tap_int(pnvs_decision_on_due(false, true, NOW_US + 1, NOW_US), PNVS_STATE_SENDING,
			"a row whose time is not over is sent");
	tap_int(pnvs_decision_on_due(false, true, NOW_US, NOW_US), PNVS_STATE_EXPIRED,
			"at the end of its time it expires");
	tap_int(pnvs_decision_on_due(true, true, NOW_US, NOW_US), PNVS_STATE_CANCELED,
			"a row of another database is canceled, whatever else");
	tap_int(pnvs_decision_on_due(false, false, NOW_US, NOW_US), PNVS_STATE_EXPIRED,
			"a row that was changed by hand expires, too");
	tap_int(pnvs_decision_on_due(false, false, NOW_US + 1, NOW_US), PNVS_STATE_FAILED,
			"and fails before that");
}

/* The places that it has under limits are given back. */
static void
test_final_states(void)
{
	static const PnvsState unsent[] = {PNVS_STATE_FAILED, PNVS_STATE_EXPIRED, PNVS_STATE_CANCELED};
	static const PnvsState others[] = {
		PNVS_STATE_QUEUED, PNVS_STATE_SENDING, PNVS_STATE_SENT, PNVS_STATE_UNKNOWN
	};

	for (size_t i = 0; i < TAP_LENGTH(unsent); i++)
		tap_ok(pnvs_state_is_unsent(unsent[i]), "a message that is %s was not sent",
			   pnvs_state_name(unsent[i]));
	for (size_t i = 0; i < TAP_LENGTH(others); i++)
		tap_ok(!pnvs_state_is_unsent(others[i]), "a message that is %s may be sent, or have been",
			   pnvs_state_name(others[i]));
}

static void
test_answers(void)
{
	const PnvsMessageFacts message = third_attempt();

	is_decided(pnvs_decision_on_answer(&message, PNVS_ACCEPTED, PNVS_FAULT_NONE, -1, NOW_US),
			   PNVS_STATE_SENT, 0, "an accepted message is sent");
	is_decided(pnvs_decision_on_answer(&message, PNVS_REFUSED, PNVS_FAULT_MESSAGE, -1, NOW_US),
			   PNVS_STATE_FAILED, 0, "a refused one has failed");
	is_decided(pnvs_decision_on_answer(&message, PNVS_REFUSED, PNVS_FAULT_UNCLEAR, -1, NOW_US),
			   PNVS_STATE_FAILED, 0, "also if nobody knows whose fault that was");
	is_decided(pnvs_decision_on_answer(&message, PNVS_AMBIGUOUS, PNVS_FAULT_UNCLEAR, 5, NOW_US),
			   PNVS_STATE_UNKNOWN, NOW_US, "what may have been sent is looked up at once");
	is_decided(pnvs_decision_on_answer(&message, PNVS_THROTTLED, PNVS_FAULT_UNCLEAR, 7000, NOW_US),
			   PNVS_STATE_QUEUED, NOW_US + pause_us(3, 7000),
			   "a throttled message waits for as long as the service asked for");
	is_decided(pnvs_decision_on_answer(&message, PNVS_UNSENT, PNVS_FAULT_UNCLEAR, 7000, NOW_US),
			   PNVS_STATE_QUEUED, NOW_US + pause_us(3, -1), "one that was unsent for a pause");
	tap_ok(!pnvs_decision_on_answer(&message, PNVS_UNSENT, PNVS_FAULT_UNCLEAR, -1, NOW_US).uncounted,
		   "and that was an attempt");
}

static void
test_unsent(void)
{
	PnvsMessageFacts message = third_attempt();

	message.attempts = 5;
	is_decided(pnvs_decision_on_unsent(&message, -1, NOW_US), PNVS_STATE_FAILED, 0,
			   "after the last attempt a message has failed");
	message.attempts = 3;
	message.send_before_us = NOW_US + pause_us(3, -1);
	is_decided(pnvs_decision_on_unsent(&message, -1, NOW_US), PNVS_STATE_EXPIRED, 0,
			   "a message expires if its time ends with the pause");
	message.send_before_us++;
	is_decided(pnvs_decision_on_unsent(&message, -1, NOW_US), PNVS_STATE_QUEUED,
			   NOW_US + pause_us(3, -1), "but not if some is left");
	message.attempts = 5;
	message.send_before_us = NOW_US - 1;
	is_decided(pnvs_decision_on_unsent(&message, -1, NOW_US), PNVS_STATE_FAILED, 0,
			   "too many attempts count before too little time");
}

static void
test_outage(void)
{
	PnvsMessageFacts message = third_attempt();
	PnvsDecision decision;

	for (PnvsOutcome outcome = PNVS_REFUSED; outcome <= PNVS_UNSENT; outcome += PNVS_UNSENT - PNVS_REFUSED)
	{
		decision = pnvs_decision_on_answer(&message, outcome, PNVS_FAULT_ALL, -1, NOW_US);
		is_decided(decision, PNVS_STATE_QUEUED, NOW_US, "in an outage a message is due at once");
		tap_ok(decision.uncounted, "and that was no attempt");
	}
	message.own_refusals = 2;
	decision = pnvs_decision_on_answer(&message, PNVS_REFUSED, PNVS_FAULT_ALL, -1, NOW_US);
	is_decided(decision, PNVS_STATE_QUEUED, NOW_US + pause_us(3, -1),
			   "a message that is refused while others are sent waits longer each time");
	tap_ok(decision.uncounted, "and that was no attempt, either");
}

static void
test_deferred(void)
{
	PnvsMessageFacts message = third_attempt();
	PnvsDecision decision;

	message.attempts = 100;
	decision = pnvs_decision_deferred(&message, NOW_US + 60 * SECOND_US, NOW_US);
	is_decided(decision, PNVS_STATE_QUEUED, NOW_US + 60 * SECOND_US,
			   "a message is deferred, whatever number of attempts it had");
	tap_ok(decision.uncounted, "and that counts none");
	is_decided(pnvs_decision_deferred(&message, NOW_US + DAY_US, NOW_US), PNVS_STATE_QUEUED,
			   message.send_before_us, "it is due at the end of its time at the latest");
	message.send_before_us = NOW_US;
	decision = pnvs_decision_deferred(&message, NOW_US + SECOND_US, NOW_US);
	is_decided(decision, PNVS_STATE_EXPIRED, 0, "and expires if that is over");
	tap_ok(decision.uncounted, "without an attempt");
}

/* A row that was not found; ages are those of its state. */
static PnvsDecision
not_found(int64_t age_us, int64_t due_age_us, bool obstacle, bool outage)
{
	const PnvsNotFoundFacts row = {
		.obstacle = obstacle,.outage = outage,
		.unknown_since_us = NOW_US - age_us,.due_us = NOW_US - age_us + due_age_us,
		.asked_us = NOW_US,.look_for_us = LOOK_FOR_US
	};

	return pnvs_decision_not_found(&row, NOW_US);
}

static void
test_look_ups(void)
{
	is_decided(not_found(0, 0, false, false), PNVS_STATE_UNKNOWN, NOW_US + SECOND_US,
			   "a message that was not found is looked up again after a second");
	is_decided(not_found(20 * SECOND_US, 0, false, false), PNVS_STATE_UNKNOWN,
			   NOW_US + 10 * SECOND_US, "later after half of the time that it is unknown");
	is_decided(not_found(1000 * SECOND_US, 0, true, false), PNVS_STATE_UNKNOWN,
			   NOW_US + 60 * SECOND_US, "but after a minute at the most");
	is_decided(not_found(LOOK_FOR_US - 5 * SECOND_US, 0, false, false), PNVS_STATE_UNKNOWN,
			   NOW_US + 5 * SECOND_US, "the last look-up is at the end");
	is_decided(not_found(LOOK_FOR_US, LOOK_FOR_US, false, false), PNVS_STATE_UNKNOWN, 0,
			   "which settles the row as unknown");
	is_decided(not_found(LOOK_FOR_US, LOOK_FOR_US, true, false), PNVS_STATE_UNKNOWN, 0,
			   "also if it meets an obstacle");
	is_decided(not_found(LOOK_FOR_US + DAY_US, LOOK_FOR_US - 1, true, false), PNVS_STATE_UNKNOWN,
			   NOW_US + 60 * SECOND_US, "unless it was due before the end and came late");
	is_decided(not_found(LOOK_FOR_US + DAY_US, LOOK_FOR_US - 1, false, false), PNVS_STATE_UNKNOWN, 0,
			   "a late one without an obstacle is the last");
	is_decided(not_found(LOOK_FOR_US - 1, 0, true, true), PNVS_STATE_UNKNOWN, NOW_US,
			   "in an outage a row is due at once");
	is_decided(not_found(30 * DAY_US - 1, LOOK_FOR_US, true, true), PNVS_STATE_UNKNOWN, NOW_US,
			   "as long as the service may know the message");
	is_decided(not_found(30 * DAY_US, LOOK_FOR_US, true, true), PNVS_STATE_UNKNOWN, 0,
			   "and no longer");
}

/* The search began in time, and what it found is judged when the time is over. */
static void
test_slow_look_up(void)
{
	const PnvsNotFoundFacts row = {
		.unknown_since_us = NOW_US - LOOK_FOR_US - SECOND_US,
		.asked_us = NOW_US - SECOND_US - 1,.look_for_us = LOOK_FOR_US
	};

	is_decided(pnvs_decision_not_found(&row, NOW_US), PNVS_STATE_UNKNOWN, NOW_US,
			   "a search that began in time is followed by another");
}

int
main(void)
{
	test_due();
	test_final_states();
	test_answers();
	test_unsent();
	test_outage();
	test_deferred();
	test_look_ups();
	test_slow_look_up();
	return tap_done();
}
