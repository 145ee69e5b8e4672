/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  Turns what became of a request into the values that are written into its row.
 *
 * core/decision decides; here its decision is put into the words and columns of a row.
 * No text shows a number or a key, for the row outlives its recipient: the reader of
 * replies has hidden what the service quotes of a request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/rows/verdict.h"
#include "remote/credentials.h"
#include "settings.h"

static void fill(PnvsVerdict *verdict, const PnvsClaim *claim, PnvsState was,
				 const PnvsDecision *decision);
static PnvsMessageFacts facts_of(const PnvsClaim *claim);
static const char *unsent_code(const PnvsAnswer *answer);
static PnvsFault fault_of(const PnvsAnswer *answer, PnvsCause cause);
static PnvsCause cause_of(const PnvsAnswer *answer);
static const char *redacted(const char *text);

/*
 * A place for another verdict, in the current memory context; valid until the
 * next one is asked for.
 */
PnvsVerdict *
pnvs_verdicts_add(PnvsVerdicts *verdicts)
{
	if (verdicts->list == NULL)
	{
		verdicts->size = 64;
		verdicts->list = palloc(verdicts->size * sizeof(PnvsVerdict));
	}
	else if (verdicts->n == verdicts->size)
	{
		verdicts->size *= 2;
		verdicts->list = repalloc(verdicts->list, verdicts->size * sizeof(PnvsVerdict));
	}
	return &verdicts->list[verdicts->n++];
}

/* What an answer shows about other messages; the code is constant or belongs to the answer. */
PnvsEvidence
pnvs_verdict_evidence(const PnvsAnswer *answer)
{
	PnvsEvidence evidence = {.cause = cause_of(answer)};

	evidence.fault = fault_of(answer, evidence.cause);
	if (evidence.cause != PNVS_CAUSE_NONE)
		evidence.code = answer->has_reply && answer->reply.code ? answer->reply.code :
			unsent_code(answer);
	return evidence;
}

/* Lets a verdict show the evidence of its request. */
void
pnvs_verdict_show(PnvsVerdict *verdict, const PnvsEvidence *evidence)
{
	verdict->fault = evidence->fault;
	verdict->cause = evidence->cause;
	verdict->cause_code = evidence->code;
}

/*
 * The verdict on a row whose message was sent, by the answer.  Texts belong to the answer
 * or are allocated in the current memory context.
 */
void
pnvs_verdict_on_answer(PnvsVerdict *verdict, const PnvsClaim *claim,
					   const PnvsAnswer *answer, const PnvsEvidence *evidence)
{
	PnvsMessageFacts facts = facts_of(claim);
	PnvsDecision decision = pnvs_decision_on_answer(&facts, answer->outcome, evidence->fault,
													answer->http.retry_after_ms,
													GetCurrentTimestamp());
	const char *code = answer->has_reply ? answer->reply.code : NULL;
	const char *message = answer->has_reply ? answer->reply.message : pnvs_client_fault(answer);

	if (answer->outcome == PNVS_UNSENT)
		code = unsent_code(answer);
	else if (answer->outcome == PNVS_AMBIGUOUS && code == NULL)
		code = "Local.NoReply";
	fill(verdict, claim, PNVS_STATE_SENDING, &decision);
	/* what may have been sent after all keeps its places */
	if (!pnvs_outcome_came_to_nothing(answer->outcome, answer->code_group))
		verdict->unsent = false;
	pnvs_verdict_explain(verdict, code, message);
	pnvs_verdict_show(verdict, evidence);
	verdict->http_status = answer->http.status;
	if (!answer->has_reply)
		return;
	verdict->request_id = answer->reply.request_id;
	verdict->status = answer->reply.status;

	/* an uncertain ID would hide its record from the row that it belongs to */
	if (decision.state == PNVS_STATE_SENT)
		verdict->verification_id = answer->reply.verification_id;
}

/* The verdict on a row of unknown fate that was looked up and not found; without a code. */
void
pnvs_verdict_not_found(PnvsVerdict *verdict, const PnvsClaim *claim,
					   const PnvsNotFoundFacts *facts)
{
	PnvsDecision decision = pnvs_decision_not_found(facts, GetCurrentTimestamp());

	fill(verdict, claim, PNVS_STATE_UNKNOWN, &decision);
}

/*
 * The verdict on a row that provably was not sent: another attempt, later, unless
 * that would come too late or there were too many.
 */
void
pnvs_verdict_unsent(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
					const char *message)
{
	PnvsMessageFacts facts = facts_of(claim);
	PnvsDecision decision = pnvs_decision_on_unsent(&facts, -1, GetCurrentTimestamp());

	fill(verdict, claim, PNVS_STATE_SENDING, &decision);
	pnvs_verdict_explain(verdict, code, message);
}

/*
 * The verdict on a row that was not sent because none is, or because the sender ends: it
 * is queued again, and that was no attempt.
 */
void
pnvs_verdict_waits(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
				   const char *message)
{
	PnvsMessageFacts facts = facts_of(claim);
	TimestampTz until = pnvs_decision_next_try_us(&facts, GetCurrentTimestamp());

	pnvs_verdict_deferred(verdict, claim, until, code, message);
}

/* The verdict on a row that is not sent before a time; that is no attempt. */
void
pnvs_verdict_deferred(PnvsVerdict *verdict, const PnvsClaim *claim, TimestampTz until,
					  const char *code, const char *message)
{
	PnvsMessageFacts facts = facts_of(claim);
	PnvsDecision decision = pnvs_decision_deferred(&facts, until, GetCurrentTimestamp());

	fill(verdict, claim, PNVS_STATE_SENDING, &decision);
	pnvs_verdict_explain(verdict, code, message);
}

/* The verdict on a row that may have been sent: it is looked up from now on. */
void
pnvs_verdict_unknown(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
					 const char *message)
{
	PnvsDecision decision = {.state = PNVS_STATE_UNKNOWN,.due_us = GetCurrentTimestamp()};

	fill(verdict, claim, PNVS_STATE_SENDING, &decision);
	pnvs_verdict_explain(verdict, code, message);
}

/* A verdict that is for good, without a code. */
void
pnvs_verdict_settled(PnvsVerdict *verdict, const PnvsClaim *claim, PnvsState was,
					 PnvsState state)
{
	PnvsDecision decision = {.state = state,.settled_us = GetCurrentTimestamp()};

	fill(verdict, claim, was, &decision);
}

/*
 * Gives the reason for a verdict; code and message can be NULL, and the code is not copied.
 * If a message's time ran out while it waited for others' sake, that is the reason.
 */
void
pnvs_verdict_explain(PnvsVerdict *verdict, const char *code, const char *message)
{
	bool		waited_too_long = verdict->uncounted && verdict->settled_at != 0;

	verdict->code = waited_too_long ? "Local.Expired" : code;
	verdict->message = waited_too_long ? PNVS_EXPIRED_MESSAGE : redacted(message);
}

/* Everything but the reason, and what the service said. */
static void
fill(PnvsVerdict *verdict, const PnvsClaim *claim, PnvsState was, const PnvsDecision *decision)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->id = claim->id;
	verdict->place = claim->place;
	verdict->was = pnvs_state_name(was);
	verdict->state = pnvs_state_name(decision->state);
	verdict->settled_at = decision->settled_us;
	verdict->not_before = decision->due_us;
	verdict->uncounted = decision->uncounted;
	if (was == PNVS_STATE_SENDING && decision->state == PNVS_STATE_UNKNOWN)
		verdict->unknown_since = decision->due_us;
	if (decision->settled_us != 0)
	{
		char	   *masked = palloc(PNVS_PHONE_NUMBER_SIZE);

		pnvs_phone_number_mask(claim->recipient, masked);
		verdict->recipient = masked;
		verdict->admission = claim->admission;
		verdict->unsent = pnvs_state_is_unsent(decision->state);
	}
}

/* Jitter needs no better random numbers than that. */
static PnvsMessageFacts
facts_of(const PnvsClaim *claim)
{
	PnvsMessageFacts facts = {
		.attempts = claim->attempts,
		.max_attempts = pnvs_max_attempts,
		.own_refusals = claim->own_refusals,
		.send_before_us = claim->send_before,
		.random = pg_prng_uint32(&pg_global_prng_state)
	};

	return facts;
}

/* Of a request that did not get through, by the stage that it ended at. */
static const char *
unsent_code(const PnvsAnswer *answer)
{
	static const char *const codes[] = {
		[PNVS_STAGE_RESOLVE] = "Local.Unsent.Resolve",
		[PNVS_STAGE_CONNECT] = "Local.Unsent.Connect",
		[PNVS_STAGE_TLS] = "Local.Unsent.Tls",
		[PNVS_STAGE_REQUEST] = "Local.Unsent.Request",
		[PNVS_STAGE_REPLY] = "Local.Unsent.Request",
	};

	return codes[answer->http.stage];
}

/* A code counts for as much as the outcome does: an "OK" may be a refusal. */
static PnvsFault
fault_of(const PnvsAnswer *answer, PnvsCause cause)
{
	switch (answer->outcome)
	{
		case PNVS_ACCEPTED:
			return PNVS_FAULT_NONE;
		case PNVS_REFUSED:
			return answer->code_group == PNVS_CODE_OK ? PNVS_FAULT_UNCLEAR :
				pnvs_fault_of_code(answer->code_group);
		case PNVS_UNSENT:
			return cause == PNVS_CAUSE_NONE ? PNVS_FAULT_UNCLEAR : PNVS_FAULT_ALL;
		case PNVS_THROTTLED:
		case PNVS_AMBIGUOUS:
			break;
	}
	return PNVS_FAULT_UNCLEAR;
}

/* The reason why other messages are not sent, either. */
static PnvsCause
cause_of(const PnvsAnswer *answer)
{
	switch (answer->outcome)
	{
		case PNVS_REFUSED:
		case PNVS_THROTTLED:
			return pnvs_cause_of_code(answer->code_group);
		case PNVS_UNSENT:
			return pnvs_cause_of_stage(answer->http.stage);
		case PNVS_ACCEPTED:
		case PNVS_AMBIGUOUS:
			break;
	}
	return PNVS_CAUSE_NONE;
}

/* A copy without credentials; NULL stays NULL. */
static const char *
redacted(const char *text)
{
	char	   *copy = text ? pstrdup(text) : NULL;

	if (copy != NULL)
		pnvs_credentials_hide(copy);
	return copy;
}
