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
 * under way.  A row is known by its place and by the (sub)transaction that wrote it: the
 * place of a row that was rolled back can be used again, but not by the same one.
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

/* Takes up to 120 MB.  A move that deletes more rows before it inserts any is refused. */
#define MAX_DELETED 1000000

#define BITS_PER_WORD 64
#define WORDS_PER_BLOCK (MaxHeapTuplesPerPage / BITS_PER_WORD + 1)

/* The rows of a block that a (sub)transaction has written. */
typedef struct BlockKey
{
	Oid			trigger;
	TransactionId written_by;
	BlockNumber block;
	uint32		copy;			/* less than MAX_COPIES */
} BlockKey;

typedef struct CheckedBlock
{
	BlockKey	key;
	TransactionId checked_by;
	char		status;			/* simplehash's own */
	uint64		rows[WORDS_PER_BLOCK];	/* a bit for each */
} CheckedBlock;

typedef struct DeletedRow
{
	PnvsMove	key;
	TransactionId deleted_by;
	TransactionId taken_by;		/* or InvalidTransactionId */
	char		status;			/* simplehash's own */
} DeletedRow;

#define SH_PREFIX checked
#define SH_ELEMENT_TYPE CheckedBlock
#define SH_KEY_TYPE BlockKey
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

StaticAssertDecl(sizeof(BlockKey) == 16, "BlockKey must have no padding");
StaticAssertDecl(sizeof(PnvsMove) == 40, "PnvsMove must have no padding");

static checked_hash *checked_blocks = NULL;
static deleted_hash *deleted_rows = NULL;

static void forget_at_end(void);
static void forget(void *arg);
static BlockKey block_of(Oid trigger, HeapTuple row);
static bool counts(const DeletedRow *row);

/*
 * Whether a row has passed the check of a trigger: a row from before the transaction, or
 * one that was noted.
 */
bool
pnvs_moves_was_checked(Oid trigger, HeapTuple row)
{
	BlockKey	key = block_of(trigger, row);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&row->t_self);

	if (!TransactionIdIsCurrentTransactionId(key.written_by))
		return true;
	if (checked_blocks == NULL)
		return false;
	for (; key.copy < MAX_COPIES; key.copy++)
	{
		CheckedBlock *block = checked_lookup(checked_blocks, key);

		if (block == NULL)
			return false;
		if ((block->rows[offset / BITS_PER_WORD] >> (offset % BITS_PER_WORD) & 1) != 0 &&
			TransactionIdIsCurrentTransactionId(block->checked_by))
			return true;
	}
	return false;
}

/* Notes that a row of this transaction has passed the check of a trigger. */
void
pnvs_moves_note_checked(Oid trigger, HeapTuple row)
{
	TransactionId checked_by = GetCurrentTransactionId();
	BlockKey	key = block_of(trigger, row);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&row->t_self);

	if (checked_blocks == NULL)
	{
		forget_at_end();
		checked_blocks = checked_create(TopTransactionContext, 8, NULL);
	}
	for (; key.copy < MAX_COPIES; key.copy++)
	{
		bool		found;
		CheckedBlock *block = checked_insert(checked_blocks, key, &found);

		if (!found || !TransactionIdIsCurrentTransactionId(block->checked_by))
		{
			memset(block->rows, 0, sizeof(block->rows));
			block->checked_by = checked_by;
		}
		if (block->checked_by == checked_by)
		{
			block->rows[offset / BITS_PER_WORD] |= UINT64CONST(1) << (offset % BITS_PER_WORD);
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

	if (checked_blocks != NULL || deleted_rows != NULL)
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
	checked_blocks = NULL;
	deleted_rows = NULL;
}

static BlockKey
block_of(Oid trigger, HeapTuple row)
{
	BlockKey	key = {
		.trigger = trigger,

		/*
		 * COPY FREEZE loads rows that look older, and can be of this
		 * transaction
		 */
		.written_by = HeapTupleHeaderGetRawXmin(row->t_data),
		.block = ItemPointerGetBlockNumber(&row->t_self)
	};

	return key;
}

/* Whether the row is deleted, and has not come back, in the transaction under way. */
static bool
counts(const DeletedRow *row)
{
	return TransactionIdIsCurrentTransactionId(row->deleted_by) &&
		!TransactionIdIsCurrentTransactionId(row->taken_by);
}
