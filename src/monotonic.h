/*-------------------------------------------------------------------------
 *
 * monotonic.h
 *	  A clock that nobody sets, and waits by it, for pauses and time-outs inside a process.
 *
 * Times that stand in rows are those of the wall clock: GetCurrentTimestamp().
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MONOTONIC_H
#define PNVS_MONOTONIC_H

#include <time.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

/* The time that never comes. */
#define PNVS_NEVER PG_INT64_MAX

/*
 * Microseconds since the system's start, by the clock of timerfd and libcurl.  Not
 * PostgreSQL's instr_time: since 19 its source can change by a reload.
 */
static inline int64
pnvs_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Nobody waits as long as this for a lock on shared memory. */
#define PNVS_LONGEST_WAIT_US (INT64CONST(10) * USECS_PER_SEC)

/*
 * The wall clock's time to judge shared memory by, within its lock: not before the latest
 * by which it was judged.  A session reads the clock before it waits for the lock, and what
 * another one has forgotten meanwhile counts for times before.  If the difference is larger,
 * the clock was set back.
 */
static inline TimestampTz
pnvs_time_after(TimestampTz latest, TimestampTz now)
{
	return latest - now < PNVS_LONGEST_WAIT_US ? Max(latest, now) : now;
}

/* How long it is until a time of the wall clock, in us: 0 if it is past, or PNVS_NEVER. */
static inline int64
pnvs_us_until(TimestampTz time)
{
	TimestampTz now = GetCurrentTimestamp();

	return time == DT_NOEND ? PNVS_NEVER : time <= now ? 0 : time - now;
}

/* In ms, rounded up.  A day at the most: a longer wait does not fit everywhere. */
static inline long
pnvs_wait_ms(int64 wait_us)
{
	return (long) ((Min(Max(wait_us, 0), USECS_PER_DAY) + 999) / 1000);
}

/* Waits until the process's latch is set, which it resets, or for wait_ms. */
static inline void
pnvs_wait_latch(long wait_ms, uint32 wait_event)
{
	if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
				  wait_event) & WL_LATCH_SET)
		ResetLatch(MyLatch);
}

#endif							/* PNVS_MONOTONIC_H */
