/*-------------------------------------------------------------------------
 *
 * flight.c
 *	  A claimed row on its way: its request, and what comes of it.
 *
 * A flight lands in a transaction, for its reply is converted to the database's
 * encoding, and a sighting is compared with what other rows have.  Where that
 * transaction fails the flight can land again: until it is destroyed it keeps
 * its reply.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/flight.h"
#include "queue/lookup.h"
#include "remote/credentials.h"
#include "settings.h"

static void note_start_failure(PnvsFlight *flight, MemoryContext caller);
static void land_not_made(const PnvsFlight *flight, PnvsVerdict *verdict);
static bool is_to_repeat(PnvsFlight *flight, const PnvsAnswer *answer);

/* A flight of a claimed row, of whose texts it makes copies; not yet started. */
PnvsFlight *
pnvs_flight_create(MemoryContext parent, const PnvsClaim *claim, PnvsPhase phase)
{
	MemoryContext context = AllocSetContextCreate(parent, "pnvs flight",
												  ALLOCSET_SMALL_SIZES);
	PnvsFlight *flight = MemoryContextAllocZero(context, sizeof(PnvsFlight));

	flight->context = context;
	flight->call_context = AllocSetContextCreate(context, "pnvs call",
												 ALLOCSET_START_SMALL_SIZES);
	flight->claim = *claim;
	flight->claim.channel = MemoryContextStrdup(context, claim->channel);
	flight->claim.recipient = MemoryContextStrdup(context, claim->recipient);
	flight->claim.service_sid = MemoryContextStrdup(context, claim->service_sid);
	flight->phase = phase;
	flight->page = 1;
	return flight;
}

/*
 * Starts the flight's request, or starts it again.  Never throws: what keeps a
 * request from being started is the flight's end, and it was not sent.
 */
void
pnvs_flight_start(PnvsFlight *flight)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	bool		sends = flight->phase == PNVS_PHASE_TO_SEND;

	flight->call = NULL;
	MemoryContextReset(flight->call_context);
	if (sends && GetCurrentTimestamp() >= flight->claim.send_before)
	{
		/* the commit of its claim, or its look-up, took that long */
		flight->start_code = "Local.Expired";
		flight->start_message = "its time was over before it could be sent";
		flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_START_FAILED);
		return;
	}
	MemoryContextSwitchTo(flight->call_context);
	PG_TRY();
	{
		if (sends)
		{
			values[PNVS_START_CHANNEL] = flight->claim.channel;
			values[PNVS_START_TO] = flight->claim.recipient;
			values[PNVS_START_SERVICE_SID] = flight->claim.service_sid;
		}
		else
		{
			if (flight->page == 1)
				flight->asked_at = GetCurrentTimestamp();
			pnvs_lookup_values(flight, values);
		}
		flight->call = pnvs_client_start(pnvs_operation_get(sends ? PNVS_START_VERIFICATION :
															PNVS_SEARCH_VERIFICATION), values);
		flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_STARTED);
		MemoryContextSwitchTo(caller);
	}
	PG_CATCH();
	{
		note_start_failure(flight, caller);
	}
	PG_END_TRY();
}

/*
 * Ends a flight before its start: nobody can say whether its claim is where it
 * has to be, so another server may come to send the message.
 */
void
pnvs_flight_withhold(PnvsFlight *flight)
{
	flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_WITHHOLD);
}

/* Whether there is something to land. */
bool
pnvs_flight_is_done(const PnvsFlight *flight)
{
	return !pnvs_phase_is_under_way(flight->phase) || pnvs_client_is_done(flight->call);
}

/*
 * Lets a row of unknown fate be looked up by the search of another one, where
 * that is for the same; false where it is not.
 */
bool
pnvs_flight_take_along(PnvsFlight *flight, const PnvsClaim *claim)
{
	if (!pnvs_phase_is_look_up(flight->phase) ||
		strcmp(flight->claim.recipient, claim->recipient) != 0 ||
		strcmp(flight->claim.service_sid, claim->service_sid) != 0 ||
		strcmp(flight->claim.channel, claim->channel) != 0)
		return false;
	if (flight->companions == NULL)
		flight->companions = MemoryContextAlloc(flight->context, sizeof(int64));
	flight->companions = repalloc(flight->companions,
								  (flight->ncompanions + 1) * sizeof(int64));
	flight->companions[flight->ncompanions++] = claim->id;
	return true;
}

/*
 * Judges a flight that is done: adds its verdict, or those of all the rows that
 * it was for, with texts in the current memory context.  False where it has none,
 * but is to be started once more, at once: pnvs_phase_is_to_start() says so, too.
 */
bool
pnvs_flight_land(PnvsFlight *flight, PnvsVerdicts *verdicts)
{
	PnvsAnswer	answer;

	switch (flight->phase)
	{
		case PNVS_PHASE_WITHHELD:
			pnvs_verdict_unknown(pnvs_verdicts_add(verdicts), &flight->claim, "Local.NotReplicated",
								 "the wait for a synchronous standby was cut short, and nothing was sent");
			return true;
		case PNVS_PHASE_NOT_MADE:
			land_not_made(flight, pnvs_verdicts_add(verdicts));
			return true;
		case PNVS_PHASE_NOT_LOOKED_UP:
			pnvs_lookup_decide(flight, NULL, verdicts);
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
	pnvs_client_finish(flight->call, &answer);
	if (is_to_repeat(flight, &answer))
		flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_REPEAT);
	else if (flight->phase == PNVS_PHASE_SENDING)
		pnvs_verdict_on_answer(pnvs_verdicts_add(verdicts), &flight->claim, &answer);
	else
		pnvs_lookup_decide(flight, &answer, verdicts);
	return !pnvs_phase_is_to_start(flight->phase);
}

/*
 * The verdict on a flight that is not waited for, or started, any longer: back to the
 * queue where the message provably has not gone out.  A look-up has none.
 */
void
pnvs_flight_abandon(PnvsFlight *flight, PnvsVerdicts *verdicts)
{
	bool		maybe_sent = pnvs_phase_is_under_way(flight->phase) &&
	pnvs_client_maybe_sent(flight->call);

	switch (pnvs_phase_abandon(flight->phase, maybe_sent))
	{
		case PNVS_ABANDONED_UNKNOWN:
			pnvs_verdict_unknown(pnvs_verdicts_add(verdicts), &flight->claim, "Local.Interrupted",
								 "the sender ended before the reply came");
			break;
		case PNVS_ABANDONED_UNSENT:
			pnvs_verdict_waits(pnvs_verdicts_add(verdicts), &flight->claim, "Local.Interrupted",
							   "the sender ended before the request went out");
			break;
		case PNVS_ABANDONED_AS_IT_WAS:
			break;
	}
}

/* Takes the request back, if it is still under way. */
void
pnvs_flight_destroy(PnvsFlight *flight)
{
	MemoryContextDelete(flight->context);
}

/* Keeps the reason, without what the error may quote, and goes on. */
static void
note_start_failure(PnvsFlight *flight, MemoryContext caller)
{
	ErrorData  *error;
	char	   *message;

	MemoryContextSwitchTo(flight->context);
	error = CopyErrorData();
	FlushErrorState();
	message = pstrdup(error->message);
	pnvs_credentials_hide(message);
	flight->start_message = message;
	flight->start_code = "Local.Unsent.Start";
	/* one may have become invalid since the claim */
	flight->start_cause = error->sqlerrcode == ERRCODE_CONFIG_FILE_ERROR ||
		pnvs_settings_invalid_name() != NULL ? PNVS_CAUSE_SETTINGS : PNVS_CAUSE_NONE;
	FreeErrorData(error);
	flight->call = NULL;
	flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_START_FAILED);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(flight->call_context);
}

/* Where the settings do not do, no other could be made of them, either. */
static void
land_not_made(const PnvsFlight *flight, PnvsVerdict *verdict)
{
	if (flight->start_cause == PNVS_CAUSE_NONE)
		pnvs_verdict_unsent(verdict, &flight->claim, flight->start_code,
							flight->start_message, -1);
	else
	{
		pnvs_verdict_waits(verdict, &flight->claim, flight->start_code, flight->start_message);
		pnvs_verdict_blame(verdict, PNVS_FAULT_EVERYBODY, flight->start_cause,
						   flight->start_message);
	}
}

/* The next page of a search, or the same request by the service's clock. */
static bool
is_to_repeat(PnvsFlight *flight, const PnvsAnswer *answer)
{
	if (!flight->clock_corrected && pnvs_client_correct_clock(answer))
	{
		flight->clock_corrected = true;
		return true;
	}
	if (flight->phase == PNVS_PHASE_SENDING || !answer->succeeded ||
		!pnvs_lookup_collect(flight, &answer->reply))
		return false;
	flight->page++;
	return true;
}
