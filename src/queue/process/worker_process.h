/*-------------------------------------------------------------------------
 *
 * worker_process.h
 *	  What a worker's process sets up for itself, and how it runs a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_WORKER_PROCESS_H
#define PNVS_WORKER_PROCESS_H

#include "queue/sender/transaction.h"

extern void pnvs_worker_handle_signals(void);
extern void pnvs_worker_prepare(void);
extern void pnvs_worker_make_room_for_connections(void);
extern PnvsCommit pnvs_worker_transact(void (*work) (void *arg), void *arg);
extern void pnvs_worker_report_stats(bool force);
extern int64 pnvs_worker_stats_due_us(void);

#endif							/* PNVS_WORKER_PROCESS_H */
