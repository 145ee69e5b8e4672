/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  Computes how long to wait before the next attempt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BACKOFF_H
#define PNVS_BACKOFF_H

#include <stdint.h>

/* The upper bounds of the first wait, and of every wait. */
#define PNVS_BACKOFF_BASE_MS 1000
#define PNVS_BACKOFF_MAX_MS 60000

/* A shorter wait would meet the condition that made the last attempt fail. */
#define PNVS_BACKOFF_MIN_MS 50

extern int64_t pnvs_backoff_doubled_ms(int failures, int64_t first_ms, int64_t longest_ms);
extern int64_t pnvs_backoff_ms(int attempts, uint32_t random, int64_t at_least_ms);

#endif							/* PNVS_BACKOFF_H */
