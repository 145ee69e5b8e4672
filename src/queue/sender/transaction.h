/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  How a sender runs a transaction: its caller brings the function.
 *
 * The worker and the procedure drive the same sender.  They differ in how a
 * transaction is begun and committed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TRANSACTION_H
#define PNVS_TRANSACTION_H

typedef enum PnvsCommit
{
	PNVS_COMMITTED,
	PNVS_NOT_COMMITTED
} PnvsCommit;

/*
 * Runs work in a transaction of its own and commits it.  If that fails, the
 * transaction was rolled back and the reason is in the log.
 */
typedef PnvsCommit (*PnvsTransact) (void (*work) (void *arg), void *arg);

#endif							/* PNVS_TRANSACTION_H */
