/*-------------------------------------------------------------------------
 *
 * log_limit.c
 *	  Limits how often the log repeats itself: once an interval for each cause, with
 *	  the number of cases since.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/log_limit.h"

static int	find(const PnvsLogLimit *limit, const char *cause);

/*
 * Counts a case of a cause.  Returns how many cases there were since the last line in
 * the log, this one included, if the caller is to write another line now; or 0.
 */
int64_t
pnvs_log_limit_count(PnvsLogLimit *limit, const char *cause, int64_t now_us,
					 int64_t interval_us)
{
	int			i = find(limit, cause);
	int64_t		count;

	if (i < 0)
	{
		i = 0;
		for (int other = 1; other < PNVS_LOG_LIMIT_CAUSES; other++)
		{
			if (limit->causes[other].next_us < limit->causes[i].next_us)
				i = other;
		}
		memset(&limit->causes[i], 0, sizeof(limit->causes[i]));
		strncpy(limit->causes[i].cause, cause, PNVS_LOG_LIMIT_CAUSE_SIZE - 1);
		limit->causes[i].next_us = now_us;
	}
	count = ++limit->causes[i].count;
	if (now_us < limit->causes[i].next_us)
		return 0;
	limit->causes[i].count = 0;
	limit->causes[i].next_us = now_us + interval_us;
	return count;
}

/* When a cause may be logged again, or INT64_MIN if it never was. */
int64_t
pnvs_log_limit_next_us(const PnvsLogLimit *limit, const char *cause)
{
	int			i = find(limit, cause);

	return i < 0 ? INT64_MIN : limit->causes[i].next_us;
}

/* The index of a cause, or -1. */
static int
find(const PnvsLogLimit *limit, const char *cause)
{
	for (int i = 0; i < PNVS_LOG_LIMIT_CAUSES; i++)
	{
		if (limit->causes[i].cause[0] != '\0' &&
			strncmp(limit->causes[i].cause, cause, PNVS_LOG_LIMIT_CAUSE_SIZE - 1) == 0)
			return i;
	}
	return -1;
}
