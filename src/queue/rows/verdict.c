/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  What becomes of a row of the queue, by what became of its request.
 *
 *	  accepted             sent
 *	  refused              failed
 *	  throttled, or a      queued again, later; expired where that is too late,
 *	  connection was lost  failed where it was tried often enough
 *	  everybody's fault    queued again, at once, which is no attempt: the sender
 *	                       pauses (see outages.c)
 *	  ambiguous            unknown, and looked up from then on
 *
 * Texts that the service may have quoted a number in are stored without it: the
 * row outlives its recipient.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "core/backoff.h"
#include "compat.h"
#include "queue/rows/verdict.h"
#include "remote/credentials.h"
#include "remote/fault_text.h"
#include "settings.h"

static void take_reply(PnvsVerdict *verdict, const PnvsReply *reply);
static const char *unsent_code(const PnvsAnswer *answer);
static PnvsCause cause_of(const PnvsAnswer *answer);
static char *redacted(const char *text);

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

/*
 * The verdict on a request to send, by its answer.  Texts belong to the answer
 * or are allocated in the current memory context.
 */
void
pnvs_verdict_on_answer(PnvsVerdict *verdict, const PnvsClaim *claim,
					   const PnvsAnswer *answer)
{
	const char *code = answer->has_reply ? answer->reply.code : NULL;
	const char *message = answer->has_reply ? answer->reply.message : NULL;

	if (!answer->has_reply)
		message = answer->http.fault == PNVS_HTTP_NO_FAULT ?
			pnvs_fault_text_reply(answer) : pnvs_fault_text_transport(answer);

	switch (answer->outcome)
	{
		case PNVS_ACCEPTED:
			pnvs_verdict_settled(verdict, claim, "sending", "sent", code, message);
			break;
		case PNVS_REFUSED:
			if (pnvs_verdict_fault(answer) == PNVS_FAULT_EVERYBODY)
				pnvs_verdict_waits(verdict, claim, code, message);
			else
				pnvs_verdict_settled(verdict, claim, "sending", "failed", code, message);
			break;
		case PNVS_THROTTLED:
			pnvs_verdict_unsent(verdict, claim, code, message, answer->http.retry_after_ms);
			break;
		case PNVS_UNSENT:
			if (pnvs_verdict_fault(answer) == PNVS_FAULT_EVERYBODY)
				pnvs_verdict_waits(verdict, claim, unsent_code(answer), message);
			else
				pnvs_verdict_unsent(verdict, claim, unsent_code(answer), message, -1);
			break;
		case PNVS_AMBIGUOUS:
			pnvs_verdict_unknown(verdict, claim,
								 code ? code : "Local.NoReply", message);
			break;
	}
	if (answer->has_reply)
		take_reply(verdict, &answer->reply);
	verdict->http_status = answer->http.status;
	pnvs_verdict_blame_answer(verdict, answer);
}

/*
 * The verdict on a row that provably was not sent: another try, later, unless
 * that would come too late or was tried often enough.
 */
void
pnvs_verdict_unsent(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
					const char *message, int64 retry_after_ms)
{
	int64		wait_ms;
	TimestampTz next;
	uint32		random;

	if (!pg_strong_random(&random, sizeof(random)))
		random = UINT32_MAX;
	wait_ms = pnvs_backoff_ms(claim->attempts, random, retry_after_ms);
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);

	if (claim->attempts >= pnvs_max_attempts)
		pnvs_verdict_settled(verdict, claim, "sending", "failed", code, message);
	else if (next >= claim->send_before)
		pnvs_verdict_settled(verdict, claim, "sending", "expired", code, message);
	else
	{
		pnvs_verdict_settled(verdict, claim, "sending", "queued", code, message);
		verdict->settled_at = 0;
		verdict->masked[0] = '\0';
		verdict->not_before = next;
	}
}

/*
 * The verdict on a row that was not sent through no fault of its own: it waits, behind
 * all that are due, and that was no attempt.  One that is refused though others are
 * sent waits ever longer.
 */
void
pnvs_verdict_waits(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
				   const char *message)
{
	TimestampTz next = GetCurrentTimestamp();
	uint32		random;

	if (next >= claim->send_before)
	{
		pnvs_verdict_settled(verdict, claim, "sending", "expired", "Local.Expired",
							 "its time was over before it could be sent");
		verdict->uncounted = 1;
		return;
	}
	if (claim->own_refusals > 0)
	{
		if (!pg_strong_random(&random, sizeof(random)))
			random = UINT32_MAX;
		next = TimestampTzPlusMilliseconds(next, pnvs_backoff_ms(claim->own_refusals + 1,
																 random, -1));
	}
	pnvs_verdict_settled(verdict, claim, "sending", "queued", code, message);
	verdict->settled_at = 0;
	verdict->masked[0] = '\0';
	verdict->not_before = Min(next, claim->send_before);
	verdict->uncounted = 1;
}

/*
 * Whose fault it was.  A code counts for as much as the outcome does: an "OK" may be a
 * refusal.
 */
PnvsFault
pnvs_verdict_fault(const PnvsAnswer *answer)
{
	switch (answer->outcome)
	{
		case PNVS_ACCEPTED:
			return PNVS_FAULT_NOBODY;
		case PNVS_REFUSED:
			return answer->code_group == PNVS_CODE_OK ? PNVS_FAULT_UNCLEAR :
				pnvs_fault_of_code(answer->code_group);
		case PNVS_UNSENT:
			return cause_of(answer) == PNVS_CAUSE_NONE ? PNVS_FAULT_UNCLEAR :
				PNVS_FAULT_EVERYBODY;
		case PNVS_THROTTLED:
		case PNVS_AMBIGUOUS:
			break;
	}
	return PNVS_FAULT_UNCLEAR;
}

/* Notes what others have to expect; code goes with a cause. */
void
pnvs_verdict_blame(PnvsVerdict *verdict, PnvsFault fault, PnvsCause cause, const char *code)
{
	verdict->fault = fault;
	verdict->cause = cause;
	verdict->cause_code = cause == PNVS_CAUSE_NONE ? NULL : redacted(code);
}

/* The same, by the answer to a request. */
void
pnvs_verdict_blame_answer(PnvsVerdict *verdict, const PnvsAnswer *answer)
{
	pnvs_verdict_blame(verdict, pnvs_verdict_fault(answer), cause_of(answer),
					   answer->has_reply && answer->reply.code ? answer->reply.code :
					   unsent_code(answer));
}

/* A verdict that is final. */
void
pnvs_verdict_settled(PnvsVerdict *verdict, const PnvsClaim *claim, const char *was,
					 const char *state, const char *code, const char *message)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->id = claim->id;
	verdict->place = claim->place;
	verdict->was = was;
	verdict->state = state;
	verdict->settled_at = GetCurrentTimestamp();
	verdict->code = code ? redacted(code) : NULL;
	verdict->message = message ? redacted(message) : NULL;
	pnvs_phone_number_mask(claim->recipient, verdict->masked);
}

/* The verdict on a row that nobody can judge: it is looked up from now on. */
void
pnvs_verdict_unknown(PnvsVerdict *verdict, const PnvsClaim *claim, const char *code,
					 const char *message)
{
	pnvs_verdict_settled(verdict, claim, "sending", "unknown", code, message);
	verdict->unknown_since = verdict->settled_at;
	verdict->not_before = verdict->settled_at;
	verdict->settled_at = 0;
	verdict->masked[0] = '\0';
}

static void
take_reply(PnvsVerdict *verdict, const PnvsReply *reply)
{
	verdict->request_id = reply->request_id;

	/*
	 * an ID that only may be its own would make a look-up take it for another
	 * row's
	 */
	verdict->verification_id = strcmp(verdict->state, "sent") == 0 ?
		reply->verification_id : NULL;
	verdict->status = reply->status;
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

/* What keeps others from being sent, too. */
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

static char *
redacted(const char *text)
{
	char	   *copy = pstrdup(text);

	pnvs_credentials_hide(copy);
	return copy;
}
