/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Gives places back when the transaction or subtransaction ends that has taken them, or
 *	  when that commits which settles their message.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_TRANSACTION_H
#define PNVS_GUARD_TRANSACTION_H

#include "guard/guard.h"

extern void pnvs_guard_reserve_entry(void);

#endif							/* PNVS_GUARD_TRANSACTION_H */
