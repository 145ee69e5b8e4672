/*-------------------------------------------------------------------------
 *
 * decision.c
 *	  What becomes of a queued message: its next state, and when it is due again.
 *
 *	  accepted                sent
 *	  refused                 failed
 *	  throttled, unsent       queued again after a pause; expired if that is too late,
 *	                          failed after too many attempts
 *	  refused or unsent,      queued again at once, and that was no attempt: the sender
 *	  as all others would be  pauses (see outage.c)
 *	  ambiguous               unknown, and looked up from then on
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/backoff.h"
#include "core/decision.h"

/* The service tells of the last 30 days. */
#define LONGEST_LOOK_UP_US (30 * INT64_C(86400000000))

/* A row is looked up at once, again after the first pause, and then ever more seldom. */
#define FIRST_LOOK_UP_PAUSE_US INT64_C(1000000)
#define LONGEST_LOOK_UP_PAUSE_US INT64_C(60000000)

static PnvsDecision settled_as(PnvsState state, int64_t now_us);
static PnvsDecision due_at(PnvsState state, int64_t due_us);
static bool is_last_look_up(const PnvsNotFoundFacts *row, bool late, int64_t now_us);
static int64_t smaller(int64_t a, int64_t b);
static int64_t larger(int64_t a, int64_t b);

/* The state's name in the queue's table; constant. */
const char *
pnvs_state_name(PnvsState state)
{
	static const char *const names[] = {
		"queued", "sending", "sent", "failed", "expired", "canceled", "unknown"
	};

	return names[state];
}

/* Whether a message that is settled in this state provably was not sent. */
bool
pnvs_state_is_unsent(PnvsState state)
{
	return state == PNVS_STATE_FAILED || state == PNVS_STATE_EXPIRED ||
		state == PNVS_STATE_CANCELED;
}

/*
 * The state that a row gets that is due: "sending", unless it must not be sent.
 * foreign: it was queued in another database.  sendable: the row holds what pnvs writes.
 */
PnvsState
pnvs_decision_on_due(bool foreign, bool sendable, int64_t send_before_us, int64_t now_us)
{
	if (foreign)
		return PNVS_STATE_CANCELED;
	if (send_before_us <= now_us)
		return PNVS_STATE_EXPIRED;
	return sendable ? PNVS_STATE_SENDING : PNVS_STATE_FAILED;
}

/*
 * On the answer to the request that sends the message.  retry_after_ms is what the
 * service asked for, or negative.
 */
PnvsDecision
pnvs_decision_on_answer(const PnvsMessageFacts *message, PnvsOutcome outcome, PnvsFault fault,
						int64_t retry_after_ms, int64_t now_us)
{
	if ((outcome == PNVS_REFUSED || outcome == PNVS_UNSENT) && fault == PNVS_FAULT_ALL)
		return pnvs_decision_deferred(message, pnvs_decision_next_try_us(message, now_us), now_us);
	switch (outcome)
	{
		case PNVS_ACCEPTED:
			return settled_as(PNVS_STATE_SENT, now_us);
		case PNVS_REFUSED:
			return settled_as(PNVS_STATE_FAILED, now_us);
		case PNVS_THROTTLED:
			return pnvs_decision_on_unsent(message, retry_after_ms, now_us);
		case PNVS_UNSENT:
			return pnvs_decision_on_unsent(message, -1, now_us);
		case PNVS_AMBIGUOUS:
			break;
	}
	return due_at(PNVS_STATE_UNKNOWN, now_us);
}

/* On a message that provably was not sent: another attempt after a pause, if one is left. */
PnvsDecision
pnvs_decision_on_unsent(const PnvsMessageFacts *message, int64_t retry_after_ms, int64_t now_us)
{
	int64_t		next_us = now_us +
	pnvs_backoff_ms(message->attempts, message->random, retry_after_ms) * 1000;

	if (message->attempts >= message->max_attempts)
		return settled_as(PNVS_STATE_FAILED, now_us);
	if (next_us >= message->send_before_us)
		return settled_as(PNVS_STATE_EXPIRED, now_us);
	return due_at(PNVS_STATE_QUEUED, next_us);
}

/*
 * When a message is due again that was not sent because none is, or because the sender
 * ends: at once, behind all that are due.  A message that was refused while others were
 * sent waits longer each time.
 */
int64_t
pnvs_decision_next_try_us(const PnvsMessageFacts *message, int64_t now_us)
{
	if (message->own_refusals == 0)
		return now_us;
	return now_us + pnvs_backoff_ms(message->own_refusals + 1, message->random, -1) * 1000;
}

/*
 * Puts a message off without counting an attempt.  It is due at the end of its time at
 * the latest, so that it expires in time.
 */
PnvsDecision
pnvs_decision_deferred(const PnvsMessageFacts *message, int64_t until_us, int64_t now_us)
{
	PnvsDecision decision = now_us >= message->send_before_us ? settled_as(PNVS_STATE_EXPIRED, now_us) :
	due_at(PNVS_STATE_QUEUED, smaller(until_us, message->send_before_us));

	decision.uncounted = true;
	return decision;
}

/*
 * On a row of unknown fate that was not found: it is looked up again, or left unknown for
 * good.  During an outage it is due at once, for the sender pauses.
 */
PnvsDecision
pnvs_decision_not_found(const PnvsNotFoundFacts *row, int64_t now_us)
{
	int64_t		end_us = row->unknown_since_us + row->look_for_us;
	bool		late = row->asked_us >= end_us;
	int64_t		pause_us = (now_us - row->unknown_since_us) / 2;
	int64_t		next_us;

	if (is_last_look_up(row, late, now_us))
		return settled_as(PNVS_STATE_UNKNOWN, now_us);
	if (row->outage)
		return due_at(PNVS_STATE_UNKNOWN, now_us);
	pause_us = smaller(larger(pause_us, FIRST_LOOK_UP_PAUSE_US), LONGEST_LOOK_UP_PAUSE_US);
	next_us = now_us + pause_us;
	/* the last look-up is at the end, unless that has passed */
	return due_at(PNVS_STATE_UNKNOWN, late ? next_us : smaller(next_us, larger(end_us, now_us)));
}

/*
 * Whether a row is given up that was looked up without being found.  A look-up that was
 * due in time and came too late, because no server ran, is not the last one if it met an
 * obstacle.  Nor is one during an outage, as long as the service may know the message.
 */
static bool
is_last_look_up(const PnvsNotFoundFacts *row, bool late, int64_t now_us)
{
	if (!late)
		return false;
	if (row->outage)
		return now_us - row->unknown_since_us >= LONGEST_LOOK_UP_US;
	return !row->obstacle || row->due_us >= row->unknown_since_us + row->look_for_us;
}

static PnvsDecision
settled_as(PnvsState state, int64_t now_us)
{
	PnvsDecision decision = {.state = state,.settled_us = now_us};

	return decision;
}

static PnvsDecision
due_at(PnvsState state, int64_t due_us)
{
	PnvsDecision decision = {.state = state,.due_us = due_us};

	return decision;
}

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}
