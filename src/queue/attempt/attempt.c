/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  An attempt: one request for a claimed row, from its start to its verdict.
 *
 * The answer is taken in a transaction, for its texts are converted to the database's
 * encoding, and the records of a search are compared with other rows.  If that transaction
 * fails, the attempt is judged again in the next one: until it is started again, or
 * destroyed, it keeps the answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/test_answer.h"
#include "queue/attempt/attempt.h"
#include "queue/attempt/lookup.h"
#include "remote/credentials.h"
#include "settings.h"

static bool is_test(const PnvsClaim *claim);
static bool must_not_be_sent(PnvsAttempt *attempt);
static bool answer_test(PnvsAttempt *attempt);
static PnvsCall *start_call(PnvsAttempt *attempt);
static void note_start_failure(PnvsAttempt *attempt);
static void note_result(PnvsAttempt *attempt);
static bool is_to_repeat(PnvsAttempt *attempt);
static void judge_not_made(const PnvsAttempt *attempt, PnvsVerdict *verdict);

/* An attempt for a claimed row, of whose texts it makes copies; not yet started. */
PnvsAttempt *
pnvs_attempt_create(MemoryContext parent, const PnvsClaim *claim, PnvsPhase phase)
{
	MemoryContext context = AllocSetContextCreate(parent, "pnvs attempt",
												  ALLOCSET_SMALL_SIZES);
	PnvsAttempt *attempt = MemoryContextAllocZero(context, sizeof(PnvsAttempt));

	attempt->context = context;
	attempt->call_context = AllocSetContextCreate(context, "pnvs call",
												  ALLOCSET_START_SMALL_SIZES);
	attempt->claim = *claim;
	attempt->claim.channel = MemoryContextStrdup(context, claim->channel);
	attempt->claim.recipient = MemoryContextStrdup(context, claim->recipient);
	attempt->claim.service_sid = MemoryContextStrdup(context, claim->service_sid);
	/* nothing was sent to a test number before a promotion, either */
	attempt->phase = phase == PNVS_PHASE_TO_VERIFY && is_test(claim) ? PNVS_PHASE_TO_SEND : phase;
	attempt->page = 1;
	return attempt;
}

/*
 * Starts the attempt's request, or starts it again.  Never throws: a request that cannot
 * be started was not sent, and that ends the attempt.
 */
void
pnvs_attempt_start(PnvsAttempt *attempt)
{
	MemoryContext caller = CurrentMemoryContext;

	attempt->call = NULL;
	attempt->answer = NULL;
	memset(&attempt->evidence, 0, sizeof(attempt->evidence));
	MemoryContextReset(attempt->call_context);
	if (attempt->phase == PNVS_PHASE_TO_SEND && must_not_be_sent(attempt))
	{
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_START_FAILED);
		return;
	}
	PG_TRY();
	{
		MemoryContextSwitchTo(attempt->call_context);
		if (!answer_test(attempt))
			attempt->call = start_call(attempt);
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_STARTED);
	}
	PG_CATCH();
	{
		note_start_failure(attempt);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

/*
 * Ends an attempt before its start: nobody can say whether its claim is replicated, so
 * another server may come to send the message.
 */
void
pnvs_attempt_withhold(PnvsAttempt *attempt)
{
	attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_WITHHOLD);
}

/* Whether pnvs_attempt_finish() can be called. */
bool
pnvs_attempt_is_done(const PnvsAttempt *attempt)
{
	return !pnvs_phase_is_under_way(attempt->phase) || attempt->call == NULL ||
		pnvs_client_is_done(attempt->call);
}

/*
 * Lets a row of unknown fate be looked up by the search of another row; false if that
 * search is for another number, service or channel.
 */
bool
pnvs_attempt_join(PnvsAttempt *attempt, const PnvsClaim *claim)
{
	if (!pnvs_phase_is_look_up(attempt->phase) ||
		strcmp(attempt->claim.recipient, claim->recipient) != 0 ||
		strcmp(attempt->claim.service_sid, claim->service_sid) != 0 ||
		strcmp(attempt->claim.channel, claim->channel) != 0)
		return false;
	if (attempt->joined_ids == NULL)
		attempt->joined_ids = MemoryContextAlloc(attempt->context, sizeof(int64));
	attempt->joined_ids = repalloc(attempt->joined_ids,
								   (attempt->njoined + 1) * sizeof(int64));
	attempt->joined_ids[attempt->njoined++] = claim->id;
	return true;
}

/*
 * Judges an attempt that is done: adds the verdicts on its row and on all other rows that
 * it was for.  Their texts live as long as the attempt and the current memory context.
 * False if there is none yet, and the attempt is to be started once more, at once:
 * pnvs_phase_is_to_start() says so, too.
 */
bool
pnvs_attempt_finish(PnvsAttempt *attempt, PnvsVerdicts *verdicts)
{
	switch (attempt->phase)
	{
		case PNVS_PHASE_WITHHELD:
			pnvs_verdict_unknown(pnvs_verdicts_add(verdicts), &attempt->claim, "Local.NotReplicated",
								 "the wait for a synchronous standby was cut short, and nothing was sent");
			return true;
		case PNVS_PHASE_NOT_MADE:
			judge_not_made(attempt, pnvs_verdicts_add(verdicts));
			return true;
		case PNVS_PHASE_NOT_LOOKED_UP:
			pnvs_lookup_decide(attempt, verdicts);
			return true;
		case PNVS_PHASE_TO_VERIFY:
		case PNVS_PHASE_TO_SEND:
		case PNVS_PHASE_TO_LOOK_UP:
			return false;
		case PNVS_PHASE_VERIFYING:
		case PNVS_PHASE_SENDING:
		case PNVS_PHASE_LOOKING_UP:
			break;
	}
	if (attempt->answer == NULL)
		note_result(attempt);
	if (is_to_repeat(attempt))
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_REPEAT);
	else if (attempt->phase == PNVS_PHASE_SENDING)
		pnvs_verdict_on_answer(pnvs_verdicts_add(verdicts), &attempt->claim, attempt->answer,
							   &attempt->evidence);
	else
		pnvs_lookup_decide(attempt, verdicts);
	return !pnvs_phase_is_to_start(attempt->phase);
}

/*
 * The verdict on an attempt that nobody waits for any longer: back to the queue if the
 * message provably has not gone out.  A look-up has none.
 */
void
pnvs_attempt_abandon(PnvsAttempt *attempt, PnvsVerdicts *verdicts)
{
	bool		maybe_sent = pnvs_phase_is_under_way(attempt->phase) &&
	attempt->call != NULL && pnvs_client_maybe_sent(attempt->call);

	switch (pnvs_phase_abandon(attempt->phase, maybe_sent))
	{
		case PNVS_ABANDONED_UNKNOWN:
			pnvs_verdict_unknown(pnvs_verdicts_add(verdicts), &attempt->claim, "Local.Interrupted",
								 "the sender ended before the reply came");
			break;
		case PNVS_ABANDONED_UNSENT:
			pnvs_verdict_waits(pnvs_verdicts_add(verdicts), &attempt->claim, "Local.Interrupted",
							   "the sender ended before the request went out");
			break;
		case PNVS_ABANDONED_AS_IT_WAS:
			break;
	}
}

/* Takes the request back, if it is still under way. */
void
pnvs_attempt_destroy(PnvsAttempt *attempt)
{
	MemoryContextDelete(attempt->context);
}

/*
 * Whether the message is to a number that was a test number when it was queued or due.  No
 * limit has counted a message that was queued to one.
 */
static bool
is_test(const PnvsClaim *claim)
{
	return claim->is_test || pnvs_settings_test_number(claim->recipient, claim->not_before) != NULL;
}

/* Whether the message must not be sent any more, or not now; notes why. */
static bool
must_not_be_sent(PnvsAttempt *attempt)
{
	if (GetCurrentTimestamp() >= attempt->claim.send_before)
	{
		/* the commit of its claim, or its look-up, took that long */
		attempt->start_code = "Local.Expired";
		attempt->start_message = PNVS_EXPIRED_MESSAGE;
		return true;
	}
	if (!pnvs_sending)
	{
		/* a reload has switched it off since the claim */
		attempt->start_code = "Local.Unsent.Start";
		attempt->start_message = "\"pnvs.sending\" is off";
		attempt->evidence.fault = PNVS_FAULT_ALL;
		return true;
	}
	return false;
}

/* Gives the attempt its answer if the message is to a test number: there is no request. */
static bool
answer_test(PnvsAttempt *attempt)
{
	if (attempt->phase != PNVS_PHASE_TO_SEND || !is_test(&attempt->claim))
		return false;
	attempt->answer = palloc(sizeof(PnvsAnswer));
	pnvs_test_answer_start(attempt->claim.recipient, attempt->answer);
	return true;
}

/* Starts the call in the current memory context, or throws. */
static PnvsCall *
start_call(PnvsAttempt *attempt)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	if (attempt->phase == PNVS_PHASE_TO_SEND)
	{
		values[PNVS_START_CHANNEL] = attempt->claim.channel;
		values[PNVS_START_TO] = attempt->claim.recipient;
		values[PNVS_START_SERVICE_SID] = attempt->claim.service_sid;
		return pnvs_client_start(pnvs_operation_get(PNVS_START_VERIFICATION), values,
								 PNVS_TIMEOUTS_AS_SET);
	}
	if (attempt->page == 1)
		attempt->asked_at = GetCurrentTimestamp();
	pnvs_lookup_values(attempt, values);
	return pnvs_client_start(pnvs_operation_get(PNVS_SEARCH_VERIFICATION), values,
							 PNVS_TIMEOUTS_AS_SET);
}

/* In a PG_CATCH: keeps the reason, without what the error may quote, and ends the error. */
static void
note_start_failure(PnvsAttempt *attempt)
{
	ErrorData  *error;
	char	   *message;

	MemoryContextSwitchTo(attempt->context);
	error = CopyErrorData();
	FlushErrorState();
	message = pstrdup(error->message);
	pnvs_credentials_hide(message);
	attempt->start_code = "Local.Unsent.Start";
	attempt->start_message = message;
	/* a setting may have become invalid since the claim */
	if (error->sqlerrcode == ERRCODE_CONFIG_FILE_ERROR || pnvs_settings_invalid_name() != NULL)
	{
		attempt->evidence.fault = PNVS_FAULT_ALL;
		attempt->evidence.cause = PNVS_CAUSE_SETTINGS;
		attempt->evidence.code = message;
	}
	FreeErrorData(error);
	attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_START_FAILED);
	MemoryContextReset(attempt->call_context);
}

/*
 * Takes the answer, once for each request, however often its transaction is tried.
 * Whatever counts results belongs here: attempts are judged again, and not counted again.
 */
static void
note_result(PnvsAttempt *attempt)
{
	MemoryContext caller = MemoryContextSwitchTo(attempt->call_context);
	PnvsAnswer *answer = palloc(sizeof(PnvsAnswer));

	pnvs_client_finish(attempt->call, answer);
	attempt->evidence = pnvs_verdict_evidence(answer);
	if (attempt->phase != PNVS_PHASE_SENDING && answer->succeeded)
		pnvs_lookup_collect(attempt, &answer->reply);
	attempt->answer = answer;
	MemoryContextSwitchTo(caller);
}

/* Whether the same request is made again, or the next page of a search is asked for. */
static bool
is_to_repeat(PnvsAttempt *attempt)
{
	PnvsRepeat	reason = pnvs_client_repeat(attempt->answer, attempt->repeated);

	attempt->repeated |= reason;
	if (reason != PNVS_REPEAT_NONE)
		return true;
	if (attempt->phase == PNVS_PHASE_SENDING || !pnvs_lookup_has_next_page(attempt))
		return false;
	attempt->page++;
	return true;
}

/* An invalid setting is no attempt of the row's: no other request can be made, either. */
static void
judge_not_made(const PnvsAttempt *attempt, PnvsVerdict *verdict)
{
	if (attempt->evidence.fault == PNVS_FAULT_ALL)
		pnvs_verdict_waits(verdict, &attempt->claim, attempt->start_code, attempt->start_message);
	else
		pnvs_verdict_unsent(verdict, &attempt->claim, attempt->start_code,
							attempt->start_message);
	pnvs_verdict_show(verdict, &attempt->evidence);
}
