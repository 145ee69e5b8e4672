/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  What sessions do with the queue: queue a message, cancel it, read its row.
 *
 * The requester is the role that is in effect at the call.  It sees and cancels only its
 * own rows; the table's owner, and roles that have the owner's rights, all rows.
 *
 * A deduplication key is locked until the end of the transaction that has used it, so
 * that a repeat waits for that.  The lock is an advisory one of a class that SQL functions
 * cannot take, on a hash under a key of the database: so nobody can find another key with
 * the same lock.
 *
 * A message takes its places under the limits at the call.  They are given back if the
 * (sub)transaction is rolled back, or when the row is settled without having been sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "errcodes.h"
#include "queue/queue.h"
#include "queue/registry/registry.h"
#include "queue/rows/lock_class.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"
#include "table/hash_key.h"
#include "table/row.h"

/* A row to be inserted. */
typedef struct NewRow
{
	const PnvsQueueRequest *request;
	Oid			requester;
	TimestampTz created_at;
	PnvsAdmission admission;
	PnvsRefusal refusal;
} NewRow;

static bool find_duplicate(const PnvsQueueRequest *request, Oid requester, int64 *id);
static void admit(NewRow *row);
static bool find_row(int64 id, PnvsQueueRow *row);
static int64 insert_row(const NewRow *row);
static void fill_row(const NewRow *row, const PnvsTableRow *open);
static void fill_settled(const NewRow *row, const PnvsTableRow *open);
static TimestampTz retain_from(const NewRow *row);
static int64 choose_id(const PnvsTableRow *open);
static void require_ascending(Oid sequence);
static void set_forward(Oid sequence);
static void lock_key(Oid requester, const char *key);

/*
 * Queues a message in the transaction under way and returns its ID, or the ID of the
 * message that was queued with the same deduplication key before.  0 and the refusal if the
 * guard refuses the message and the request wants that returned.
 */
int64
pnvs_queue_enqueue(const PnvsQueueRequest *request, PnvsRefusal *refusal)
{
	NewRow		row = {
		.request = request,
		.requester = OidIsValid(request->requester) ? request->requester : GetUserId(),
		.created_at = request->now
	};
	int64		id;

	/* a repeat within one statement sees the first message, too */
	if (request->dedup_key != NULL)
	{
		lock_key(row.requester, request->dedup_key);
		if (find_duplicate(request, row.requester, &id))
			return id;
		/* the lock may have been waited for */
		row.created_at = GetCurrentTimestamp();
	}
	admit(&row);
	if (row.refusal.reason != PNVS_ADMITTED && request->on_refusal == PNVS_RETURN_REFUSAL)
	{
		*refusal = row.refusal;
		return 0;
	}
	id = insert_row(&row);
	/* a worker is to know of a settled row, too, for it deletes it some day */
	pnvs_registry_wake_at_end(request->not_before, false);
	return id;
}

/*
 * Asks the guard, and has the places given back if this (sub)transaction is rolled back.
 * Throws if the guard refuses a message, unless the request wants something else.
 */
static void
admit(NewRow *row)
{
	const PnvsQueueRequest *request = row->request;
	PnvsGuardMessage message = {
		.recipient = request->recipient,
		.channel = pnvs_operation_channel_word(request->channel),
		.rate_key = request->rate_key,
		.key = request->admission_key,
		.trusted = request->trusted,
		.due = Max(request->not_before, row->created_at)
	};

	PreventCommandIfReadOnly("enqueue_verification()");
	PreventCommandIfParallelMode("enqueue_verification()");
	/* a cancel that is served in between would keep the places */
	HOLD_INTERRUPTS();
	row->refusal = pnvs_guard_admit(&message, row->created_at, &row->admission);
	if (row->admission.due != 0)
		pnvs_guard_give_back_at_abort(&row->admission);
	RESUME_INTERRUPTS();
	if (row->refusal.reason != PNVS_ADMITTED && request->on_refusal == PNVS_THROW_REFUSAL)
		pnvs_guard_throw(&row->refusal);
}

/*
 * Cancels a message; true if it was still queued.  If the transaction is rolled back, the
 * message is sent.  Only rows that the caller may cancel are locked: the message of a
 * locked row waits for the end of the transaction.
 */
bool
pnvs_queue_cancel(int64 id)
{
	PnvsTableVisit visit;
	PnvsQueueRow row;
	PnvsClaim	claim = {.id = id};
	bool		canceled = false;
	Oid			caller = GetUserId();

	PreventCommandIfReadOnly("cancel_verification()");
	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	if (find_row(id, &row) && pnvs_table_may_see(&pnvs_queue_table, caller, row.requester) &&
		strcmp(row.state, "queued") == 0)
	{
		/* a worker skips a locked row, and is woken when the lock is gone */
		pnvs_registry_wake_at_end(DatumGetTimestampTz(row.values[PNVS_FIND_NOT_BEFORE - 1]), true);
		claim.recipient = TextDatumGetCString(row.values[PNVS_FIND_RECIPIENT - 1]);
		claim.requester = row.requester;
		claim.admission = row.admission;
		canceled = pnvs_settle_cancel(&claim, false);
	}
	pnvs_table_leave(&visit);
	return canceled;
}

/* Reads a row as it is by now; false if the caller may see no row of that ID. */
bool
pnvs_queue_find(int64 id, PnvsQueueRow *row)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			caller = GetUserId();
	PnvsTableVisit visit;
	bool		found;

	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	MemoryContextSwitchTo(caller_context);
	found = find_row(id, row) && pnvs_table_may_see(&pnvs_queue_table, caller, row->requester);
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller_context);
	return found;
}

/* Within a visit; copies the row to the current memory context. */
static bool
find_row(int64 id, PnvsQueueRow *row)
{
	Datum		value = Int64GetDatum(id);
	PnvsClaim	claim = {.id = id};

	if (pnvs_table_read(&pnvs_queue_table, PNVS_FIND, &value, NULL) != 1)
		return false;
	for (int i = 0; i < PNVS_QUEUE_COLUMNS; i++)
	{
		Form_pg_attribute column = TupleDescAttr(SPI_tuptable->tupdesc, i);

		row->types[i] = column->atttypid;
		row->values[i] = pnvs_result_value(0, i + 1, &row->nulls[i]);
		if (!row->nulls[i])
			row->values[i] = datumCopy(row->values[i], column->attbyval, column->attlen);
	}
	row->state = pnvs_result_text(0, PNVS_FIND_STATE);
	row->settled = !row->nulls[PNVS_FIND_SETTLED_AT - 1];
	row->verification_id = pnvs_result_optional_text(0, PNVS_FIND_VERIFICATION_ID);
	row->service_sid = pnvs_result_text(0, PNVS_FIND_SERVICE_SID);
	row->requester = pnvs_result_oid(0, PNVS_FIND_REQUESTED_BY);
	claim.channel = pnvs_result_text(0, PNVS_FIND_CHANNEL);
	claim.recipient = pnvs_result_text(0, PNVS_FIND_RECIPIENT);
	claim.created_at = pnvs_result_time(0, PNVS_FIND_CREATED_AT);
	pnvs_admission_read(0, PNVS_FIND_ADMISSION, &claim, &row->admission);
	row->own_transaction = TransactionIdIsCurrentTransactionId(pnvs_result_xid(0, PNVS_FIND_XMIN));
	return true;
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
	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	found = pnvs_table_read(&pnvs_queue_table, PNVS_FIND_DUPLICATE, values, NULL) == 1;
	if (found)
		*id = pnvs_result_int64(0, PNVS_FIRST_COLUMN);
	pnvs_table_leave(&visit);
	return found;
}

static int64
insert_row(const NewRow *row)
{
	PnvsTableRow open;
	int64		id;

	pnvs_table_row_begin(&pnvs_queue_table, RowExclusiveLock, &open);
	pnvs_table_row_make(&open);
	fill_row(row, &open);
	id = choose_id(&open);
	pnvs_table_row_insert(&open);
	pnvs_table_row_end(&open);
	return id;
}

#define PUT(column, value) pnvs_table_row_put(open, column, value)

/* All but the ID. */
static void
fill_row(const NewRow *row, const PnvsTableRow *open)
{
	const PnvsQueueRequest *request = row->request;
	const PnvsAdmission *admission = &row->admission;

	PUT(PNVS_COLUMN_CHANNEL, CStringGetTextDatum(request->channel));
	PUT(PNVS_COLUMN_RECIPIENT, CStringGetTextDatum(request->recipient));
	PUT(PNVS_COLUMN_SERVICE_SID, CStringGetTextDatum(request->service_sid));
	PUT(PNVS_COLUMN_STATE, CStringGetTextDatum("queued"));
	PUT(PNVS_COLUMN_NOT_BEFORE, TimestampTzGetDatum(request->not_before));
	PUT(PNVS_COLUMN_SEND_BEFORE, TimestampTzGetDatum(request->send_before));
	PUT(PNVS_COLUMN_ATTEMPTS, Int32GetDatum(0));
	PUT(PNVS_COLUMN_CREATED_AT, TimestampTzGetDatum(row->created_at));
	PUT(PNVS_COLUMN_REQUESTED_BY, ObjectIdGetDatum(row->requester));
	if (request->reference != NULL)
		PUT(PNVS_COLUMN_REFERENCE, CStringGetTextDatum(request->reference));
	if (request->dedup_key != NULL)
		PUT(PNVS_COLUMN_DEDUP_KEY, CStringGetTextDatum(request->dedup_key));
	if (request->source != NULL)
		PUT(PNVS_COLUMN_SOURCE, CStringGetTextDatum(request->source));
	/* one of a verification is found by that, which has the hash */
	if (request->phone_verification != NULL)
		PUT(PNVS_COLUMN_PHONE_VERIFICATION, UUIDPGetDatum(request->phone_verification));
	else
		PUT(PNVS_COLUMN_RECIPIENT_HASH,
			Int64GetDatum((int64) pnvs_database_hash_number(request->recipient)));
	if (request->previous != 0)
		PUT(PNVS_COLUMN_PREVIOUS, Int64GetDatum(request->previous));
	PUT(PNVS_COLUMN_RETAIN_FROM, TimestampTzGetDatum(retain_from(row)));
	PUT(PNVS_COLUMN_ORIGIN_SYSTEM, Int64GetDatum((int64) GetSystemIdentifier()));
	PUT(PNVS_COLUMN_ORIGIN_DATABASE, ObjectIdGetDatum(MyDatabaseId));
	PUT(PNVS_COLUMN_ORIGIN_TIMELINE, Int32GetDatum((int32) GetWALInsertionTimeLine()));
	if (admission->is_test)
		PUT(PNVS_COLUMN_ADMISSION_DUE, TimestampTzGetDatum(PNVS_ADMISSION_OF_TEST));
	if (admission->due != 0)
	{
		PUT(PNVS_COLUMN_ADMISSION_DUE, TimestampTzGetDatum(admission->due));
		PUT(PNVS_COLUMN_ADMISSION_TRUSTED, BoolGetDatum(admission->trusted));
	}
	if (admission->due != 0 && admission->key != 0)
		PUT(PNVS_COLUMN_ADMISSION_KEY, Int64GetDatum((int64) admission->key));
	if (row->refusal.reason != PNVS_ADMITTED || request->is_decoy)
		fill_settled(row, open);
}

/* A message that the guard has refused, or that nobody needs, is settled from the beginning. */
static void
fill_settled(const NewRow *row, const PnvsTableRow *open)
{
	bool		refused = row->refusal.reason != PNVS_ADMITTED;
	char		masked[PNVS_PHONE_NUMBER_SIZE];

	pnvs_phone_number_mask(row->request->recipient, masked);
	PUT(PNVS_COLUMN_STATE, CStringGetTextDatum(pnvs_state_name(refused ? PNVS_STATE_FAILED :
															   PNVS_STATE_CANCELED)));
	PUT(PNVS_COLUMN_RECIPIENT, CStringGetTextDatum(masked));
	PUT(PNVS_COLUMN_SETTLED_AT, TimestampTzGetDatum(row->created_at));
	PUT(PNVS_COLUMN_CODE, CStringGetTextDatum(refused ? pnvs_guard_code(&row->refusal) :
											  PNVS_NOT_NEEDED));
	PUT(PNVS_COLUMN_MESSAGE, CStringGetTextDatum(refused ? pnvs_guard_message(&row->refusal) :
												 PNVS_NOT_NEEDED_MESSAGE));
}

/* When pnvs.retention begins to count, at the earliest. */
static TimestampTz
retain_from(const NewRow *row)
{
	const PnvsQueueRequest *request = row->request;
	TimestampTz from = Max(row->created_at, request->retain_until);

	/* a repeat of the key must find the row as long as the key counts */
	if (request->dedup_key != NULL)
		from = Max(from, row->created_at + (request->now - request->dedup_since));
	return from;
}

/*
 * Gives the row an ID that no other row has.  After a restore of the data alone the
 * sequence can be behind the rows: then it is set forward.
 */
static int64
choose_id(const PnvsTableRow *open)
{
	Oid			sequence = pnvs_queue_sequence();
	int64		id;

	for (;;)
	{
		id = nextval_internal(sequence, false);
		PUT(PNVS_COLUMN_ID, Int64GetDatum(id));
		if (pnvs_table_row_id_is_free(open))
			return id;
		set_forward(sequence);
	}
}

#undef PUT

/* IDs above the highest are free, but the owner can alter the sequence to go elsewhere. */
static void
require_ascending(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		ascends;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	ascends = ((Form_pg_sequence) GETSTRUCT(tuple))->seqincrement > 0 &&
		!((Form_pg_sequence) GETSTRUCT(tuple))->seqcycle;
	ReleaseSysCache(tuple);
	if (!ascends)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the sequence \"pnvs_internal.queue_id_seq\" is not as pnvs made it"),
				 errdetail("It does not ascend, or begins again."),
				 errhint("Undo the change: ALTER SEQUENCE pnvs_internal.queue_id_seq INCREMENT BY 1 NO CYCLE."),
				 pnvs_errhide()));
}

/* Lets the sequence go on after the highest ID. */
static void
set_forward(Oid sequence)
{
	PnvsTableVisit visit;

	pnvs_table_enter(&pnvs_queue_table, &visit, RowExclusiveLock);
	require_ascending(sequence);
	if (pnvs_table_read(&pnvs_queue_table, PNVS_HIGHEST_ID, NULL, NULL) == 1)
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
								   pnvs_result_datum(0, PNVS_FIRST_COLUMN));
	pnvs_table_leave(&visit);
}

/* Waits for a transaction that has queued this key, and makes others wait. */
static void
lock_key(Oid requester, const char *key)
{
	size_t		key_len = strlen(key);
	char	   *owned = palloc(sizeof(requester) + key_len);

	memcpy(owned, &requester, sizeof(requester));
	memcpy(owned + sizeof(requester), key, key_len);
	pnvs_database_lock(pnvs_database_hash(PNVS_HASH_DEDUP_KEY, owned, sizeof(requester) + key_len),
					   PNVS_LOCK_DEDUP_KEY);
}
