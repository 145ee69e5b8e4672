/*-------------------------------------------------------------------------
 *
 * claimer.c
 *	  A claimer: the number that marks its claims, and how far it has looked.
 *
 * A claimer holds a lock on its number as long as it lives.  If the lock on a claim's
 * number is free, the claimer is dead, and the row becomes unknown.  So there are no
 * leases, clocks or process IDs, and a crash, which frees all locks, is no special case.
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
#include "random.h"

static void set_claimer_tag(LOCKTAG *tag, int64 claimer);

/* Makes a claimer with a new number.  To be called in a transaction. */
void
pnvs_claimer_open(PnvsClaimer *claimer)
{
	LOCKTAG		tag;

	memset(claimer, 0, sizeof(*claimer));
	pnvs_random(&claimer->number, sizeof(claimer->number));
	claimer->purged_up_to = DT_NOBEGIN;
	pnvs_claimer_rewind(claimer, DT_NOBEGIN);
	set_claimer_tag(&tag, claimer->number);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

/* Gives the claims up: others can recover the rows that are still claimed. */
void
pnvs_claimer_close(PnvsClaimer *claimer)
{
	LOCKTAG		tag;

	set_claimer_tag(&tag, claimer->number);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* Lets the claimer look again at rows that are due from not_before on. */
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
