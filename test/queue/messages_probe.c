/*-------------------------------------------------------------------------
 *
 * messages_probe.c
 *	  SQL functions that call src/queue/queue.h as a verification does, for tests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "queue/queue.h"

PG_FUNCTION_INFO_V1(messages_enqueue);
PG_FUNCTION_INFO_V1(messages_cancel_of);
PG_FUNCTION_INFO_V1(messages_of);

/*
 * messages_enqueue(number text, verification uuid, requester oid, key bigint,
 *					retain_until timestamptz, decoy boolean, not_before timestamptz,
 *					previous bigint)
 *
 * The ID, or why the guard refuses it and for how long.
 */
Datum
messages_enqueue(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	PnvsRefusal refusal = {0};
	PnvsQueueRequest request = {
		.channel = "SMS",
		.recipient = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.service_sid = "FA1",
		.now = now,
		.not_before = PG_GETARG_TIMESTAMPTZ(6),
		.send_before = Max(now, PG_GETARG_TIMESTAMPTZ(6)) + 300 * USECS_PER_SEC,
		.phone_verification = PG_GETARG_UUID_P(1),
		.requester = PG_GETARG_OID(2),
		.admission_key = (uint64) PG_GETARG_INT64(3),
		.retain_until = PG_GETARG_TIMESTAMPTZ(4),
		.is_decoy = PG_GETARG_BOOL(5),
		.previous = PG_GETARG_INT64(7),
		.on_refusal = PNVS_RETURN_REFUSAL
	};
	int64		id = pnvs_queue_enqueue(&request, &refusal);

	PG_RETURN_TEXT_P(cstring_to_text(id != 0 ? psprintf("%lld", (long long) id) :
									 psprintf("%s %d", pnvs_guard_code(&refusal), refusal.retry_after_s > 0)));
}

/* How many messages of a verification are queued. */
static int
count_queued(const pg_uuid_t *verification, int64 last)
{
	PnvsVerificationMessage messages[PNVS_MAX_MESSAGES_READ];
	int			n = pnvs_queue_messages_of(verification, last, messages);
	int			nqueued = 0;

	for (int i = 0; i < n; i++)
		nqueued += strcmp(messages[i].state, "queued") == 0;
	return nqueued;
}

/* messages_cancel_of(verification uuid, last bigint): how many were taken back */
Datum
messages_cancel_of(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *verification = PG_GETARG_UUID_P(0);
	int64		last = PG_GETARG_INT64(1);
	int			nqueued = count_queued(verification, last);

	pnvs_queue_cancel_of(verification, last, true);
	PG_RETURN_INT32(nqueued - count_queued(verification, last));
}

static const char *
time_text(TimestampTz time)
{
	return time == 0 ? "-" : timestamptz_to_str(time);
}

/* messages_of(verification uuid, last bigint): a line for each */
Datum
messages_of(PG_FUNCTION_ARGS)
{
	PnvsVerificationMessage messages[PNVS_MAX_MESSAGES_READ];
	int			n = pnvs_queue_messages_of(PG_GETARG_UUID_P(0), PG_GETARG_INT64(1), messages);
	StringInfoData lines;

	initStringInfo(&lines);
	for (int i = 0; i < n; i++)
	{
		const PnvsVerificationMessage *message = &messages[i];

		appendStringInfo(&lines, "%lld|%s|%d|%s|%s|%s|%s|%s|",
						 (long long) message->id, message->state, message->settled,
						 message->channel, message->service_sid,
						 message->verification_id ? message->verification_id : "-",
						 message->recipient, time_text(message->created_at));
		appendStringInfo(&lines, "%s|", time_text(message->dispatched_at));
		appendStringInfo(&lines, "%s|%d\n", time_text(message->unknown_since),
						 message->admission.due != 0);
	}
	PG_RETURN_TEXT_P(cstring_to_text(lines.data));
}
