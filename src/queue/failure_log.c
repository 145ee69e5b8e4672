/*-------------------------------------------------------------------------
 *
 * failure_log.c
 *	  What a sender says of a transaction that failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errcodes.h"
#include "queue/failure_log.h"
#include "remote/credentials.h"

/*
 * Logs the reason, and frees it.  What goes with an error of PostgreSQL's is left
 * out: its detail quotes the row, with the number in it.
 */
void
pnvs_failure_log(ErrorData *error)
{
	pnvs_credentials_hide(error->message);
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("pnvs could not write to its queue: %s", error->message),
			 errhint("It is tried again, row by row."),
			 pnvs_errhide()));
	FreeErrorData(error);
}
