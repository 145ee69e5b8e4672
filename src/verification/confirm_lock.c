/*-------------------------------------------------------------------------
 *
 * confirm_lock.c
 *	  The lock that lets one session at a time confirm a verification.
 *
 * It is the session's, and of a class that SQL cannot ask for: no row is locked while the
 * service is asked, and no end of a transaction or subtransaction releases it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/rows/lock_class.h"
#include "verification/rows.h"

/* A person waits; whoever is told to wait can ask again. */
#define MAX_WAIT_US INT64CONST(1000000)

/* How often it is looked whether the other session is ready. */
#define POLL_MS 10

static void wait_a_moment(void);
static void make_tag(LOCKTAG *tag, uint64 key);

/*
 * Takes the lock, and says whether it was waited for; false if another session keeps it.  To
 * be called with interrupts held, which are served while it waits.
 */
bool
pnvs_confirm_lock(uint64 key, bool *waited)
{
	int64		end_us = pnvs_monotonic_us() + MAX_WAIT_US;
	LOCKTAG		tag;

	make_tag(&tag, key);
	*waited = false;
	while (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		*waited = true;
		if (pnvs_monotonic_us() >= end_us)
			return false;
		RESUME_INTERRUPTS();
		wait_a_moment();
		HOLD_INTERRUPTS();
	}
	return true;
}

void
pnvs_confirm_unlock(uint64 key)
{
	LOCKTAG		tag;

	make_tag(&tag, key);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/*
 * Waits until a verification is a second old; false if it was already.  A message has been
 * sent by then, as a rule.  Before that, answers would tell a decoy from others.
 */
bool
pnvs_confirm_wait_for_message(const PnvsVerification *row)
{
	int64		end_us = pnvs_monotonic_us() + row->begun_at + MAX_WAIT_US - GetCurrentTimestamp();
	int64		latest_us = pnvs_monotonic_us() + MAX_WAIT_US;

	if (end_us <= pnvs_monotonic_us())
		return false;
	while (pnvs_monotonic_us() < Min(end_us, latest_us))
		wait_a_moment();
	return true;
}

static void
wait_a_moment(void)
{
	static uint32 wait_event = 0;

	pnvs_name_wait_event(&wait_event, "PnvsConfirm");
	pnvs_wait_latch(POLL_MS, wait_event);
	CHECK_FOR_INTERRUPTS();
}

static void
make_tag(LOCKTAG *tag, uint64 key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key,
						 PNVS_LOCK_CONFIRM);
}
