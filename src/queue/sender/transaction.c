/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Runs a sender's transactions, and logs why they fail.
 *
 * A condition that keeps rows from being written (a full disk, for example) lasts, and
 * every try meets it.  So the log gets a line a minute for each reason, and a line when
 * rows can be written again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"

#include "core/log_limit.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/sender/transaction.h"
#include "remote/credentials.h"

/* The log says that rows cannot be written, and not yet that they can be again. */
static bool told = false;

static const char *alteration(const ErrorData *error);

/*
 * Runs work in a transaction.  False if it was rolled back; then the log says why.
 * DETAIL and CONTEXT of PostgreSQL's errors are left out: they quote the row, and so the
 * number.
 */
bool
pnvs_transaction_run(PnvsTransact transact, void (*work) (void *arg), void *arg)
{
	static PnvsLogLimit limit;
	ErrorData  *error = transact(work, arg);
	int64		count;

	if (error == NULL)
		return true;
	count = pnvs_log_limit_count(&limit, unpack_sql_state(error->sqlerrcode),
								 pnvs_monotonic_us(), PNVS_LOG_LIMIT_INTERVAL_US);
	if (count > 0)
	{
		told = true;
		pnvs_credentials_hide(error->message);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pnvs could not write to its queue: %s", error->message),
				 errdetail("%sFailures since the last such line: %lld.",
						   alteration(error), (long long) count),
				 errhint("Nothing is lost meanwhile, and it is tried again until it succeeds."),
				 pnvs_errhide()));
	}
	FreeErrorData(error);
	return false;
}

/* The DETAIL of pnvs's own error about an altered table, and a space; otherwise "". */
static const char *
alteration(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_DATATYPE_MISMATCH && error->detail != NULL ?
		psprintf("%s ", error->detail) : "";
}

/* In a PG_CATCH: ends the error, and returns a copy in the context. */
ErrorData *
pnvs_transaction_take_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	return error;
}

/* A transaction has written rows: the log is told, if it says that none can be written. */
void
pnvs_transaction_note_written(void)
{
	if (told)
		ereport(LOG,
				(errmsg("pnvs can write to its queue again"),
				 pnvs_errhide()));
	told = false;
}

/*
 * Locks a table for a sender, if no other process has locked it: a statement that rewrites
 * or truncates the table does not wait for requests, and they go on while it runs.
 */
PnvsTableLock
pnvs_transaction_lock_table(PnvsTable *table)
{
	Oid			oid = pnvs_table_oid(table);

	if (!OidIsValid(oid))
		return PNVS_TABLE_MISSING;
	if (!ConditionalLockRelationOid(oid, RowExclusiveLock))
		return PNVS_TABLE_BUSY;
	/* it may have been dropped before it was locked */
	return pnvs_table_oid(table) == oid ? PNVS_TABLE_LOCKED : PNVS_TABLE_MISSING;
}
