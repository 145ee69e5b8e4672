/*-------------------------------------------------------------------------
 *
 * await_verification.c
 *	  await_verification(): waits until a queued message is settled.
 *
 * If the library is preloaded, a worker that settles the row ends the wait.  Otherwise,
 * and for a row that is settled in another way, the row is polled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "errcodes.h"
#include "queue/registry/registry.h"
#include "sql/sql.h"

/* The time between two polls. */
#define LOOK_MS 1000
#define LOOK_UNSHARED_MS 50

PG_FUNCTION_INFO_V1(pnvs_await_verification);

static bool look(int64 id, PnvsQueueRow *row);
static Datum make_row(FunctionCallInfo fcinfo, const PnvsQueueRow *row);

/*
 * await_verification(id bigint, timeout interval)
 *
 * The row once it is settled, or NULL at the time-out.
 */
Datum
pnvs_await_verification(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;
	int64		id = pnvs_argument_queue_id(fcinfo, 0);
	TimestampTz end = pnvs_argument_end(fcinfo, 1, "timeout", GetCurrentTimestamp());
	long		look_ms = pnvs_registry_is_shared() ? LOOK_MS : LOOK_UNSHARED_MS;
	PnvsQueueRow row;
	bool		settled = false;

	pnvs_name_wait_event(&wait_event, "PnvsAwait");
	for (;;)
	{
		long		left_ms;

		pnvs_waiters_begin(id);
		settled = look(id, &row);
		left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		if (settled || left_ms <= 0)
			break;
		pnvs_waiters_wait(id, Min(left_ms, look_ms), wait_event);
	}
	pnvs_waiters_end();
	if (!settled)
		PG_RETURN_NULL();
	return make_row(fcinfo, &row);
}

/* Whether the row is settled; throws if this transaction can never see that. */
static bool
look(int64 id, PnvsQueueRow *row)
{
	pnvs_argument_find_row(id, row);
	if (row->settled)
		return true;
	if (row->own_transaction)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot wait for a message that this transaction has queued"),
				 errhint("It goes out after COMMIT; wait in the next transaction."),
				 pnvs_errhide()));
	return false;
}

static Datum
make_row(FunctionCallInfo fcinfo, const PnvsQueueRow *row)
{
	PnvsRow		result;

	pnvs_row_begin(&result, fcinfo, row->types, PNVS_QUEUE_COLUMNS);
	for (int i = 0; i < PNVS_QUEUE_COLUMNS; i++)
		pnvs_row_add_value(&result, row->values[i], row->nulls[i]);
	return pnvs_row_finish(&result);
}
