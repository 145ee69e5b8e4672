/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Remembers which prepared transactions have queued or canceled messages.
 *
 * COMMIT PREPARED and ROLLBACK PREPARED can come from a session that knows nothing of the
 * rows, long after a restart or a failover.  So a transaction locks its name before it is
 * prepared: PostgreSQL keeps the locks of a prepared transaction as long as it keeps the
 * transaction.  The session that ends the transaction looks whether its name is locked.
 * If two names have the same hash, the worker looks at the queue for nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "queue/registry/registry.h"
#include "queue/rows/lock_class.h"

/* The name in the last PREPARE TRANSACTION. */
static LOCKTAG noted;
static bool is_noted = false;

static void set_tag(LOCKTAG *tag, const char *gid);

/* Notes the name under which this session's transaction is about to be prepared. */
void
pnvs_prepared_note_name(const char *gid)
{
	set_tag(&noted, gid);
	is_noted = true;
}

/*
 * Remembers that the transaction that is being prepared has queued or canceled messages.  To
 * be called while it can still take locks.  If its name was not noted, its end wakes no
 * worker, and the next scan finds its rows.
 */
void
pnvs_prepared_remember(void)
{
	if (is_noted)
		(void) LockAcquire(&noted, ShareLock, false, false);
	is_noted = false;
}

/* Whether a prepared transaction is remembered; to be called before it ends. */
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
