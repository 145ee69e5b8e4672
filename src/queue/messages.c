/*-------------------------------------------------------------------------
 *
 * messages.c
 *	  The messages of a verification, or of a row of a user's table: read, and taken back.
 *
 * Who calls these has checked that the verification or the row is the caller's: whoever
 * queued the messages, they are found.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "utils/uuid.h"

#include "queue/queue.h"
#include "queue/registry/registry.h"
#include "queue/rows/rows.h"

static void row_values(const PnvsQueueSource *source, Datum values[3]);
static int	cancel_all(PnvsQueueStatement statement, Datum *values, int64 but);
static int	read_queued(PnvsClaim **claims, Oid **requesters, PnvsQueueStatement statement,
						Datum *values);
static void read_message(int row, PnvsVerificationMessage *message);
static bool is_being_sent(int row);

/* Whether none of a verification's messages was sent, or will be. */
bool
pnvs_queue_all_failed(const pg_uuid_t *verification)
{
	Datum		value = UUIDPGetDatum(verification);
	PnvsTableVisit visit;
	bool		all_failed;

	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	all_failed = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_HOPEFUL, &value, NULL) == 0;
	pnvs_table_leave(&visit);
	return all_failed;
}

/*
 * The messages of a verification as they are by now, the newest first, up to max; their
 * number.
 */
int
pnvs_queue_messages_of(const pg_uuid_t *verification, PnvsVerificationMessage *messages,
					   int max)
{
	MemoryContext caller_context = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		values[2];
	int			nmessages;

	values[0] = UUIDPGetDatum(verification);
	values[1] = Int64GetDatum(max);
	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	MemoryContextSwitchTo(caller_context);
	nmessages = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_MESSAGES_OF, values, NULL);
	for (int row = 0; row < nmessages; row++)
		read_message(row, &messages[row]);
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller_context);
	return nmessages;
}

/*
 * The verification that a message with this ID of the service belongs to, and the message's
 * ID in the queue; or 0.
 */
int64
pnvs_queue_find_verification(const char *verification_id, pg_uuid_t *verification)
{
	MemoryContext caller_context = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		value;
	int64		id = 0;

	/* it comes in UTF-8, and no ID of the service has other characters */
	if (!pg_is_ascii(verification_id))
		return 0;
	value = CStringGetTextDatum(verification_id);
	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	if (pnvs_table_read(&pnvs_queue_table, PNVS_FIND_VERIFICATION, &value, NULL) == 1)
	{
		id = pnvs_result_int64(0, PNVS_FIRST_COLUMN);
		*verification = *DatumGetUUIDP(pnvs_result_datum(0, PNVS_FOUND_VERIFICATION));
	}
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller_context);
	return id;
}

/*
 * Takes back the messages of a verification that are still queued; their number.  If the
 * transaction is rolled back, they are sent.
 */
int
pnvs_queue_cancel_of(const pg_uuid_t *verification)
{
	Datum		value = UUIDPGetDatum(verification);

	return cancel_all(PNVS_SELECT_QUEUED_OF, &value, PG_INT64_MIN);
}

/* The same, but for the message that replaces them. */
int
pnvs_queue_cancel_others_of(const pg_uuid_t *verification, int64 but)
{
	Datum		value = UUIDPGetDatum(verification);

	return cancel_all(PNVS_SELECT_QUEUED_OF, &value, but);
}

/* The same of a row of a user's table. */
int
pnvs_queue_cancel_of_row(const PnvsQueueSource *source)
{
	Datum		values[3];

	row_values(source, values);
	return cancel_all(PNVS_SELECT_QUEUED_OF_ROW, values, PG_INT64_MIN);
}

/* Gives what is still queued of a row another reference; NULL: none. */
void
pnvs_queue_rename_row(const PnvsQueueSource *source, const char *reference)
{
	PnvsTableVisit visit;
	Datum		values[4];
	int			nrows;

	row_values(source, values);
	values[3] = reference != NULL ? CStringGetTextDatum(reference) : (Datum) 0;
	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	nrows = pnvs_table_write(&pnvs_queue_table, PNVS_RENAME, values, reference != NULL ? NULL : "   n");
	/* as below */
	for (int row = 0; row < nrows; row++)
		pnvs_registry_wake_at_end(pnvs_result_time(row, PNVS_FIRST_COLUMN), true);
	pnvs_table_leave(&visit);
}

static void
row_values(const PnvsQueueSource *source, Datum values[3])
{
	values[0] = CStringGetTextDatum(source->table);
	values[1] = CStringGetTextDatum(source->reference);
	values[2] = CStringGetTextDatum(source->recipient);
}

static int
cancel_all(PnvsQueueStatement statement, Datum *values, int64 but)
{
	PnvsTableVisit visit;
	PnvsClaim  *claims;
	Oid		   *requesters;
	int			nclaims;
	int			ncanceled = 0;

	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	nclaims = read_queued(&claims, &requesters, statement, values);
	for (int i = 0; i < nclaims; i++)
	{
		if (claims[i].id == but)
			continue;
		/* a worker skips a locked row, and is woken when the lock is gone */
		pnvs_registry_wake_at_end(claims[i].not_before, true);
		if (pnvs_settle_cancel(&claims[i], requesters[i], true))
			ncanceled++;
	}
	pnvs_table_leave(&visit);
	return ncanceled;
}

/* The rows that a statement selects, and who queued them; their number. */
static int
read_queued(PnvsClaim **claims, Oid **requesters, PnvsQueueStatement statement, Datum *values)
{
	int			nrows = pnvs_table_read(&pnvs_queue_table, statement, values, NULL);

	*claims = palloc((nrows + 1) * sizeof(PnvsClaim));
	*requesters = palloc((nrows + 1) * sizeof(Oid));
	for (int row = 0; row < nrows; row++)
	{
		pnvs_claim_read(row, &(*claims)[row]);
		(*requesters)[row] = pnvs_result_oid(row, PNVS_ROW_REQUESTED_BY);
	}
	return nrows;
}

static void
read_message(int row, PnvsVerificationMessage *message)
{
	PnvsClaim	claim = {0};

	message->id = pnvs_result_int64(row, PNVS_MESSAGE_ID);
	message->state = pnvs_result_text(row, PNVS_MESSAGE_STATE);
	message->settled = DatumGetBool(pnvs_result_datum(row, PNVS_MESSAGE_IS_SETTLED));
	message->channel = pnvs_result_text(row, PNVS_MESSAGE_CHANNEL);
	message->service_sid = pnvs_result_text(row, PNVS_MESSAGE_SERVICE_SID);
	message->verification_id = pnvs_result_optional_text(row, PNVS_MESSAGE_VERIFICATION_ID);
	message->recipient = pnvs_result_text(row, PNVS_MESSAGE_RECIPIENT);
	message->created_at = pnvs_result_time(row, PNVS_MESSAGE_CREATED_AT);
	message->dispatched_at = pnvs_result_optional_time(row, PNVS_MESSAGE_DISPATCHED_AT);
	message->unknown_since = pnvs_result_optional_time(row, PNVS_MESSAGE_UNKNOWN_SINCE);
	message->is_being_sent = is_being_sent(row);
	claim.channel = message->channel;
	claim.recipient = message->recipient;
	claim.created_at = message->created_at;
	pnvs_admission_read(row, PNVS_MESSAGE_ADMISSION, &claim, &message->admission);
}

static bool
is_being_sent(int row)
{
	bool		unclaimed;
	Datum		claimer = pnvs_result_value(row, PNVS_MESSAGE_CLAIMER, &unclaimed);

	return !unclaimed && !pnvs_claimer_is_dead(DatumGetInt64(claimer));
}
