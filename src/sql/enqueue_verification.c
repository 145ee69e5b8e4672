/*-------------------------------------------------------------------------
 *
 * enqueue_verification.c
 *	  enqueue_verification(), cancel_verification(): queue a message, which is sent after
 *	  commit, and take it back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sql/sql.h"

PG_FUNCTION_INFO_V1(pnvs_enqueue_verification);
PG_FUNCTION_INFO_V1(pnvs_cancel_verification);

static Datum enqueue(PG_FUNCTION_ARGS);

/*
 * enqueue_verification(channel text, "to" text, service_sid text,
 *						not_before timestamptz, send_within interval,
 *						dedup_key text, dedup_for interval, rate_key text,
 *						trusted boolean)
 *
 * Checks the arguments as start_verification() does, and returns the ID.
 */
Datum
pnvs_enqueue_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(enqueue, fcinfo);
}

static Datum
enqueue(PG_FUNCTION_ARGS)
{
	PnvsQueueRequest request = {0};

	request.channel = pnvs_argument_channel(fcinfo, 0);
	request.recipient = pnvs_argument_recipient(fcinfo, 1);
	request.service_sid = pnvs_argument_required_service_sid(fcinfo, 2);
	request.now = GetCurrentTimestamp();
	request.not_before = pnvs_argument_not_before(fcinfo, 3, request.now);
	request.send_before = pnvs_argument_end(fcinfo, 4, "send_within", request.not_before);
	request.dedup_key = pnvs_argument_kept_text(fcinfo, 5, "dedup_key");
	if (request.dedup_key != NULL)
		request.dedup_since = request.now -
			(pnvs_argument_end(fcinfo, 6, "dedup_for", request.now) - request.now);
	request.rate_key = pnvs_argument_rate_key(fcinfo, 7);
	request.trusted = pnvs_argument_flag(fcinfo, 8);
	PG_RETURN_INT64(pnvs_queue_enqueue(&request, NULL));
}

/*
 * cancel_verification(id bigint)
 *
 * True if the message was still queued: if this transaction commits, it is never sent.
 */
Datum
pnvs_cancel_verification(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pnvs_queue_cancel(pnvs_argument_queue_id(fcinfo, 0)));
}
