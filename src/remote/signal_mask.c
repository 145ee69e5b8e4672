/*-------------------------------------------------------------------------
 *
 * signal_mask.c
 *	  Signals, blocked while a thread of somebody else's is started.
 *
 * A thread begins with its creator's mask, so one that is started while all
 * signals are blocked never runs a handler of PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "remote/signal_mask.h"

/* Blocks every signal; *saved is for the other function. */
void
pnvs_signal_mask_block(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

void
pnvs_signal_mask_restore(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}
