/*-------------------------------------------------------------------------
 *
 * caution.c
 *	  How a sender goes on after a failure: row by row, and after a pause.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "queue/caution.h"

/* Until somebody else's lock on the table is gone. */
#define LOCKED_RETRY_MS 20

/* Pauses after failures, each twice the last. */
#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS 10000

/* Rows that cannot be claimed or settled get another chance after this. */
#define PASSED_OVER_MS 30000

/* They get it together: each time that some fail costs the others two pauses. */
#define PASSED_OVER_STEP_MS 5000

/* From now on, until the next one begins, failures count as one. */
void
pnvs_caution_begin_round(PnvsCaution *caution)
{
	caution->round_failed = false;
}

/* Notes a failure, and pauses: the longer, the more of them came in a row. */
void
pnvs_caution_pause(PnvsCaution *caution)
{
	if (!caution->round_failed)
	{
		caution->pause_ms = FIRST_PAUSE_MS;
		for (int i = 0; i < caution->failures && caution->pause_ms < LONGEST_PAUSE_MS; i++)
			caution->pause_ms *= 2;
		caution->pause_ms = Min(caution->pause_ms, LONGEST_PAUSE_MS);
		caution->failures++;
		caution->round_failed = true;
	}
	caution->paused_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														caution->pause_ms);
}

/* Something was written, or what failed did so alone: no reason for longer pauses. */
void
pnvs_caution_forget_failures(PnvsCaution *caution)
{
	caution->failures = 0;
}

/* What it was for may be so still: then the next failure pauses again. */
void
pnvs_caution_end_pause(PnvsCaution *caution)
{
	caution->paused_until = 0;
}

void
pnvs_caution_wait_for_lock(PnvsCaution *caution)
{
	caution->paused_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														LOCKED_RETRY_MS);
}

/*
 * When a row that has failed gets another chance.  Where no other could have been
 * written either that is soon, but not before some of the others were tried: it
 * may be the row, after all.
 */
TimestampTz
pnvs_caution_retry_at(const PnvsCaution *caution, bool nothing_commits)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until;

	if (nothing_commits)
		return TimestampTzPlusMilliseconds(now, 3 * caution->pause_ms);
	until = TimestampTzPlusMilliseconds(now, PASSED_OVER_MS + PASSED_OVER_STEP_MS);
	return until - until % (PASSED_OVER_STEP_MS * INT64CONST(1000));
}
