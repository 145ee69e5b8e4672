/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  What sessions do with the queue: put in, take back, look up.
 *
 * The requester is the role that is in effect at the call.  It sees and takes
 * back its own rows alone; the table's owner, and who has the owner's rights,
 * all of them.
 *
 * A repeat of a deduplication key waits for a transaction under way that has
 * queued the same key: the key is locked until the end of the transaction.  The
 * lock is an advisory one of a class that SQL's functions cannot ask for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "core/phone_number.h"
#include "errcodes.h"
#include "queue/lock_class.h"
#include "queue/queue.h"
#include "queue/roster.h"
#include "queue/table.h"

static bool find_duplicate(const PnvsQueueRequest *request, Oid requester, int64 *id);
static int64 insert_row(const PnvsQueueRequest *request, Oid requester);
static void lock_key(Oid requester, const char *key);
static bool may_see(Oid caller, Oid requester);

/*
 * Queues a message in the transaction under way and returns its ID, or the ID
 * of the one that a deduplication key was used for before.
 */
int64
pnvs_queue_enqueue(const PnvsQueueRequest *request)
{
	Oid			requester = GetUserId();
	PnvsTableVisit visit;
	int64		id;

	/* A repeat within one statement must see the first one. */
	if (request->dedup_key != NULL)
	{
		lock_key(requester, request->dedup_key);
		if (find_duplicate(request, requester, &id))
			return id;
	}
	pnvs_table_enter(&visit);
	id = insert_row(request, requester);
	pnvs_table_leave(&visit);
	pnvs_roster_ring_at_end(request->not_before, false);
	return id;
}

/*
 * Takes a message back; true where it was still queued.  Whether it goes out is
 * settled when the transaction commits.
 */
bool
pnvs_queue_cancel(int64 id)
{
	Oid			caller = GetUserId();
	PnvsTableVisit visit;
	Datum		values[3];
	bool		canceled = false;

	values[0] = Int64GetDatum(id);
	pnvs_table_enter_pinned(&visit);
	if (pnvs_table_run(PNVS_LOCK_QUEUED, values, NULL) == 1 &&
		may_see(caller, DatumGetObjectId(pnvs_table_value(0, 2, NULL))))
	{
		char		masked[PNVS_PHONE_NUMBER_SIZE];

		/*
		 * a worker passes a locked row over, and has to be told if it comes
		 * free
		 */
		pnvs_roster_ring_at_end(DatumGetTimestampTz(pnvs_table_value(0, 3, NULL)), true);
		pnvs_phone_number_mask(pnvs_table_text(0, 1), masked);
		values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[2] = CStringGetTextDatum(masked);
		canceled = pnvs_table_run(PNVS_CANCEL, values, NULL) == 1;
	}
	pnvs_table_leave(&visit);
	return canceled;
}

/* Looks a row up as it is by now; false where the caller has none of that ID. */
bool
pnvs_queue_find(int64 id, PnvsQueueRow *row)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			caller = GetUserId();
	PnvsTableVisit visit;
	Datum		value = Int64GetDatum(id);
	bool		found;

	pnvs_table_enter_pinned(&visit);
	found = pnvs_table_read(PNVS_FIND, &value, NULL) == 1 &&
		may_see(caller, DatumGetObjectId(pnvs_table_value(0, 4, NULL)));
	if (found)
	{
		TransactionId xmin = DatumGetTransactionId(pnvs_table_value(0, 7, NULL));
		MemoryContext visit_context = MemoryContextSwitchTo(caller_context);

		row->state = pnvs_table_text(0, 2);
		row->settled = DatumGetBool(pnvs_table_value(0, 3, NULL));
		row->verification_id = pnvs_table_text(0, 5);
		row->service_sid = pnvs_table_text(0, 6);
		row->own_transaction = TransactionIdIsCurrentTransactionId(xmin);
		row->row = datumCopy(pnvs_table_value(0, 1, NULL), false, -1);
		MemoryContextSwitchTo(visit_context);
	}
	pnvs_table_leave(&visit);
	return found;
}

static bool
find_duplicate(const PnvsQueueRequest *request, Oid requester, int64 *id)
{
	PnvsTableVisit visit;
	Datum		values[3];
	bool		found;

	values[0] = ObjectIdGetDatum(requester);
	values[1] = CStringGetTextDatum(request->dedup_key);
	values[2] = TimestampTzGetDatum(request->dedup_since);
	pnvs_table_enter_pinned(&visit);
	found = pnvs_table_read(PNVS_FIND_DUPLICATE, values, NULL) == 1;
	if (found)
		*id = DatumGetInt64(pnvs_table_value(0, 1, NULL));
	pnvs_table_leave(&visit);
	return found;
}

static int64
insert_row(const PnvsQueueRequest *request, Oid requester)
{
	Datum		values[12];
	char		nulls[12];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(request->channel);
	values[1] = CStringGetTextDatum(request->recipient);
	values[2] = CStringGetTextDatum(request->service_sid);
	values[3] = TimestampTzGetDatum(request->not_before);
	values[4] = TimestampTzGetDatum(request->send_before);
	values[5] = TimestampTzGetDatum(request->now);
	values[6] = ObjectIdGetDatum(requester);
	values[7] = request->reference ? CStringGetTextDatum(request->reference) : (Datum) 0;
	nulls[7] = request->reference ? ' ' : 'n';
	values[8] = request->dedup_key ? CStringGetTextDatum(request->dedup_key) : (Datum) 0;
	nulls[8] = request->dedup_key ? ' ' : 'n';
	values[9] = Int64GetDatum((int64) GetSystemIdentifier());
	values[10] = ObjectIdGetDatum(MyDatabaseId);
	/* on a standby the insert below is refused */
	values[11] = Int32GetDatum(RecoveryInProgress() ? 0 : (int32) GetWALInsertionTimeLine());
	if (pnvs_table_run(PNVS_ENQUEUE, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger on the queue has dropped a message"),
				 errhint("A trigger on \"verification_queue\" must let rows be inserted."),
				 pnvs_errhide()));
	return DatumGetInt64(pnvs_table_value(0, 1, NULL));
}

/* Waits for a transaction that has queued this key, and makes others wait. */
static void
lock_key(Oid requester, const char *key)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key, (int) strlen(key),
										   requester);
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 PNVS_LOCK_DEDUP_KEY);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static bool
may_see(Oid caller, Oid requester)
{
	return caller == requester || has_privs_of_role(caller, pnvs_table_owner());
}
