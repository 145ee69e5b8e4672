/*-------------------------------------------------------------------------
 *
 * monotonic.h
 *	  A clock that nobody sets, for pauses and time-outs inside a process.
 *
 * Times that stand in rows are those of the wall clock: GetCurrentTimestamp().
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MONOTONIC_H
#define PNVS_MONOTONIC_H

#include "portability/instr_time.h"

/* The time that never comes. */
#define PNVS_NEVER PG_INT64_MAX

/* Microseconds since some time before the process began. */
static inline int64
pnvs_monotonic_us(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

#endif							/* PNVS_MONOTONIC_H */
