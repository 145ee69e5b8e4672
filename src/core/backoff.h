/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  How long to wait before another attempt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BACKOFF_H
#define PNVS_BACKOFF_H

#include <stdint.h>

/* What the first wait is at the most, and what every wait is. */
#define PNVS_BACKOFF_BASE_MS 1000
#define PNVS_BACKOFF_MAX_MS 60000

/* Below this a repeat meets the very condition that the last try met. */
#define PNVS_BACKOFF_MIN_MS 50

extern int64_t pnvs_backoff_doubled_ms(int failures, int64_t first_ms, int64_t longest_ms);
extern int64_t pnvs_backoff_ms(int attempts, uint32_t random, int64_t at_least_ms);

#endif							/* PNVS_BACKOFF_H */
