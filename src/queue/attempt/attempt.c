/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  A claimed row on its way: its request, and what comes of it.
 *
 * A attempt lands in a transaction, for its reply is converted to the database's
 * encoding, and a found is compared with what other rows have.  Where that
 * transaction fails the attempt can land again: until it is destroyed it keeps
 * its reply.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/attempt/attempt.h"
#include "queue/attempt/lookup.h"
#include "remote/credentials.h"
#include "settings.h"

static void note_start_failure(PnvsAttempt *attempt, MemoryContext caller);
static void judge_not_made(const PnvsAttempt *attempt, PnvsVerdict *verdict);
static bool is_to_repeat(PnvsAttempt *attempt, const PnvsAnswer *answer);

/* A attempt of a claimed row, of whose texts it makes copies; not yet started. */
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
	attempt->phase = phase;
	attempt->page = 1;
	return attempt;
}

/*
 * Starts the attempt's request, or starts it again.  Never throws: what keeps a
 * request from being started is the attempt's end, and it was not sent.
 */
void
pnvs_attempt_start(PnvsAttempt *attempt)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	bool		sends = attempt->phase == PNVS_PHASE_TO_SEND;

	attempt->call = NULL;
	MemoryContextReset(attempt->call_context);
	if (sends && GetCurrentTimestamp() >= attempt->claim.send_before)
	{
		/* the commit of its claim, or its look-up, took that long */
		attempt->start_code = "Local.Expired";
		attempt->start_message = "its time was over before it could be sent";
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_START_FAILED);
		return;
	}
	MemoryContextSwitchTo(attempt->call_context);
	PG_TRY();
	{
		if (sends)
		{
			values[PNVS_START_CHANNEL] = attempt->claim.channel;
			values[PNVS_START_TO] = attempt->claim.recipient;
			values[PNVS_START_SERVICE_SID] = attempt->claim.service_sid;
		}
		else
		{
			if (attempt->page == 1)
				attempt->asked_at = GetCurrentTimestamp();
			pnvs_lookup_values(attempt, values);
		}
		attempt->call = pnvs_client_start(pnvs_operation_get(sends ? PNVS_START_VERIFICATION :
															 PNVS_SEARCH_VERIFICATION), values);
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_STARTED);
		MemoryContextSwitchTo(caller);
	}
	PG_CATCH();
	{
		note_start_failure(attempt, caller);
	}
	PG_END_TRY();
}

/*
 * Ends a attempt before its start: nobody can say whether its claim is where it
 * has to be, so another server may come to send the message.
 */
void
pnvs_attempt_withhold(PnvsAttempt *attempt)
{
	attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_WITHHOLD);
}

/* Whether there is something to land. */
bool
pnvs_attempt_is_done(const PnvsAttempt *attempt)
{
	return !pnvs_phase_is_under_way(attempt->phase) || pnvs_client_is_done(attempt->call);
}

/*
 * Lets a row of unknown fate be looked up by the search of another one, where
 * that is for the same; false where it is not.
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
 * Judges a attempt that is done: adds its verdict, or those of all the rows that
 * it was for, with texts in the current memory context.  False where it has none,
 * but is to be started once more, at once: pnvs_phase_is_to_start() says so, too.
 */
bool
pnvs_attempt_finish(PnvsAttempt *attempt, PnvsVerdicts *verdicts)
{
	PnvsAnswer	answer;

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
			pnvs_lookup_decide(attempt, NULL, verdicts);
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
	pnvs_client_finish(attempt->call, &answer);
	if (is_to_repeat(attempt, &answer))
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_REPEAT);
	else if (attempt->phase == PNVS_PHASE_SENDING)
		pnvs_verdict_on_answer(pnvs_verdicts_add(verdicts), &attempt->claim, &answer);
	else
		pnvs_lookup_decide(attempt, &answer, verdicts);
	return !pnvs_phase_is_to_start(attempt->phase);
}

/*
 * The verdict on a attempt that is not waited for, or started, any longer: back to the
 * queue where the message provably has not gone out.  A look-up has none.
 */
void
pnvs_attempt_abandon(PnvsAttempt *attempt, PnvsVerdicts *verdicts)
{
	bool		maybe_sent = pnvs_phase_is_under_way(attempt->phase) &&
	pnvs_client_maybe_sent(attempt->call);

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

/* Keeps the reason, without what the error may quote, and goes on. */
static void
note_start_failure(PnvsAttempt *attempt, MemoryContext caller)
{
	ErrorData  *error;
	char	   *message;

	MemoryContextSwitchTo(attempt->context);
	error = CopyErrorData();
	FlushErrorState();
	message = pstrdup(error->message);
	pnvs_credentials_hide(message);
	attempt->start_message = message;
	attempt->start_code = "Local.Unsent.Start";
	/* one may have become invalid since the claim */
	attempt->start_cause = error->sqlerrcode == ERRCODE_CONFIG_FILE_ERROR ||
		pnvs_settings_invalid_name() != NULL ? PNVS_CAUSE_SETTINGS : PNVS_CAUSE_NONE;
	FreeErrorData(error);
	attempt->call = NULL;
	attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_START_FAILED);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(attempt->call_context);
}

/* Where the settings do not do, no other could be made of them, either. */
static void
judge_not_made(const PnvsAttempt *attempt, PnvsVerdict *verdict)
{
	if (attempt->start_cause == PNVS_CAUSE_NONE)
		pnvs_verdict_unsent(verdict, &attempt->claim, attempt->start_code,
							attempt->start_message, -1);
	else
	{
		pnvs_verdict_waits(verdict, &attempt->claim, attempt->start_code, attempt->start_message);
		pnvs_verdict_blame(verdict, PNVS_FAULT_EVERYBODY, attempt->start_cause,
						   attempt->start_message);
	}
}

/* The next page of a search, or the same request by the service's clock. */
static bool
is_to_repeat(PnvsAttempt *attempt, const PnvsAnswer *answer)
{
	PnvsRepeat	reason = pnvs_client_repeat(answer, attempt->repeated);

	attempt->repeated |= reason;
	if (reason != PNVS_REPEAT_NONE)
		return true;
	if (attempt->phase == PNVS_PHASE_SENDING || !answer->succeeded ||
		!pnvs_lookup_collect(attempt, &answer->reply))
		return false;
	attempt->page++;
	return true;
}
