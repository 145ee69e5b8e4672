/*-------------------------------------------------------------------------
 *
 * message.c
 *	  The messages of a verification.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/operation.h"
#include "errcodes.h"
#include "queue/queue.h"
#include "remote/credentials.h"
#include "settings.h"
#include "table/statements.h"
#include "verification/rows.h"

/* A message that comes later than this is pointless: people ask for another one. */
#define SEND_WITHIN_US (5 * 60 * USECS_PER_SEC)

static PnvsQueueRequest request_of(const PnvsVerification *row, PnvsChannelWord channel,
								   TimestampTz now);
static bool can_send(const PnvsVerification *row, TimestampTz now);
static const char *reason_of(const PnvsRefusal *refusal);
static void add_message(PnvsVerification *row, PnvsChannelWord channel, int64 id, TimestampTz now);
static TimestampTz resend_at(const PnvsVerification *row, TimestampTz now);

/* Throws unless the library is preloaded: limits and tries are counted in shared memory. */
void
pnvs_verification_require_memory(const char *function)
{
	if (!pnvs_guard_is_shared())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("%s needs shared memory, which pnvs has not got", function),
				 errdetail("sent=no"),
				 errhint("Add \"pnvs\" to shared_preload_libraries and restart the server."),
				 pnvs_errhide()));
}

/*
 * Queues a message by a channel, and changes the row in memory accordingly.  Returns NULL;
 * or, if no message was queued, the word for that (constant), and the seconds to wait, or
 * -1.
 */
const char *
pnvs_verification_send(PnvsVerification *row, PnvsChannelWord channel, int *retry_after_s)
{
	TimestampTz now = GetCurrentTimestamp();
	PnvsQueueRequest request = request_of(row, channel, now);
	PnvsRefusal refusal = {.reason = PNVS_REFUSED_OFF};
	int64		id = 0;

	*retry_after_s = -1;
	request.on_refusal = PNVS_RETURN_REFUSAL;
	if (can_send(row, now))
	{
		refusal.reason = PNVS_ADMITTED;
		id = pnvs_queue_enqueue(&request, &refusal);
	}
	if (refusal.reason != PNVS_ADMITTED)
	{
		if (refusal.reason == PNVS_REFUSED_LIMIT)
			*retry_after_s = refusal.retry_after_s;
		return reason_of(&refusal);
	}
	add_message(row, channel, id, now);
	return NULL;
}

/* Queues a message by the next channel; if it is refused, it is kept as failed. */
void
pnvs_verification_send_next(PnvsVerification *row)
{
	int			next = pnvs_verification_next_position(row->position, row->nchannels);
	PnvsChannelWord channel = row->channels[next];
	TimestampTz now = GetCurrentTimestamp();
	PnvsQueueRequest request = request_of(row, channel, now);
	int64		id;

	request.on_refusal = PNVS_KEEP_REFUSED;
	id = pnvs_queue_enqueue(&request, NULL);
	row->position = next;
	add_message(row, channel, id, now);
}

/* Writes what add_message() has changed. */
void
pnvs_verification_note_message(PnvsVerification *row)
{
	PnvsTableRow open;
	bool		found;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	do
	{
		found = pnvs_table_row_find_again(&open, &row->place, UUIDPGetDatum(&row->id));
		if (found)
		{
			PNVS_VERIFICATION_PUT(&open, CHANNEL,
								  CStringGetTextDatum(pnvs_operation_channel_text(row->channel)));
			PNVS_VERIFICATION_PUT(&open, CHANNEL_POSITION, Int32GetDatum(row->position));
			PNVS_VERIFICATION_PUT(&open, LAST_MESSAGE, Int64GetDatum(row->last_message));
			PNVS_VERIFICATION_PUT(&open, MESSAGES, Int32GetDatum(row->messages));
			PNVS_VERIFICATION_PUT(&open, RESEND_AT, TimestampTzGetDatum(row->resend_at));
		}
	} while (found && !pnvs_table_row_update(&open));
	pnvs_table_row_end(&open);
}

/*
 * The IDs of the messages of the verifications of the last result, whose first columns are
 * id and last_message: an array, in the current memory context.  Within a visit.
 */
Datum
pnvs_verification_message_ids(int nverifications)
{
	int64	   *ids = palloc_extended(((Size) nverifications * PNVS_MAX_MESSAGES_READ + 1) * sizeof(int64),
									  MCXT_ALLOC_HUGE);
	int			n = 0;

	for (int row = 0; row < nverifications; row++)
	{
		PnvsVerificationMessage messages[PNVS_MAX_MESSAGES_READ];
		const pg_uuid_t *id = DatumGetUUIDP(pnvs_result_datum(row, PNVS_FIRST_COLUMN));
		int64		last = pnvs_result_int64(row, PNVS_FIRST_COLUMN + 1);
		int			nmessages = last != 0 ? pnvs_queue_messages_of(id, last, messages) : 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < nmessages; i++)
			ids[n++] = messages[i].id;
	}
	return pnvs_array_of_ids(ids, n);
}

static PnvsQueueRequest
request_of(const PnvsVerification *row, PnvsChannelWord channel, TimestampTz now)
{
	PnvsQueueRequest request = {
		.channel = pnvs_operation_channel_text(channel),
		.recipient = row->recipient,
		.service_sid = row->service_sid,
		.now = now,
		.not_before = now,
		.send_before = Min(row->expires_at, now + SEND_WITHIN_US),
		.reference = row->reference,
		.trusted = row->trusted,
		.requester = row->requested_by,
		.admission_key = row->admission_key,
		.phone_verification = &row->id,
		.previous = row->last_message,
		.retain_until = row->expires_at,
		.is_decoy = row->is_decoy
	};

	return request;
}

/*
 * Whether a message could go out at all: otherwise a person would wait for a code in vain.
 * For a test number nothing is needed.
 */
static bool
can_send(const PnvsVerification *row, TimestampTz now)
{
	return row->service_sid[0] != '\0' &&
		(pnvs_settings_test_number(row->recipient, now) != NULL ||
		 (pnvs_sending && pnvs_credentials_are_set()));
}

/* Never which rule it was: that helps attackers to stay just below. */
static const char *
reason_of(const PnvsRefusal *refusal)
{
	switch (refusal->reason)
	{
		case PNVS_REFUSED_LIMIT:
			return PNVS_TOO_MANY;
		case PNVS_REFUSED_COUNTRY:
		case PNVS_REFUSED_BREAKER:
		case PNVS_REFUSED_CHANNEL:
			return "not_available_here";
		case PNVS_REFUSED_OFF:
		case PNVS_REFUSED_SETTING:
		case PNVS_REFUSED_UNDECIDED:
		case PNVS_ADMITTED:
			break;
	}
	return "try_later";
}

static void
add_message(PnvsVerification *row, PnvsChannelWord channel, int64 id, TimestampTz now)
{
	row->state = PNVS_VERIFICATION_PENDING;
	row->channel = channel;
	row->last_message = id;
	row->messages++;
	row->resend_at = resend_at(row, now);
}

/* When the next message may be sent, by the channel that comes next; or DT_NOEND. */
static TimestampTz
resend_at(const PnvsVerification *row, TimestampTz now)
{
	int			next = pnvs_verification_next_position(row->position, row->nchannels);
	PnvsGuardMessage message = {
		.recipient = row->recipient,
		.channel = row->channels[next],
		.key = row->admission_key,
		.trusted = row->trusted,
		.due = now
	};

	return pnvs_verification_resend_us(pnvs_guard_room_at(&message, now), now);
}
