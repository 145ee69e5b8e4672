/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  Notices that somebody has set the wall clock back.
 *
 * The queue's times are those of the wall clock, for they stand in rows, too.
 * Where it is set back, a pause of milliseconds would last as long as the step, so
 * those who remember times ask here at each turn, and begin anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "queue/sender/clock.h"

/* NTP corrects less than that bit by bit, and nobody notices a pause of so long. */
#define SMALLEST_STEP_US USECS_PER_SEC

/*
 * Whether the clock was set back since the last call.  *ahead_us is the caller's, 0 at
 * first: how far the wall clock is ahead of one that nobody sets.
 */
bool
pnvs_clock_was_set_back(int64 *ahead_us)
{
	const int64 was_us = *ahead_us;
	instr_time	steady;

	INSTR_TIME_SET_CURRENT(steady);
	*ahead_us = GetCurrentTimestamp() - (int64) INSTR_TIME_GET_MICROSEC(steady);
	return was_us - *ahead_us > SMALLEST_STEP_US;
}
