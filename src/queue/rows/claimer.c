/*-------------------------------------------------------------------------
 *
 * claimer.c
 *	  Who claims rows: its number, and how far it has looked.
 *
 * As long as a claimer lives it holds a lock of its number, which its claims carry.
 * A claim whose lock is free is a dead claimer's, and its row becomes unknown.  So
 * nobody needs leases, clocks or process IDs, and a crash, which frees all locks, is
 * no special case.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/rows/rows.h"
#include "queue/rows/lock_class.h"

static void set_claimer_tag(LOCKTAG *tag, int64 claimer);

/* Begins to claim, under a new number.  To be called in a transaction. */
void
pnvs_claimer_open(PnvsClaimer *claimer)
{
	LOCKTAG		tag;

	memset(claimer, 0, sizeof(*claimer));
	if (!pg_strong_random(&claimer->number, sizeof(claimer->number)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number"),
				 pnvs_errhide()));
	claimer->purged_up_to = DT_NOBEGIN;
	pnvs_claimer_rewind(claimer, DT_NOBEGIN);
	set_claimer_tag(&tag, claimer->number);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

/* Gives the claims up: what is still claimed can be recovered by others. */
void
pnvs_claimer_close(PnvsClaimer *claimer)
{
	LOCKTAG		tag;

	set_claimer_tag(&tag, claimer->number);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* Something is due from not_before on that may not have been seen. */
void
pnvs_claimer_rewind(PnvsClaimer *claimer, TimestampTz not_before)
{
	if (not_before <= claimer->seen.not_before)
	{
		claimer->seen.not_before = not_before;
		claimer->seen.id = 0;
	}
	if (claimer->seen.not_before < claimer->checked.not_before ||
		(claimer->seen.not_before == claimer->checked.not_before &&
		 claimer->seen.id < claimer->checked.id))
		claimer->checked = claimer->seen;
}

/* Whether a claimer's lock is free. */
bool
pnvs_claimer_is_dead(int64 number)
{
	LOCKTAG		tag;

	set_claimer_tag(&tag, number);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockRelease(&tag, ShareLock, false);
	return true;
}

static void
set_claimer_tag(LOCKTAG *tag, int64 claimer)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) ((uint64) claimer >> 32),
						 (uint32) claimer, PNVS_LOCK_CLAIMER);
}
