/*-------------------------------------------------------------------------
 *
 * number.c
 *	  The messages of one phone number: for support, and to be erased.
 *
 * They are those of all requesters.  A number's rows are found by its hash, also after
 * they are masked.  Those of verifications have none, and are found by these: the caller
 * passes their IDs, as an array.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "queue/queue.h"
#include "queue/registry/registry.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"
#include "table/hash_key.h"

/* The columns of PNVS_SELECT_NUMBER. */
typedef enum NumberColumn
{
	VERIFICATION = 1,
	CHANNEL,
	STATE,
	ATTEMPTS,
	CREATED_AT,
	SEND_BEFORE,
	DISPATCHED_AT,
	UNKNOWN_SINCE,
	SETTLED_AT,
	CODE,
	REQUESTED_BY
} NumberColumn;

/* The parameters after those of the number. */
typedef enum Parameter
{
	OF_VERIFICATIONS = PNVS_NUMBER_PARAMETERS,
	WAS,						/* of PNVS_SELECT_ERASABLE */
	NOW = WAS,					/* these of PNVS_ERASE_NUMBER */
	UNKNOWN_CODE,
	UNKNOWN_MESSAGE
} Parameter;

#define ERASE_PARAMETERS (UNKNOWN_MESSAGE + 1)

static void read_message(int row, PnvsQueueMessage *message);
static void give_up(Datum *values, PnvsState was, PnvsState state, PnvsVerdicts *verdicts);

/* Reads the messages of a number, by their IDs; returns how many. */
int
pnvs_queue_of_number(const char *number, Datum of_verifications, PnvsQueueMessage **messages)
{
	MemoryContext caller = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		values[OF_VERIFICATIONS + 1];
	int			n;

	pnvs_database_number(number, values);
	values[OF_VERIFICATIONS] = of_verifications;
	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	MemoryContextSwitchTo(caller);
	n = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_NUMBER, values, NULL);
	*messages = palloc0((n + 1) * sizeof(PnvsQueueMessage));
	for (int row = 0; row < n; row++)
		read_message(row, &(*messages)[row]);
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return n;
}

/*
 * Takes a number out of its rows, and cancels those that are queued; how many rows had it.
 * Rows of unknown fate cannot be looked up any more, and are settled so.  A message that is
 * being sent keeps its number until it is settled.  Waits for whoever has locked a row, and
 * keeps them locked.
 */
int
pnvs_queue_erase(const char *number, Datum of_verifications)
{
	PnvsTableVisit visit;
	PnvsVerdicts verdicts = {0};
	Datum		values[ERASE_PARAMETERS];
	int			nrows;

	pnvs_database_number(number, values);
	values[OF_VERIFICATIONS] = of_verifications;
	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	(void) pnvs_table_write(&pnvs_queue_table, PNVS_LOCK_NUMBER, values, NULL);
	give_up(values, PNVS_STATE_QUEUED, PNVS_STATE_CANCELED, &verdicts);
	give_up(values, PNVS_STATE_UNKNOWN, PNVS_STATE_UNKNOWN, &verdicts);
	values[NOW] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[UNKNOWN_CODE] = CStringGetTextDatum("Local.Unreconciled");
	values[UNKNOWN_MESSAGE] = CStringGetTextDatum("its number was erased");
	nrows = pnvs_table_write(&pnvs_queue_table, PNVS_ERASE_NUMBER, values, NULL);
	pnvs_settle_note_written(verdicts.list, verdicts.n);
	pnvs_table_leave(&visit);
	return nrows;
}

static void
read_message(int row, PnvsQueueMessage *message)
{
	bool		no_verification;
	Datum		verification = pnvs_result_value(row, VERIFICATION, &no_verification);

	message->has_verification = !no_verification;
	if (!no_verification)
		message->verification = *DatumGetUUIDP(verification);
	message->channel = pnvs_result_text(row, CHANNEL);
	message->state = pnvs_result_text(row, STATE);
	message->attempts = pnvs_result_int32(row, ATTEMPTS);
	message->created_at = pnvs_result_time(row, CREATED_AT);
	message->send_before = pnvs_result_time(row, SEND_BEFORE);
	message->dispatched_at = pnvs_result_optional_time(row, DISPATCHED_AT);
	message->unknown_since = pnvs_result_optional_time(row, UNKNOWN_SINCE);
	message->settled_at = pnvs_result_optional_time(row, SETTLED_AT);
	message->code = pnvs_result_optional_text(row, CODE);
	message->requested_by = pnvs_result_text(row, REQUESTED_BY);
}

/* Adds the verdicts on the number's rows of a state, which are settled now. */
static void
give_up(Datum *values, PnvsState was, PnvsState state, PnvsVerdicts *verdicts)
{
	int			nrows;

	values[WAS] = CStringGetTextDatum(pnvs_state_name(was));
	nrows = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_ERASABLE, values, NULL);
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim	claim;

		pnvs_claim_read(row, &claim);
		pnvs_verdict_settled(pnvs_verdicts_add(verdicts), &claim, was, state);
		/* a worker skips a locked row, and is woken when the lock is gone */
		pnvs_registry_wake_at_end(claim.not_before, true);
	}
}
