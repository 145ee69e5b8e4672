/*-------------------------------------------------------------------------
 *
 * gaps.c
 *	  Which admissions shared memory does not remember.
 *
 * Places that a crash has made the server forget must not be given back later: of places
 * that were merged, that would take one of another message.  The same holds for what was
 * admitted before the memory was made, or by the server whose copy this is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "utils/timestamp.h"

#include "guard/shares.h"

/* To be called when memory was made that is empty. */
void
pnvs_gaps_begin(void)
{
	pnvs_guard_head->ngaps = 0;
	pnvs_gaps_add(DT_NOBEGIN);
}

/*
 * Forgets what was admitted from a time until now.  A server that is a standby, or recovers
 * from an archive, admits messages of the queue only after its promotion: until then it gets
 * rows that another server has admitted.  Only the last gap can have no end yet.
 */
void
pnvs_gaps_add(TimestampTz from)
{
	PnvsGuardHead *head = pnvs_guard_head;
	TimestampTz to = pnvs_guard_starts_as_standby() ? DT_NOEND : GetCurrentTimestamp();

	/* a standby was restarted, or was promoted and has admitted nothing since */
	if (head->ngaps > 0 && head->gaps[head->ngaps - 1].to == DT_NOEND)
	{
		head->gaps[head->ngaps - 1].to = to;
		return;
	}
	if (head->ngaps == PNVS_GUARD_GAPS)
	{
		/* the oldest two become one */
		head->gaps[0].to = head->gaps[1].to;
		head->ngaps--;
		memmove(&head->gaps[1], &head->gaps[2], (head->ngaps - 1) * sizeof(PnvsGuardGap));
	}
	head->gaps[head->ngaps].from = from;
	head->gaps[head->ngaps].to = to;
	head->ngaps++;
}

/* Whether the server starts as a standby, or recovers from an archive. */
bool
pnvs_guard_starts_as_standby(void)
{
	return access(STANDBY_SIGNAL_FILE, F_OK) == 0 || access(RECOVERY_SIGNAL_FILE, F_OK) == 0;
}

/* To be called before places are taken: the last gap ends with the promotion. */
void
pnvs_gaps_note_promotion(TimestampTz now)
{
	PnvsGuardGap *last = &pnvs_guard_head->gaps[pnvs_guard_head->ngaps - 1];

	if (last->to != DT_NOEND || RecoveryInProgress())
		return;
	LWLockAcquire(pnvs_counters_lock(), LW_EXCLUSIVE);
	if (last->to == DT_NOEND)
		last->to = now;
	LWLockRelease(pnvs_counters_lock());
}

/*
 * Whether a share remembers an admission of that time.  What this process has admitted
 * itself is in no gap, for it would not have survived a crash.
 */
bool
pnvs_remembers(PnvsShareId share, TimestampTz taken_at, bool by_this_process)
{
	const PnvsGuardHead *head = pnvs_guard_head;

	if (taken_at <= head->forgotten_at[share])
		return false;
	for (int i = 0; !by_this_process && i < head->ngaps; i++)
	{
		if (taken_at >= head->gaps[i].from && taken_at < head->gaps[i].to)
			return false;
	}
	return true;
}
