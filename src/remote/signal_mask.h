/*-------------------------------------------------------------------------
 *
 * signal_mask.h
 *	  Blocks signals while a library may start a thread.
 *
 * A thread begins with its creator's mask, so a thread that is started while all
 * signals are blocked never runs a handler of PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SIGNAL_MASK_H
#define PNVS_SIGNAL_MASK_H

#include <signal.h>

/* Blocks every signal; *saved is for pnvs_signal_mask_restore(). */
static inline void
pnvs_signal_mask_block(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

static inline void
pnvs_signal_mask_restore(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

#endif							/* PNVS_SIGNAL_MASK_H */
