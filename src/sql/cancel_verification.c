/*-------------------------------------------------------------------------
 *
 * cancel_verification.c
 *	  cancel_verification(): takes a queued message back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "queue/queue.h"
#include "sql/arguments.h"

PG_FUNCTION_INFO_V1(pnvs_cancel_verification);

/*
 * cancel_verification(id bigint)
 *
 * True where the message was still queued, and now, if this transaction is
 * committed, never goes out.
 */
Datum
pnvs_cancel_verification(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pnvs_queue_cancel(pnvs_argument_queue_id(fcinfo, 0)));
}
