/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Raises PostgreSQL errors for calls of the service that failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FAILURE_H
#define PNVS_FAILURE_H

#include "compat.h"
#include "remote/client.h"

typedef struct PnvsCallState
{
	const PnvsOperation *operation;
	PnvsAnswer	answer;
} PnvsCallState;

extern void pnvs_failure_throw_if_unjudged(const PnvsCallState *call);
extern void pnvs_failure_throw_if_refused(const PnvsCallState *call);
pg_noreturn extern void pnvs_failure_throw_unreadable(const char *what);
extern void pnvs_failure_out_of_memory(void *call);

#endif							/* PNVS_FAILURE_H */
