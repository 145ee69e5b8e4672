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

#include <time.h>

#include "utils/timestamp.h"

/* The time that never comes. */
#define PNVS_NEVER PG_INT64_MAX

/* Microseconds since the system's start, by the clock of timerfd and libcurl. */
static inline int64
pnvs_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How long it is until a time of the wall clock, in us: 0 if it is past, or PNVS_NEVER. */
static inline int64
pnvs_us_until(TimestampTz time)
{
	TimestampTz now = GetCurrentTimestamp();

	return time == DT_NOEND ? PNVS_NEVER : time <= now ? 0 : time - now;
}

#endif							/* PNVS_MONOTONIC_H */
