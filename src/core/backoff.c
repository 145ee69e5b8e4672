/*-------------------------------------------------------------------------
 *
 * backoff.c
 *	  Computes how long to wait before the next attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "core/backoff.h"

/* The pause after so many earlier failures: the first, doubled for each, up to the longest. */
int64_t
pnvs_backoff_doubled_ms(int failures, int64_t first_ms, int64_t longest_ms)
{
	int64_t		pause_ms = first_ms;

	for (int i = 0; i < failures && pause_ms < longest_ms; i++)
		pause_ms *= 2;
	return pause_ms < longest_ms ? pause_ms : longest_ms;
}

/*
 * Exponential backoff with full jitter: a random time up to a bound that doubles with
 * every attempt, so that attempts that failed together are not repeated together.
 *
 * attempts is the number of attempts that failed, from 1.  random is any number, evenly
 * distributed.  at_least_ms is the time that the service asked for, to which the jitter
 * is added, or a negative number.
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
