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
#include "utils/timestamp.h"

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

/* How long it is until a time of the wall clock, in us: 0 if it is past, or PNVS_NEVER. */
static inline int64
pnvs_us_until(TimestampTz time)
{
	TimestampTz now = GetCurrentTimestamp();

	return time == DT_NOEND ? PNVS_NEVER : time <= now ? 0 : time - now;
}

#endif							/* PNVS_MONOTONIC_H */
