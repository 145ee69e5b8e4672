/*-------------------------------------------------------------------------
 *
 * backoff.c
 *	  How long to wait before another attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "core/backoff.h"

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
	int64_t		bound_ms = PNVS_BACKOFF_BASE_MS;
	int64_t		wait_ms;

	for (int i = 1; i < attempts && bound_ms < PNVS_BACKOFF_MAX_MS; i++)
		bound_ms *= 2;
	if (bound_ms > PNVS_BACKOFF_MAX_MS)
		bound_ms = PNVS_BACKOFF_MAX_MS;
	wait_ms = (int64_t) (((uint64_t) bound_ms * random) >> 32);
	if (wait_ms < PNVS_BACKOFF_MIN_MS)
		wait_ms = PNVS_BACKOFF_MIN_MS;
	return at_least_ms > 0 ? at_least_ms + wait_ms : wait_ms;
}
