/*-------------------------------------------------------------------------
 *
 * signal_mask.h
 *	  Signals, blocked while a thread of somebody else's is started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SIGNAL_MASK_H
#define PNVS_SIGNAL_MASK_H

#include <signal.h>

extern void pnvs_signal_mask_block(sigset_t *saved);
extern void pnvs_signal_mask_restore(const sigset_t *saved);

#endif							/* PNVS_SIGNAL_MASK_H */
