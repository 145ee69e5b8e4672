/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Which prepared transactions have queued, or taken back, something.
 *
 * COMMIT PREPARED and ROLLBACK PREPARED can come from any session, which knows
 * nothing of the rows, long after a restart or a failover.  So a transaction takes
 * a lock of its name before it is prepared: PostgreSQL keeps the locks of prepared
 * transactions wherever it keeps those, for as long as they are there.  Whoever
 * ends one looks whether its name is locked.  A name that hashes to the same costs
 * a look at the queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "queue/registry/prepared.h"
#include "queue/rows/lock_class.h"

/* What PREPARE TRANSACTION has said last; the transaction ends after it. */
static LOCKTAG noted;
static bool is_noted = false;

static void set_tag(LOCKTAG *tag, const char *gid);

/* This session's transaction is about to be prepared under a name. */
void
pnvs_prepared_note_name(const char *gid)
{
	set_tag(&noted, gid);
	is_noted = true;
}

/*
 * The transaction that is being prepared has to do with the queue.  To be called
 * while it can still take locks.  If no name was noted, whoever ends it
 * will not know, and the next scan of the queue finds what it did.
 */
void
pnvs_prepared_remember(void)
{
	if (is_noted)
		(void) LockAcquire(&noted, ShareLock, false, false);
	is_noted = false;
}

/* Whether a prepared transaction has to do with the queue; to be asked before it ends. */
bool
pnvs_prepared_is_remembered(const char *gid)
{
	LOCKTAG		tag;

	set_tag(&tag, gid);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, false);
	return false;
}

static void
set_tag(LOCKTAG *tag, const char *gid)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) gid, (int) strlen(gid), 0);

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 PNVS_LOCK_PREPARED);
}
