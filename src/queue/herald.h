/*-------------------------------------------------------------------------
 *
 * herald.h
 *	  Telling others that rows were settled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HERALD_H
#define PNVS_HERALD_H

#include "queue/sender.h"
#include "queue/verdict.h"

extern void pnvs_herald_announce(PnvsTransact transact, const PnvsVerdict *verdicts,
								 int nverdicts);

#endif							/* PNVS_HERALD_H */
