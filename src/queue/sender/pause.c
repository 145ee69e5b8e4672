/*-------------------------------------------------------------------------
 *
 * pause.c
 *	  How a sender goes on after a failure: after a pause.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "queue/sender/pause.h"

/* Until somebody else's lock on the table is gone. */
#define LOCKED_RETRY_MS 20

/* Pauses after failures, each twice the last. */
#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS 10000

/* Notes a failure, and pauses: the longer, the more of them came in a row. */
void
pnvs_pause_begin(PnvsPause *pause)
{
	int64		pause_ms = FIRST_PAUSE_MS;

	for (int i = 0; i < pause->failures && pause_ms < LONGEST_PAUSE_MS; i++)
		pause_ms *= 2;
	pause->failures++;
	pause->paused_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  Min(pause_ms, LONGEST_PAUSE_MS));
}

/* An exchange was committed: no reason for longer pauses. */
void
pnvs_pause_forget_failures(PnvsPause *pause)
{
	pause->failures = 0;
}

/* What it was for may be so still: then the next failure pauses again. */
void
pnvs_pause_end(PnvsPause *pause)
{
	pause->paused_until = 0;
}

void
pnvs_pause_for_lock(PnvsPause *pause)
{
	pause->paused_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  LOCKED_RETRY_MS);
}
