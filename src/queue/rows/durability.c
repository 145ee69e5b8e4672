/*-------------------------------------------------------------------------
 *
 * durability.c
 *	  Makes sure that a claim is flushed and replicated before its request goes out.
 *
 * If the wait for a synchronous standby is cut short, by a cancel for example, PostgreSQL
 * gives a warning and runs the next statement.  No function tells whether the commit is
 * replicated, and the standbys' positions in shared memory are internal: a minor release
 * has moved them.  But the wait itself looks at them, and returns at once if there is
 * nothing to wait for.  So the wait is begun once more, with a cancel pending from the
 * start.  If the cancel is still pending afterwards, there was nothing to wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "queue/rows/durability.h"
#include "remote/signal_mask.h"

/* The transaction under way needs a durable commit. */
static bool demanded = false;

/* Whether the last such commit is durable. */
static bool reached = true;

static void on_transaction_end(XactEvent event, void *arg);
static bool need_not_wait(void);
static void say_nothing(ErrorData *error);

/*
 * Makes the commit of this transaction wait until it is flushed, here and on
 * synchronous standbys, whatever is set.
 */
void
pnvs_durability_demand(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_transaction_end, NULL);
	registered = true;
	demanded = true;
	if (synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

/* Whether the last commit that was to be durable is. */
bool
pnvs_durability_is_reached(void)
{
	return reached;
}

/* Registered once for the life of the process.  The settings are still the transaction's. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && demanded)
		reached = need_not_wait();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		demanded = false;
}

/*
 * Whether a wait for standbys would be over at once.  A cancel that comes meanwhile
 * is served afterwards.  A process that is to end sends nothing more.
 */
static bool
need_not_wait(void)
{
	const bool	was_canceled = QueryCancelPending;
	CommandDest destination = whereToSendOutput;
	emit_log_hook_type log_hook = emit_log_hook;
	sigset_t	saved_signals;
	bool		is_over;

	if (ProcDiePending)
		return false;
	pnvs_signal_mask_block(&saved_signals);
	whereToSendOutput = DestNone;
	emit_log_hook = say_nothing;
	QueryCancelPending = true;
	SyncRepWaitForLSN(XactLastCommitEnd, true);
	is_over = QueryCancelPending;
	QueryCancelPending = was_canceled;
	emit_log_hook = log_hook;
	whereToSendOutput = destination;
	pnvs_signal_mask_restore(&saved_signals);
	return is_over;
}

/* An emit_log_hook: PostgreSQL has already logged that its wait was cut short. */
static void
say_nothing(ErrorData *error)
{
	error->output_to_server = false;
}
