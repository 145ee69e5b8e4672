/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker that sends what is queued in one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_WORKER_H
#define PNVS_WORKER_H

#include "postmaster/bgworker.h"

extern bool pnvs_worker_start(Oid database, BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void pnvs_worker_main(Datum arg);

#endif							/* PNVS_WORKER_H */
