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

extern void pnvs_failure_throw_if_unjudged(const PnvsOperation *operation,
										   const PnvsAnswer *answer);
extern void pnvs_failure_throw_if_refused(const PnvsOperation *operation,
										  const PnvsAnswer *answer);
pg_noreturn extern void pnvs_failure_throw_unreadable(const char *what);

#endif							/* PNVS_FAILURE_H */
