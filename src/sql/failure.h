/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Calls that did not succeed, as PostgreSQL errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FAILURE_H
#define PNVS_FAILURE_H

#include "compat.h"
#include "remote/client.h"

/* A call that is to be told of where memory runs out after it. */
typedef struct PnvsWatch
{
	const PnvsOperation *operation;
	PnvsAnswer *answer;
	ErrorContextCallback context;
} PnvsWatch;

extern void pnvs_failure_watch(PnvsWatch *watch, const PnvsOperation *operation,
							   PnvsAnswer *answer);
extern void pnvs_failure_unwatch(const PnvsWatch *watch);
extern void pnvs_failure_throw_if_unjudged(const PnvsOperation *operation,
										   const PnvsAnswer *answer);
extern void pnvs_failure_throw_if_refused(const PnvsOperation *operation,
										  const PnvsAnswer *answer);
pg_noreturn extern void pnvs_failure_throw_unreadable(const char *what);

#endif							/* PNVS_FAILURE_H */
