/*-------------------------------------------------------------------------
 *
 * log_limit.h
 *	  Limits how often the log repeats itself: once an interval for each cause, with
 *	  the number of cases since.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOG_LIMIT_H
#define PNVS_LOG_LIMIT_H

#include <stdint.h>

/*
 * So many causes at a time are told apart; one more takes the place of the oldest.  Of the
 * guard each rule is a cause.
 */
#define PNVS_LOG_LIMIT_CAUSES 64

/* Longer causes count as equal if they begin alike. */
#define PNVS_LOG_LIMIT_CAUSE_SIZE 64

/* How often a trouble is logged as a rule. */
#define PNVS_LOG_LIMIT_INTERVAL_US (60 * INT64_C(1000000))

/* All 0 at first.  Times in us, of any one clock. */
typedef struct PnvsLogLimit
{
	struct
	{
		char		cause[PNVS_LOG_LIMIT_CAUSE_SIZE];
		int64_t		count;		/* cases that were not logged */
		int64_t		next_us;	/* when it may be logged again */
	}			causes[PNVS_LOG_LIMIT_CAUSES];
} PnvsLogLimit;

extern int64_t pnvs_log_limit_count(PnvsLogLimit *limit, const char *cause,
									int64_t now_us, int64_t interval_us);
extern int64_t pnvs_log_limit_next_us(const PnvsLogLimit *limit, const char *cause);

#endif							/* PNVS_LOG_LIMIT_H */
