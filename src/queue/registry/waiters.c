/*-------------------------------------------------------------------------
 *
 * waiters.c
 *	  Wakes the sessions that wait until a message is settled.
 *
 * A session waits in the list that the ID of its message hashes to.  Each wait list is a
 * condition variable in shared memory, with a lock of its own.  If the library is not
 * preloaded, sessions are not woken: they look at their row at intervals.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"

#include "monotonic.h"
#include "queue/registry/registry.h"
#include "queue/rows/rows.h"
#include "shared/memory.h"

/*
 * More lists than sessions are likely to wait at a time, so that few sessions are woken for
 * another message.  A list takes 12 bytes of shared memory.
 */
#define PNVS_WAIT_LISTS 1024

static ConditionVariable *lists = NULL; /* PNVS_WAIT_LISTS */

/* The lists of the messages that this transaction has settled. */
static bool settled_lists[PNVS_WAIT_LISTS];
static bool has_settled = false;

static Size lists_size(void);
static void init_lists(void);
static void note_settled(const PnvsVerdict *verdicts, int nverdicts);
static int	list_of(int64 id);
static void on_transaction_end(XactEvent event, void *arg);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_waiters_init(void)
{
	static const PnvsSharedPart part = {
		.name = "pnvs wait lists",
		.size = lists_size,
		.init = init_lists,
		.memory = (void **) &lists
	};

	pnvs_shared_memory_add(&part);
	pnvs_settle_observe(note_settled);
	RegisterXactCallback(on_transaction_end, NULL);
}

static Size
lists_size(void)
{
	return PNVS_WAIT_LISTS * sizeof(ConditionVariable);
}

static void
init_lists(void)
{
	for (int i = 0; i < PNVS_WAIT_LISTS; i++)
		ConditionVariableInit(&lists[i]);
}

/* From this call until pnvs_waiters_end() no settle of the message is missed. */
void
pnvs_waiters_begin(int64 id)
{
	if (lists != NULL)
		ConditionVariablePrepareToSleep(&lists[list_of(id)]);
}

/*
 * Waits until the message, or another message of its list, is settled, or for wait_ms.
 * Serves interrupts.
 */
void
pnvs_waiters_wait(int64 id, long wait_ms, uint32 wait_event)
{
	if (lists != NULL)
	{
		/*
		 * the list may have been woken since the caller read the row, and
		 * another wait may have reset the latch since
		 */
		SetLatch(MyLatch);
		(void) ConditionVariableTimedSleep(&lists[list_of(id)], wait_ms, wait_event);
		return;
	}
	pnvs_wait_latch(wait_ms, wait_event);
	CHECK_FOR_INTERRUPTS();
}

void
pnvs_waiters_end(void)
{
	if (lists != NULL)
		ConditionVariableCancelSleep();
}

/*
 * An observer of settles: the COMMIT wakes the sessions that wait for these messages.  After
 * the rollback of a subtransaction it wakes some for nothing.  COMMIT PREPARED wakes none:
 * they look at their row in time.
 */
static void
note_settled(const PnvsVerdict *verdicts, int nverdicts)
{
	for (int i = 0; i < nverdicts; i++)
	{
		if (verdicts[i].settled_at == 0)
			continue;
		settled_lists[list_of(verdicts[i].id)] = true;
		has_settled = true;
	}
}

/* The list of a message of this database; each database counts its IDs from 1. */
static int
list_of(int64 id)
{
	return hash_bytes_extended((const unsigned char *) &id, sizeof(id), MyDatabaseId) %
		PNVS_WAIT_LISTS;
}

/*
 * Wakes only the lists of the settled messages: each session that is woken reads its row,
 * and waking hundreds for every settle would leave time for nothing else.  Never throws.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (!has_settled ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	for (int i = 0; event == XACT_EVENT_COMMIT && i < PNVS_WAIT_LISTS; i++)
	{
		if (settled_lists[i])
			ConditionVariableBroadcast(&lists[i]);
	}
	memset(settled_lists, 0, sizeof(settled_lists));
	has_settled = false;
}
