/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Everything that happened to a phone number in this database, and what blocks it now:
 *	  for support.
 *
 * It is read from the rows of verifications and messages, of all requesters.  The ID of a
 * verification is a secret of whoever has begun it, so a number stands for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "core/operation.h"
#include "guard/guard.h"
#include "queue/queue.h"
#include "settings.h"
#include "table/hash_key.h"
#include "table/statements.h"
#include "verification/checks.h"
#include "verification/history.h"
#include "verification/rows.h"

/* The columns of PNVS_VERIFICATION_SELECT_NUMBER. */
typedef enum HistoryColumn
{
	ID = 1,
	LAST_MESSAGE,
	REQUESTED_BY,
	STATE,
	PURPOSE,
	CHANNEL,
	IS_DECOY,
	BEGUN_AT,
	EXPIRES_AT,
	REFUSED,
	REFUSED_COUNT,
	TRIES,
	WRONG_AT,
	APPROVED_AT,
	USED_AT,
	ENDED_AT,
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE
} HistoryColumn;

/* A verification of the number, as messages refer to it. */
typedef struct Verification
{
	pg_uuid_t	id;
	int			number;			/* the first is 1 */
	const char *purpose;
	const char *requested_by;
} Verification;

/* What an event of a verification is told of. */
typedef struct Teller
{
	PnvsHistory *history;
	const Verification *verification;
	int			row;			/* of the result */
	TimestampTz now;
} Teller;

static int	add_verifications(PnvsHistory *history, const char *number, TimestampTz now,
							  Verification **verifications, Datum *message_ids);
static void add_verification(const Teller *teller);
static PnvsHistoryEvent *tell(const Teller *teller, const char *event, TimestampTz at);
static TimestampTz add_wrong_codes(const Teller *teller);
static void add_end(const Teller *teller, TimestampTz last_wrong_at);
static PnvsVerificationState state_by_now(const Teller *teller, int *tries);
static void add_message(PnvsHistory *history, const PnvsQueueMessage *message,
						const Verification *verification);
static int	compare_ids(const void *a, const void *b);
static int	compare_events(const void *a, const void *b);

/*
 * Reads the history of a number, the oldest event first, and behind them what blocks it
 * now.  In the current memory context.
 */
void
pnvs_verification_history(const char *number, PnvsHistory *history)
{
	TimestampTz now = GetCurrentTimestamp();
	Verification *verifications;
	PnvsQueueMessage *messages;
	Datum		message_ids;
	int			nverifications;
	int			nmessages;

	memset(history, 0, sizeof(*history));
	nverifications = add_verifications(history, number, now, &verifications, &message_ids);
	qsort(verifications, nverifications, sizeof(Verification), compare_ids);
	nmessages = pnvs_queue_of_number(number, message_ids, &messages);
	for (int i = 0; i < nmessages; i++)
	{
		const Verification key = {.id = messages[i].verification};

		add_message(history, &messages[i], !messages[i].has_verification ? NULL :
					bsearch(&key, verifications, nverifications, sizeof(Verification), compare_ids));
	}
	qsort(history->events, history->n, sizeof(PnvsHistoryEvent), compare_events);
	pnvs_history_add_blocks(history, number, now);
}

/* Adds an event, which the caller fills in before another is added. */
PnvsHistoryEvent *
pnvs_history_add(PnvsHistory *history, const char *event, TimestampTz at)
{
	PnvsHistoryEvent *added;

	if (history->events == NULL)
	{
		history->size = 64;
		history->events = palloc(history->size * sizeof(PnvsHistoryEvent));
	}
	else if (history->n == history->size)
	{
		history->size *= 2;
		history->events = repalloc_huge(history->events, history->size * sizeof(PnvsHistoryEvent));
	}
	added = &history->events[history->n];
	memset(added, 0, sizeof(*added));
	added->event = event;
	added->at = at;
	added->position = history->n++;
	return added;
}

/* Adds what happened to the verifications of a number; returns them, their messages' IDs, and their number. */
static int
add_verifications(PnvsHistory *history, const char *number, TimestampTz now,
				  Verification **verifications, Datum *message_ids)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[PNVS_NUMBER_PARAMETERS];
	PnvsTableVisit visit;
	int			n;

	pnvs_database_number(number, values);
	pnvs_table_enter(&pnvs_verification_table, &visit, AccessShareLock);
	MemoryContextSwitchTo(caller);
	n = pnvs_table_read(&pnvs_verification_table, PNVS_VERIFICATION_SELECT_NUMBER, values, NULL);
	*verifications = palloc_extended((n + 1) * sizeof(Verification), MCXT_ALLOC_HUGE);
	for (int row = 0; row < n; row++)
	{
		Verification *verification = &(*verifications)[row];
		Teller		teller = {history, verification, row, now};

		verification->id = *DatumGetUUIDP(pnvs_result_datum(row, ID));
		verification->number = row + 1;
		verification->purpose = pnvs_result_optional_text(row, PURPOSE);
		verification->requested_by = pnvs_result_text(row, REQUESTED_BY);
		add_verification(&teller);
	}
	*message_ids = pnvs_verification_message_ids(n);
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return n;
}

static void
add_verification(const Teller *teller)
{
	const int	row = teller->row;
	const char *refused = pnvs_result_optional_text(row, REFUSED);
	TimestampTz begun_at = pnvs_result_time(row, BEGUN_AT);
	TimestampTz approved_at = pnvs_result_optional_time(row, APPROVED_AT);
	TimestampTz used_at = pnvs_result_optional_time(row, USED_AT);
	PnvsHistoryEvent *event = tell(teller, refused != NULL ? "refused" : "begun", begun_at);

	event->channel = pnvs_result_optional_text(row, CHANNEL);
	if (refused != NULL)
	{
		event->detail = refused;
		event->count = pnvs_result_int32(row, REFUSED_COUNT);
		return;
	}
	event->until = pnvs_result_time(row, EXPIRES_AT);
	if (DatumGetBool(pnvs_result_datum(row, IS_DECOY)))
		event->detail = "send => false";
	if (approved_at != 0)
		(void) tell(teller, "approved", approved_at);
	if (used_at != 0)
		(void) tell(teller, "used", used_at);
	add_end(teller, add_wrong_codes(teller));
}

static PnvsHistoryEvent *
tell(const Teller *teller, const char *event, TimestampTz at)
{
	PnvsHistoryEvent *added = pnvs_history_add(teller->history, event, at);

	added->verification = teller->verification->number;
	added->purpose = teller->verification->purpose;
	added->requested_by = teller->verification->requested_by;
	return added;
}

/* The time of the last, or 0 if there was none, or the transactions were rolled back. */
static TimestampTz
add_wrong_codes(const Teller *teller)
{
	bool		isnull;
	Datum		value = pnvs_result_value(teller->row, WRONG_AT, &isnull);
	TimestampTz last = 0;
	Datum	   *times;
	bool	   *nulls;
	int			ntimes;

	if (isnull)
		return 0;
	deconstruct_array(DatumGetArrayTypeP(value), TIMESTAMPTZOID, sizeof(TimestampTz),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &times, &nulls, &ntimes);
	for (int i = 0; i < ntimes; i++)
	{
		if (nulls[i])
			continue;
		last = DatumGetTimestampTz(times[i]);
		(void) tell(teller, "wrong_code", last);
	}
	return last;
}

/* How a verification ended, unless it was used. */
static void
add_end(const Teller *teller, TimestampTz last_wrong_at)
{
	TimestampTz ended_at = pnvs_result_optional_time(teller->row, ENDED_AT);
	TimestampTz begun_at = pnvs_result_time(teller->row, BEGUN_AT);
	int			tries;

	switch (state_by_now(teller, &tries))
	{
		case PNVS_VERIFICATION_MAX_TRIES:
			tell(teller, "max_tries", last_wrong_at != 0 ? last_wrong_at : begun_at)->count = tries;
			break;
		case PNVS_VERIFICATION_CANCELED:
			/* of a copy nobody knows when it was made */
			if (ended_at != 0)
				(void) tell(teller, "canceled", ended_at);
			else
				tell(teller, "canceled", begun_at)->detail = "Local.ForeignOrigin";
			break;
		case PNVS_VERIFICATION_EXPIRED:
			(void) tell(teller, "expired", pnvs_result_time(teller->row, EXPIRES_AT));
			break;
		default:
			break;
	}
}

/* That no message could be sent, its messages say. */
static PnvsVerificationState
state_by_now(const Teller *teller, int *tries)
{
	const int	row = teller->row;
	PnvsVerificationFacts facts = {
		.foreign = !pnvs_table_is_own_origin(pnvs_result_int64(row, ORIGIN_SYSTEM),
											 pnvs_result_oid(row, ORIGIN_DATABASE)),
		.max_tries = pnvs_max_tries,
		.expires_us = pnvs_result_time(row, EXPIRES_AT)
	};
	const PnvsChecked checked = {
		teller->verification->id, pnvs_result_int32(row, TRIES), facts.expires_us
	};

	if (!pnvs_verification_state_by_name(pnvs_result_text(row, STATE), &facts.stored))
		facts.stored = PNVS_VERIFICATION_CANCELED;
	facts.tries = pnvs_guard_is_shared() ? pnvs_checks_tries(&checked, teller->now) : checked.tries;
	*tries = facts.tries;
	return pnvs_verification_state(&facts, teller->now);
}

/* verification: that it is a message of, or NULL. */
static void
add_message(PnvsHistory *history, const PnvsQueueMessage *message,
			const Verification *verification)
{
	const bool	open = message->settled_at == 0;
	const bool	refused = !open && message->attempts == 0 &&
	message->settled_at == message->created_at;
	const struct
	{
		const char *event;
		TimestampTz at;			/* 0: it has not happened */
		bool		is_last;	/* the code is of it */
	}			stages[] = {
		{"message_queued", refused ? 0 : message->created_at, open && message->attempts == 0},
		{"message_sending", open && message->attempts > 0 ? message->dispatched_at : 0,
		message->unknown_since == 0},
		{"message_unknown", open ? message->unknown_since : 0, true},
		{psprintf("message_%s", message->state), message->settled_at, true},
	};

	for (size_t i = 0; i < lengthof(stages); i++)
	{
		PnvsHistoryEvent *event;

		if (stages[i].at == 0)
			continue;
		event = pnvs_history_add(history, stages[i].event, stages[i].at);
		event->verification = verification != NULL ? verification->number : 0;
		event->purpose = verification != NULL ? verification->purpose : NULL;
		event->requested_by = message->requested_by;
		event->channel = message->channel;
		if (stages[i].is_last)
			event->detail = message->code;
		if (i == 0 && open)
			event->until = message->send_before;
	}
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(&((const Verification *) a)->id, &((const Verification *) b)->id, UUID_LEN);
}

/* By their times; those of one time as they were added. */
static int
compare_events(const void *a, const void *b)
{
	const PnvsHistoryEvent *first = a;
	const PnvsHistoryEvent *second = b;

	if (first->at != second->at)
		return first->at < second->at ? -1 : 1;
	return (first->position > second->position) - (first->position < second->position);
}
