/*-------------------------------------------------------------------------
 *
 * moves.c
 *	  What the transaction under way knows of verified rows: which of its own were checked,
 *	  and which were deleted and may come back.
 *
 * A move between partitions is a DELETE and an INSERT.  The deleted row is noted, and an
 * insert of the same number under the same ID takes the note instead of an approval.  So
 * the rows of a number and an ID never become more.  That holds only if each deleted row
 * had been checked itself.  A row from before the transaction had been.  Of the
 * transaction's own rows this is not sure: a deferred check comes later, and never if the
 * row is gone by then, and a trigger of another table can delete a row before its check.
 * So the transaction's own rows count only after they were noted as checked.
 *
 * No note needs to be undone when a subtransaction is rolled back.  Each names the
 * (sub)transaction that made it, and counts as long as that one is part of the transaction
 * under way.  A row is known by its place and by the command that wrote it: after a rollback
 * or TRUNCATE the place can be used again, but not by the same command.
 *
 * The notes are in memory that ends with the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "verification/moves.h"

/*
 * So many notes with the same key, of different subtransactions or of rows that are alike,
 * are kept apart.  With more, a row counts as not checked.
 */
#define MAX_COPIES 8

/*
 * Takes up to 80 MB.  A transaction that checks more groups of rows can insert and update
 * others; but it can neither change nor move these again.
 */
#define MAX_CHECKED 1000000

/* Takes up to 120 MB.  A move that deletes more rows before it inserts any is refused. */
#define MAX_DELETED 1000000

/* Rows of a block that a command has written. */
#define GROUP_SIZE 64
typedef struct GroupKey
{
	Oid			trigger;
	CommandId	command;
	BlockNumber block;
	uint16		group;			/* in the block */
	uint16		copy;			/* less than MAX_COPIES */
} GroupKey;

typedef struct CheckedGroup
{
	GroupKey	key;
	TransactionId checked_by;
	char		status;			/* simplehash's own */
	uint64		rows;			/* a bit for each */
} CheckedGroup;

typedef struct DeletedRow
{
	PnvsMove	key;
	TransactionId deleted_by;
	TransactionId taken_by;		/* or InvalidTransactionId */
	char		status;			/* simplehash's own */
} DeletedRow;

#define SH_PREFIX checked
#define SH_ELEMENT_TYPE CheckedGroup
#define SH_KEY_TYPE GroupKey
#define SH_KEY key
#define SH_HASH_KEY(table, k) hash_bytes((const unsigned char *) &(k), sizeof(k))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(a)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX deleted
#define SH_ELEMENT_TYPE DeletedRow
#define SH_KEY_TYPE PnvsMove
#define SH_KEY key
#define SH_HASH_KEY(table, k) hash_bytes((const unsigned char *) &(k), sizeof(k))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(a)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

StaticAssertDecl(sizeof(GroupKey) == 16, "GroupKey must have no padding");
StaticAssertDecl(sizeof(PnvsMove) == 40, "PnvsMove must have no padding");

static checked_hash *checked_rows = NULL;
static deleted_hash *deleted_rows = NULL;

static void forget_at_end(void);
static void forget(void *arg);
static GroupKey group_of(Oid trigger, HeapTuple row);
static uint64 bit_of(HeapTuple row);
static bool counts(const DeletedRow *row);

/*
 * Whether a row has passed the check of a trigger: a row from before the transaction, or
 * one that was noted.
 */
bool
pnvs_moves_was_checked(Oid trigger, HeapTuple row)
{
	/* COPY FREEZE loads rows that look older, and can be of this transaction */
	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(row->t_data)))
		return true;
	if (checked_rows == NULL || HeapTupleHeaderXminFrozen(row->t_data))
		return false;
	for (GroupKey key = group_of(trigger, row); key.copy < MAX_COPIES; key.copy++)
	{
		CheckedGroup *group = checked_lookup(checked_rows, key);

		if (group == NULL)
			return false;
		if ((group->rows & bit_of(row)) != 0 &&
			TransactionIdIsCurrentTransactionId(group->checked_by))
			return true;
	}
	return false;
}

/*
 * Notes that a row of this transaction has passed the check of a trigger.  One that COPY
 * FREEZE has loaded is not noted, for its command is not known.
 */
void
pnvs_moves_note_checked(Oid trigger, HeapTuple row)
{
	TransactionId checked_by = GetCurrentTransactionId();

	if (HeapTupleHeaderXminFrozen(row->t_data))
		return;
	if (checked_rows == NULL)
	{
		forget_at_end();
		checked_rows = checked_create(TopTransactionContext, 8, NULL);
	}
	for (GroupKey key = group_of(trigger, row);
		 key.copy < MAX_COPIES && checked_rows->members < MAX_CHECKED; key.copy++)
	{
		bool		found;
		CheckedGroup *group = checked_insert(checked_rows, key, &found);

		if (!found || !TransactionIdIsCurrentTransactionId(group->checked_by))
		{
			group->rows = 0;
			group->checked_by = checked_by;
		}
		if (group->checked_by == checked_by)
		{
			group->rows |= bit_of(row);
			return;
		}
	}
}

/* Notes a deleted row that had been checked. */
void
pnvs_moves_note_deleted(PnvsMove move)
{
	if (deleted_rows == NULL)
	{
		forget_at_end();
		deleted_rows = deleted_create(TopTransactionContext, 8, NULL);
	}
	for (; move.copy < MAX_COPIES && deleted_rows->members < MAX_DELETED; move.copy++)
	{
		bool		found;
		DeletedRow *row = deleted_insert(deleted_rows, move, &found);

		if (found && counts(row))
			continue;
		row->deleted_by = GetCurrentTransactionId();
		row->taken_by = InvalidTransactionId;
		return;
	}
}

/* Takes the note of a row that was deleted; false if there is none. */
bool
pnvs_moves_take_deleted(PnvsMove move)
{
	TransactionId taken_by = GetCurrentTransactionId();

	if (deleted_rows == NULL)
		return false;
	for (; move.copy < MAX_COPIES; move.copy++)
	{
		DeletedRow *row = deleted_lookup(deleted_rows, move);

		if (row == NULL || !counts(row))
			continue;

		/*
		 * one rollback undoes both: so nothing is left of it, and memory
		 * stays small
		 */
		if (row->deleted_by == taken_by)
			deleted_delete_item(deleted_rows, row);
		else
			row->taken_by = taken_by;
		return true;
	}
	return false;
}

/* False spares an insert to find out which row it could be. */
bool
pnvs_moves_any_deleted(void)
{
	return deleted_rows != NULL && deleted_rows->members > 0;
}

/* Lets both tables be forgotten when the transaction's memory goes. */
static void
forget_at_end(void)
{
	MemoryContextCallback *callback;

	if (checked_rows != NULL || deleted_rows != NULL)
		return;
	callback = MemoryContextAlloc(TopTransactionContext, sizeof(*callback));
	callback->func = forget;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
}

/* Memory context callback. */
static void
forget(void *arg)
{
	checked_rows = NULL;
	deleted_rows = NULL;
}

/* Of a row that this transaction has written, by a command that is known. */
static GroupKey
group_of(Oid trigger, HeapTuple row)
{
	GroupKey	key = {
		.trigger = trigger,
		.command = HeapTupleHeaderGetCmin(row->t_data),
		.block = ItemPointerGetBlockNumber(&row->t_self),
		.group = ItemPointerGetOffsetNumber(&row->t_self) / GROUP_SIZE
	};

	return key;
}

static uint64
bit_of(HeapTuple row)
{
	return UINT64CONST(1) << (ItemPointerGetOffsetNumber(&row->t_self) % GROUP_SIZE);
}

/* Whether the row is deleted, and has not come back, in the transaction under way. */
static bool
counts(const DeletedRow *row)
{
	return TransactionIdIsCurrentTransactionId(row->deleted_by) &&
		!TransactionIdIsCurrentTransactionId(row->taken_by);
}
