/*-------------------------------------------------------------------------
 *
 * complaint.c
 *	  What lasts is told of once a minute.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "portability/instr_time.h"

#include "queue/sender/log_throttle.h"

/* So that a log is no longer than the trouble needs to be seen. */
#define COMPLAINT_MS 60000

/* So many causes at a time have their line a minute. */
#define CAUSES 16

/* Causes that differ later than that are told of as one. */
#define MAX_CAUSE_LEN 63

typedef struct Complaint
{
	char		cause[MAX_CAUSE_LEN + 1];
	int64		count;			/* since the last line */
	double		told_at_ms;		/* by a clock that nobody sets */
} Complaint;

/*
 * Counts a case of a cause.  How many there were since the last line, this one
 * included, if it is time for a line, which the caller writes; or 0.  Several may
 * take turns, so each is remembered; of more than there is room for, the one that
 * was told of first is forgotten.
 */
int64
pnvs_log_throttle_count(const char *cause)
{
	static Complaint complaints[CAUSES];
	Complaint  *complaint = &complaints[0];
	instr_time	now;
	double		now_ms;
	int64		count;

	INSTR_TIME_SET_CURRENT(now);
	now_ms = INSTR_TIME_GET_MILLISEC(now);
	for (int i = 0; i < CAUSES; i++)
	{
		if (strncmp(complaints[i].cause, cause, MAX_CAUSE_LEN) == 0)
		{
			complaint = &complaints[i];
			break;
		}
		if (complaints[i].told_at_ms < complaint->told_at_ms)
			complaint = &complaints[i];
	}
	if (strncmp(complaint->cause, cause, MAX_CAUSE_LEN) != 0)
	{
		memset(complaint, 0, sizeof(*complaint));
		strlcpy(complaint->cause, cause, sizeof(complaint->cause));
		complaint->told_at_ms = now_ms - COMPLAINT_MS;
	}
	count = ++complaint->count;
	if (now_ms - complaint->told_at_ms < COMPLAINT_MS)
		return 0;
	complaint->told_at_ms = now_ms;
	complaint->count = 0;
	return count;
}
