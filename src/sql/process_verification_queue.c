/*-------------------------------------------------------------------------
 *
 * process_verification_queue.c
 *	  process_verification_queue(): sends the messages that are due from this session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"

#include "errcodes.h"
#include "guard/guard.h"
#include "queue/process/process.h"
#include "queue/rows/statements.h"
#include "settings.h"
#include "sql/sql.h"

/* More than that in one call is a worker's business. */
#define MAX_REQUESTS 1000000

PG_FUNCTION_INFO_V1(pnvs_process_verification_queue);

static void require_sending(void);
static void require_table(void);
static void require_nonatomic(FunctionCallInfo fcinfo);

Datum
pnvs_process_verification_queue(PG_FUNCTION_ARGS)
{
	int			max_requests = pnvs_argument_count(fcinfo, 0, "max_requests", MAX_REQUESTS);

	require_nonatomic(fcinfo);
	pnvs_settings_use_server_values(true);
	PG_TRY();
	{
		pnvs_settings_refuse_if_invalid();
		require_sending();
		require_table();
		pnvs_call_process(max_requests);
	}
	PG_FINALLY();
	{
		pnvs_settings_use_server_values(false);
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

static void
require_sending(void)
{
	static const PnvsRefusal off = {.reason = PNVS_REFUSED_OFF,.retry_after_s = -1};

	if (!pnvs_sending)
		pnvs_guard_throw(&off);
}

/* Says at once that the table is not as it was made; one that is locked is looked at later. */
static void
require_table(void)
{
	Oid			table = pnvs_table_oid(&pnvs_queue_table);

	if (OidIsValid(table) && ConditionalLockRelationOid(table, AccessShareLock))
		pnvs_table_check(&pnvs_queue_table, table);
}

/* A transaction that somebody else has begun must not be committed here. */
static void
require_nonatomic(FunctionCallInfo fcinfo)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("process_verification_queue() cannot run inside a transaction block or a function"),
			 errhint("Make CALL process_verification_queue() the only statement."),
			 pnvs_errhide()));
}
