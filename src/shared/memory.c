/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  Shared memory: each module describes its piece, and gets it at server start.
 *
 * PostgreSQL gives shared memory only to libraries in shared_preload_libraries, and
 * asks for its size and for its contents by two hooks.  These are set here, once for
 * all modules.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shared/memory.h"

/* More than the number of modules. */
#define MAX_PARTS 8

static const PnvsSharedPart *parts[MAX_PARTS];
static int	nparts = 0;

static shmem_request_hook_type next_request = NULL;
static shmem_startup_hook_type next_startup = NULL;

static void request(void);
static void startup(void);

/* Adds a module's piece; to be called while shared_preload_libraries are loaded. */
void
pnvs_shared_memory_add(const PnvsSharedPart *part)
{
	if (nparts == 0)
	{
		next_request = shmem_request_hook;
		shmem_request_hook = request;
		next_startup = shmem_startup_hook;
		shmem_startup_hook = startup;
	}
	if (nparts == MAX_PARTS)
		elog(ERROR, "too many pieces of shared memory");
	parts[nparts++] = part;
}

/* When the server ends: false if a process has died while it held a lock of any piece. */
bool
pnvs_shared_memory_is_free(void)
{
	for (int i = 0; i < nparts; i++)
	{
		int			nlocks = parts[i]->nlocks != NULL ? parts[i]->nlocks() : 0;

		for (int j = 0; j < nlocks; j++)
		{
			LWLock	   *lock = &(*parts[i]->locks)[j].lock;

			if (!LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
				return false;
			LWLockRelease(lock);
		}
	}
	return true;
}

/* A shmem_request_hook. */
static void
request(void)
{
	if (next_request)
		next_request();
	for (int i = 0; i < nparts; i++)
	{
		RequestAddinShmemSpace(MAXALIGN(parts[i]->size()));
		if (parts[i]->nlocks != NULL)
			RequestNamedLWLockTranche(parts[i]->name, parts[i]->nlocks());
	}
}

/* A shmem_startup_hook. */
static void
startup(void)
{
	if (next_startup)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < nparts; i++)
	{
		bool		found;

		if (parts[i]->nlocks != NULL)
			*parts[i]->locks = GetNamedLWLockTranche(parts[i]->name);
		*parts[i]->memory = ShmemInitStruct(parts[i]->name, parts[i]->size(), &found);
		if (!found)
		{
			memset(*parts[i]->memory, 0, parts[i]->size());
			if (parts[i]->init != NULL)
				parts[i]->init();
		}
	}
	LWLockRelease(AddinShmemInitLock);
}
