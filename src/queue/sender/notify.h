/*-------------------------------------------------------------------------
 *
 * notify.h
 *	  Telling others that rows were settled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_NOTIFY_H
#define PNVS_NOTIFY_H

#include "queue/rows/verdict.h"
#include "queue/sender/transaction.h"

extern void pnvs_notify_announce(PnvsTransact transact, const PnvsVerdict *verdicts,
								 int nverdicts);

#endif							/* PNVS_NOTIFY_H */
