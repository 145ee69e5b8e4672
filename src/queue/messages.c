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
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/verification.h"
#include "queue/queue.h"
#include "queue/registry/registry.h"
#include "queue/rows/rows.h"

#define ROW_TEXT(row, column) \
	TextDatumGetCString(pnvs_table_row_datum(row, PNVS_COLUMN_##column))
#define message_id(row) DatumGetInt64(pnvs_table_row_datum(row, PNVS_COLUMN_ID))

/* The columns of PNVS_SELECT_UNSURE. */
typedef enum UnsureColumn
{
	UNSURE_VERIFICATION = PNVS_FIRST_COLUMN,
	UNSURE_RECIPIENT,
	UNSURE_DISPATCHED_AT,
	UNSURE_UNKNOWN_SINCE
} UnsureColumn;

static bool find_message(const pg_uuid_t *verification, int64 id, PnvsTableRow *message);
static void row_values(const PnvsQueueSource *source, Datum values[3]);
static void cancel(const PnvsClaim *claim);
static void read_message(const PnvsTableRow *open, PnvsVerificationMessage *message);
static bool is_being_sent(const PnvsTableRow *open);

/*
 * The messages of a verification as they are by now, from the last one, by its ID, to the
 * first, up to PNVS_MAX_MESSAGES_READ; their number.
 */
int
pnvs_queue_messages_of(const pg_uuid_t *verification, int64 last,
					   PnvsVerificationMessage *messages)
{
	PnvsTableRow open;
	int			n = 0;

	pnvs_table_row_begin(&pnvs_queue_table, AccessShareLock, &open);
	while (n < PNVS_MAX_MESSAGES_READ && find_message(verification, last, &open))
	{
		read_message(&open, &messages[n++]);
		last = pnvs_table_row_optional_int64(&open, PNVS_COLUMN_PREVIOUS);
	}
	pnvs_table_row_end(&open);
	return n;
}

/*
 * Whether the queue has a message with this ID of the service.  If that belongs to a
 * verification, its ID in the queue is returned, too, otherwise 0.
 */
bool
pnvs_queue_find_verification(const char *verification_id, int64 *id, pg_uuid_t *verification)
{
	PnvsTableRow message;
	bool		found = false;

	*id = 0;
	/* it comes in UTF-8, and no ID of the service has other characters */
	if (!pg_is_ascii(verification_id))
		return false;
	pnvs_table_row_begin(&pnvs_queue_table, AccessShareLock, &message);
	pnvs_table_scan_begin(&message, PNVS_COLUMN_VERIFICATION_ID, CStringGetTextDatum(verification_id));
	while (*id == 0 && pnvs_table_scan_next(&message))
	{
		bool		isnull;
		Datum		owner = pnvs_table_row_value(&message, PNVS_COLUMN_PHONE_VERIFICATION, &isnull);

		found = true;
		if (isnull)
			continue;
		*id = message_id(&message);
		*verification = *DatumGetUUIDP(owner);
	}
	pnvs_table_scan_end(&message);
	pnvs_table_row_end(&message);
	return found;
}

/*
 * Messages of verifications that may have been sent, and of which only the service knows the
 * ID, up to max, in no order, in the current memory context; their number.
 */
int
pnvs_queue_unsure(int max, PnvsUnsureMessage **messages)
{
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	PnvsTableVisit visit;
	Datum		values[2];
	int			n;

	values[0] = TimestampTzGetDatum(now - PNVS_LONGEST_VALID_US);
	values[1] = Int64GetDatum(max);
	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	MemoryContextSwitchTo(caller);
	n = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_UNSURE, values, NULL);
	*messages = palloc((n + 1) * sizeof(PnvsUnsureMessage));
	for (int row = 0; row < n; row++)
	{
		PnvsUnsureMessage *message = &(*messages)[row];

		message->verification = *DatumGetUUIDP(pnvs_result_datum(row, UNSURE_VERIFICATION));
		message->recipient = pnvs_result_text(row, UNSURE_RECIPIENT);
		message->from = pnvs_result_time(row, UNSURE_DISPATCHED_AT);
		message->until = pnvs_result_optional_time(row, UNSURE_UNKNOWN_SINCE);
		if (message->until == 0)
			message->until = now;
	}
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return n;
}

/*
 * Takes back the messages of a verification that are still queued.  last: the ID of the last;
 * frees_places: those under the limits are given back.  If the transaction is rolled back,
 * they are sent.
 */
void
pnvs_queue_cancel_of(const pg_uuid_t *verification, int64 last, bool frees_places)
{
	PnvsVerificationMessage messages[PNVS_MAX_MESSAGES_READ];
	int			nmessages = pnvs_queue_messages_of(verification, last, messages);
	PnvsTableVisit visit;

	for (int i = 0; i < nmessages; i++)
	{
		const PnvsVerificationMessage *message = &messages[i];
		PnvsClaim	claim = {
			.id = message->id,
			.recipient = message->recipient,
			.requester = message->requester,
			.not_before = message->not_before
		};

		if (strcmp(message->state, pnvs_state_name(PNVS_STATE_QUEUED)) != 0)
			continue;
		if (frees_places)
			claim.admission = message->admission;
		pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
		cancel(&claim);
		pnvs_table_leave(&visit);
	}
}

/* The same of a row of a user's table, whose places are given back. */
void
pnvs_queue_cancel_of_row(const PnvsQueueSource *source)
{
	PnvsTableVisit visit;
	Datum		values[3];
	PnvsClaim  *claims;
	int			nrows;

	row_values(source, values);
	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	nrows = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_QUEUED_OF_ROW, values, NULL);
	claims = palloc((nrows + 1) * sizeof(PnvsClaim));
	for (int row = 0; row < nrows; row++)
		pnvs_claim_read(row, &claims[row]);
	for (int i = 0; i < nrows; i++)
		cancel(&claims[i]);
	pnvs_table_leave(&visit);
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
	/* a worker skips a locked row, and is woken when the lock is gone */
	for (int row = 0; row < nrows; row++)
		pnvs_registry_wake_at_end(pnvs_result_time(row, PNVS_FIRST_COLUMN), true);
	pnvs_table_leave(&visit);
}

/* Reads a message, unless it is gone, or its ID has become that of another's. */
static bool
find_message(const pg_uuid_t *verification, int64 id, PnvsTableRow *message)
{
	bool		isnull = true;
	Datum		owner = (Datum) 0;

	if (id != 0 && pnvs_table_row_find(message, Int64GetDatum(id)))
		owner = pnvs_table_row_value(message, PNVS_COLUMN_PHONE_VERIFICATION, &isnull);
	return !isnull && memcmp(DatumGetUUIDP(owner), verification, sizeof(*verification)) == 0;
}

static void
row_values(const PnvsQueueSource *source, Datum values[3])
{
	values[0] = CStringGetTextDatum(source->table);
	values[1] = CStringGetTextDatum(source->reference);
	values[2] = CStringGetTextDatum(source->recipient);
}

/* Within a visit; a message that is not queued any more stays as it is. */
static void
cancel(const PnvsClaim *claim)
{
	/* a worker skips a locked row, and is woken when the lock is gone */
	pnvs_registry_wake_at_end(claim->not_before, true);
	(void) pnvs_settle_cancel(claim, true);
}

static void
read_message(const PnvsTableRow *open, PnvsVerificationMessage *message)
{
	PnvsClaim	claim = {0};

	message->id = message_id(open);
	message->state = ROW_TEXT(open, STATE);
	message->settled = pnvs_table_row_optional_int64(open, PNVS_COLUMN_SETTLED_AT) != 0;
	message->channel = ROW_TEXT(open, CHANNEL);
	message->service_sid = ROW_TEXT(open, SERVICE_SID);
	message->verification_id = pnvs_table_row_optional_text(open, PNVS_COLUMN_VERIFICATION_ID);
	message->recipient = ROW_TEXT(open, RECIPIENT);
	message->requester = DatumGetObjectId(pnvs_table_row_datum(open, PNVS_COLUMN_REQUESTED_BY));
	message->not_before = DatumGetTimestampTz(pnvs_table_row_datum(open, PNVS_COLUMN_NOT_BEFORE));
	message->created_at = DatumGetTimestampTz(pnvs_table_row_datum(open, PNVS_COLUMN_CREATED_AT));
	message->dispatched_at = pnvs_table_row_optional_int64(open, PNVS_COLUMN_DISPATCHED_AT);
	message->unknown_since = pnvs_table_row_optional_int64(open, PNVS_COLUMN_UNKNOWN_SINCE);
	message->is_being_sent = is_being_sent(open);
	claim.channel = message->channel;
	claim.recipient = message->recipient;
	claim.created_at = message->created_at;
	pnvs_admission_read_open(open, &claim, &message->admission);
}

static bool
is_being_sent(const PnvsTableRow *open)
{
	bool		unclaimed;
	Datum		claimer = pnvs_table_row_value(open, PNVS_COLUMN_CLAIMER, &unclaimed);

	return !unclaimed && !pnvs_claimer_is_dead(DatumGetInt64(claimer));
}
