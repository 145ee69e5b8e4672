/*-------------------------------------------------------------------------
 *
 * roster_memory.c
 *	  Where the roster stands: its piece of shared memory, and the slots in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "queue/roster_memory.h"
#include "settings.h"

#define TRANCHE "pnvs"

PnvsRoster *pnvs_roster = NULL;
LWLock	   *pnvs_roster_lock;

/* The slot of this process's database, once it is known. */
static PnvsRosterSlot *kept_slot = NULL;

static shmem_request_hook_type next_request = NULL;
static shmem_startup_hook_type next_startup = NULL;

static void request(void);
static Size shmem_size(void);
static void startup(void);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_roster_init(void)
{
	next_request = shmem_request_hook;
	shmem_request_hook = request;
	next_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

static void
request(void)
{
	if (next_request)
		next_request();
	RequestAddinShmemSpace(MAXALIGN(shmem_size()));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static Size
shmem_size(void)
{
	return offsetof(PnvsRoster, slots) + pnvs_max_databases * sizeof(PnvsRosterSlot);
}

static void
startup(void)
{
	bool		found;

	if (next_startup)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	pnvs_roster = ShmemInitStruct("pnvs", shmem_size(), &found);
	if (!found)
	{
		memset(pnvs_roster, 0, shmem_size());
		for (int i = 0; i < PNVS_ROSTER_ROOMS; i++)
			ConditionVariableInit(&pnvs_roster->settled[i]);
	}
	LWLockRelease(AddinShmemInitLock);
	pnvs_roster_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
}

/*
 * A database's slot, or NULL; the lock is held, exclusively where one may be created.
 * Where there is none left to be created that is noted.
 */
PnvsRosterSlot *
pnvs_roster_find_slot(Oid database, bool create)
{
	PnvsRosterSlot *slot = NULL;

	for (int i = 0; i < pnvs_roster->nslots; i++)
	{
		if (pnvs_roster->slots[i].database == database)
			return &pnvs_roster->slots[i];
		if (slot == NULL && !OidIsValid(pnvs_roster->slots[i].database))
			slot = &pnvs_roster->slots[i];
	}
	if (!create)
		return NULL;
	if (slot == NULL && pnvs_roster->nslots < pnvs_max_databases)
		slot = &pnvs_roster->slots[pnvs_roster->nslots++];
	if (slot == NULL)
	{
		pnvs_roster->overflowed = true;
		return NULL;
	}
	memset(slot, 0, sizeof(*slot));
	slot->database = database;
	pg_atomic_init_u64(&slot->rung, (uint64) DT_NOEND);
	pg_atomic_init_u32(&slot->errands, 0);
	slot->due = DT_NOEND;
	slot->waits_since = DT_NOEND;
	return slot;
}

/*
 * The slot of this process's database, likewise.  It is remembered: there may be
 * hundreds, and each COMMIT that has queued something asks.
 */
PnvsRosterSlot *
pnvs_roster_own_slot(bool create)
{
	if (pnvs_roster_kept_slot() == NULL)
		kept_slot = pnvs_roster_find_slot(MyDatabaseId, create);
	return kept_slot;
}

/* That slot, where it is remembered; it can be another's the moment after, without the lock. */
PnvsRosterSlot *
pnvs_roster_kept_slot(void)
{
	return kept_slot != NULL && kept_slot->database == MyDatabaseId ? kept_slot : NULL;
}
