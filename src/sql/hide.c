/*-------------------------------------------------------------------------
 *
 * hide.c
 *	  Keeps the statement out of the log also if an error is PostgreSQL's own.
 *
 * A lock time-out, a deadlock, a cancel or a serialization failure comes without
 * pnvs_errhide(), and the statement has a number, a key, a code, or a verification's ID.  For
 * the log, a deadlock's DETAIL has the statements of all the sessions that waited.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errcodes.h"
#include "sql/sql.h"

static void hide(void *arg);

/* Calls a function. */
Datum
pnvs_hide_call(PGFunction function, FunctionCallInfo fcinfo)
{
	ErrorContextCallback hiding = {error_context_stack, hide, NULL};
	Datum		result;

	error_context_stack = &hiding;
	result = function(fcinfo);
	error_context_stack = hiding.previous;
	return result;
}

/* An ErrorContextCallback. */
static void
hide(void *arg)
{
	(void) pnvs_errhide();
	if (geterrcode() == ERRCODE_T_R_DEADLOCK_DETECTED)
		errdetail_log("The statements of the sessions that waited for each other are not shown.");
}
