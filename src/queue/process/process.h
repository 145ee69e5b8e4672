/*-------------------------------------------------------------------------
 *
 * process.h
 *	  The processes that run a sender: the worker of a database, which the launcher
 *	  starts, and a session in CALL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PROCESS_H
#define PNVS_PROCESS_H

#include "postmaster/bgworker.h"

/* call.c */
extern void pnvs_call_process(int64 max_requests);

/* launcher.c */
extern void pnvs_launcher_register(void);
extern PGDLLEXPORT void pnvs_launcher_main(Datum arg);

/* utility.c */
extern void pnvs_utility_init(void);

/* worker.c */
extern bool pnvs_worker_start(Oid database, BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void pnvs_worker_main(Datum arg);

/* worker_process.c */
extern void pnvs_worker_describe(BackgroundWorker *worker, const char *type,
								 const char *function);
extern void pnvs_worker_handle_signals(void);
extern void pnvs_worker_prepare(void);
extern void pnvs_worker_expect_connections(void);
extern ErrorData *pnvs_worker_transact(void (*work) (void *arg), void *arg);
extern void pnvs_worker_report_stats(bool force);
extern int64 pnvs_worker_stats_due_us(void);

#endif							/* PNVS_PROCESS_H */
