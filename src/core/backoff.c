/*-------------------------------------------------------------------------
 *
 * backoff.c
 *	  How long to wait before another attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "core/backoff.h"

/* The first pause, doubled for each failure before the last, up to the longest. */
int64_t
pnvs_backoff_doubled_ms(int failures, int64_t first_ms, int64_t longest_ms)
{
	int64_t		pause_ms = first_ms;

	for (int i = 0; i < failures && pause_ms < longest_ms; i++)
		pause_ms *= 2;
	return pause_ms < longest_ms ? pause_ms : longest_ms;
}

/*
 * Exponential backoff with full jitter: a random time up to a bound that
 * doubles with every attempt, so that those who failed together do not come
 * back together.
 *
 * attempts is how many have failed, from 1; random is any number, evenly
 * distributed.  at_least_ms is what the service asked for, or a negative number:
 * the jitter then comes on top of it.
 *
 * Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
int64_t
pnvs_backoff_ms(int attempts, uint32_t random, int64_t at_least_ms)
{
	int64_t		bound_ms = pnvs_backoff_doubled_ms(attempts - 1, PNVS_BACKOFF_BASE_MS, PNVS_BACKOFF_MAX_MS);
	int64_t		wait_ms = (int64_t) (((uint64_t) bound_ms * random) >> 32);

	if (wait_ms < PNVS_BACKOFF_MIN_MS)
		wait_ms = PNVS_BACKOFF_MIN_MS;
	return at_least_ms > 0 ? at_least_ms + wait_ms : wait_ms;
}
