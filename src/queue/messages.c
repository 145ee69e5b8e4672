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

#define ROW_TEXT(row, column) \
	TextDatumGetCString(pnvs_table_row_datum(row, PNVS_COLUMN_##column))
#define message_id(row) DatumGetInt64(pnvs_table_row_datum(row, PNVS_COLUMN_ID))

static void begin_messages(const pg_uuid_t *verification, PnvsTableRow *message);
static void end_messages(PnvsTableRow *message);
static bool has_queued(const pg_uuid_t *verification, int64 but);
static void row_values(const PnvsQueueSource *source, Datum values[3]);
static int	cancel_all(PnvsQueueStatement statement, Datum *values, int64 but);
static int	read_queued(PnvsClaim **claims, Oid **requesters, PnvsQueueStatement statement,
						Datum *values);
static int	make_place(PnvsVerificationMessage *messages, int n, int max, int64 id);
static void read_message(const PnvsTableRow *open, PnvsVerificationMessage *message);
static bool is_being_sent(const PnvsTableRow *open);

/*
 * The messages of a verification as they are by now, the newest first, up to max; their
 * number.
 */
int
pnvs_queue_messages_of(const pg_uuid_t *verification, PnvsVerificationMessage *messages,
					   int max)
{
	PnvsTableRow open;
	int			nmessages = 0;

	begin_messages(verification, &open);
	while (pnvs_table_scan_next(&open))
	{
		int			place = make_place(messages, nmessages, max, message_id(&open));

		if (place < max)
			read_message(&open, &messages[place]);
		nmessages = Min(nmessages + 1, max);
	}
	end_messages(&open);
	return nmessages;
}

/*
 * The verification that a message with this ID of the service belongs to, and the message's
 * ID in the queue; or 0.
 */
int64
pnvs_queue_find_verification(const char *verification_id, pg_uuid_t *verification)
{
	PnvsTableRow message;
	int64		id = 0;

	/* it comes in UTF-8, and no ID of the service has other characters */
	if (!pg_is_ascii(verification_id))
		return 0;
	pnvs_table_row_begin(&pnvs_queue_table, AccessShareLock, &message);
	pnvs_table_scan_begin(&message, PNVS_COLUMN_VERIFICATION_ID, CStringGetTextDatum(verification_id));
	while (id == 0 && pnvs_table_scan_next(&message))
	{
		bool		isnull;
		Datum		found = pnvs_table_row_value(&message, PNVS_COLUMN_PHONE_VERIFICATION, &isnull);

		if (isnull)
			continue;
		id = message_id(&message);
		*verification = *DatumGetUUIDP(found);
	}
	end_messages(&message);
	return id;
}

/*
 * Takes back the messages of a verification that are still queued; their number.  If the
 * transaction is rolled back, they are sent.
 */
int
pnvs_queue_cancel_of(const pg_uuid_t *verification)
{
	return pnvs_queue_cancel_others_of(verification, PG_INT64_MIN);
}

/* The same, but for the message that replaces them. */
int
pnvs_queue_cancel_others_of(const pg_uuid_t *verification, int64 but)
{
	Datum		value = UUIDPGetDatum(verification);

	return has_queued(verification, but) ? cancel_all(PNVS_SELECT_QUEUED_OF, &value, but) : 0;
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

/* Begins to look for the messages of a verification. */
static void
begin_messages(const pg_uuid_t *verification, PnvsTableRow *message)
{
	pnvs_table_row_begin(&pnvs_queue_table, AccessShareLock, message);
	pnvs_table_scan_begin(message, PNVS_COLUMN_PHONE_VERIFICATION, UUIDPGetDatum(verification));
}

static void
end_messages(PnvsTableRow *message)
{
	pnvs_table_scan_end(message);
	pnvs_table_row_end(message);
}

/* Whether there is something to take back, but for a message. */
static bool
has_queued(const pg_uuid_t *verification, int64 but)
{
	PnvsTableRow message;
	bool		found = false;

	begin_messages(verification, &message);
	while (!found && pnvs_table_scan_next(&message))
		found = message_id(&message) != but &&
			strcmp(ROW_TEXT(&message, STATE), pnvs_state_name(PNVS_STATE_QUEUED)) == 0;
	end_messages(&message);
	return found;
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

/*
 * Makes a place for a message among n others, the newest first; the last of max goes.  max:
 * it has none.
 */
static int
make_place(PnvsVerificationMessage *messages, int n, int max, int64 id)
{
	int			place = 0;

	while (place < n && messages[place].id > id)
		place++;
	if (place < max)
		memmove(&messages[place + 1], &messages[place],
				(Min(n, max - 1) - place) * sizeof(messages[0]));
	return place;
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
