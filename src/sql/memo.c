/*-------------------------------------------------------------------------
 *
 * memo.c
 *	  Keeps the rows of a statement's calls, so that a call that the statement repeats
 *	  sends no second message.
 *
 * PostgreSQL turns SELECT (f(...)).* into one call for each column, and a rule turns one
 * statement into several queries with the same call.  So the row of a call is kept for
 * the rest of the statement's execution, and a repeat of the same function with the
 * same arguments gets that row.  A cursor outlives ROLLBACK TO SAVEPOINT: the row of a call
 * whose work that has undone is not given again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "sql/sql.h"

/* Stands in a key for the length of a value that is left out. */
#define NO_VALUE PG_UINT32_MAX

typedef struct MemoEntry
{
	PnvsMemoKey key;
	Datum		row;
	TransactionId undone_with;	/* if that is rolled back, so is the call */
	char		status;			/* simplehash's own */
} MemoEntry;

#define SH_PREFIX memo_table
#define SH_ELEMENT_TYPE MemoEntry
#define SH_KEY_TYPE PnvsMemoKey
#define SH_KEY key
#define SH_HASH_KEY(table, k) ((k).hash)
#define SH_EQUAL(table, a, b) \
	((a).hash == (b).hash && (a).len == (b).len && memcmp((a).data, (b).data, (a).len) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The calls of one execution; allocated in its context, and freed with it. */
typedef struct Memo
{
	PnvsStatement statement;
	struct Memo *next;
	memo_table_hash *table;
	MemoryContextCallback on_reset;
} Memo;

/* Those of the executions under way: a few, however deep they nest. */
static Memo *memos = NULL;

static void append_value(StringInfo data, const char *value);
static char *append(char *to, const void *data, size_t len);
static Memo *find_memo(const PnvsStatement *statement);
static Memo *create_memo(const PnvsStatement *statement);
static void forget_memo(void *arg);

/*
 * Two calls with the same key are repeats.  The key, in the current memory context, is the
 * function and each value after its length, which keeps ("ab", "c") and ("a", "bc") apart.
 */
void
pnvs_memo_key(PnvsMemoKey *key, const char *function, const char *const *values, int nvalues)
{
	StringInfoData data;

	initStringInfo(&data);
	append_value(&data, function);
	for (int i = 0; i < nvalues; i++)
		append_value(&data, values[i]);
	key->data = data.data;
	key->len = (uint32) data.len;
	key->hash = hash_bytes((const unsigned char *) data.data, data.len);
}

/* The value of a verification's ID, in the current memory context. */
const char *
pnvs_memo_id(const pg_uuid_t *id)
{
	char	   *hex = palloc(2 * UUID_LEN + 1);

	hex[hex_encode((const char *) id->data, UUID_LEN, hex)] = '\0';
	return hex;
}

static void
append_value(StringInfo data, const char *value)
{
	uint32		len = value ? (uint32) strlen(value) : NO_VALUE;

	appendBinaryStringInfo(data, (const char *) &len, sizeof(len));
	if (value)
		appendBinaryStringInfo(data, value, (int) len);
}

/* Whether the statement has made this call already; if so, *row is its row. */
bool
pnvs_memo_find(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum *row)
{
	PnvsStatement statement;
	Memo	   *memo = pnvs_statement_find(fcinfo, &statement) ? find_memo(&statement) : NULL;
	MemoEntry  *entry = memo ? memo_table_lookup(memo->table, *key) : NULL;

	if (entry == NULL)
		return false;
	if (TransactionIdIsValid(entry->undone_with) &&
		!TransactionIdIsCurrentTransactionId(entry->undone_with))
		return false;
	*row = entry->row;
	return true;
}

/*
 * Keeps a copy of a composite row, and of its key, for the rest of the statement.  undoable:
 * ROLLBACK undoes what the call has done.
 */
void
pnvs_memo_keep(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum row, bool undoable)
{
	PnvsStatement statement;
	HeapTupleHeader tuple = DatumGetHeapTupleHeader(row);
	size_t		row_len = HeapTupleHeaderGetDatumLength(tuple);
	PnvsMemoKey kept_key = *key;
	Memo	   *memo;
	MemoEntry  *entry;
	char	   *kept;
	bool		found;

	if (!pnvs_statement_find(fcinfo, &statement))
		return;
	memo = find_memo(&statement);
	if (memo == NULL)
		memo = create_memo(&statement);
	kept = MemoryContextAlloc(statement.context, row_len + key->len);
	kept_key.data = append(kept, tuple, row_len);
	append(kept + row_len, key->data, key->len);
	entry = memo_table_insert(memo->table, kept_key, &found);
	entry->row = PointerGetDatum(kept);
	entry->undone_with = undoable ? GetCurrentTransactionId() : InvalidTransactionId;
}

static char *
append(char *to, const void *data, size_t len)
{
	memcpy(to, data, len);
	return to + len;
}

/* The memo of a statement, emptied if it was another statement's in the same context; or NULL. */
static Memo *
find_memo(const PnvsStatement *statement)
{
	Memo	   *memo = memos;

	while (memo != NULL && memo->statement.context != statement->context)
		memo = memo->next;
	if (memo != NULL && statement->number != 0)
	{
		if (memo->statement.number != 0 && memo->statement.number != statement->number)
			memo_table_reset(memo->table);
		memo->statement.number = statement->number;
	}
	return memo;
}

static Memo *
create_memo(const PnvsStatement *statement)
{
	MemoryContext context = statement->context;
	Memo	   *memo = MemoryContextAllocZero(context, sizeof(Memo));

	memo->statement = *statement;
	memo->table = memo_table_create(context, 8, NULL);
	memo->on_reset.func = forget_memo;
	memo->on_reset.arg = memo;
	MemoryContextRegisterResetCallback(context, &memo->on_reset);
	memo->next = memos;
	memos = memo;
	return memo;
}

/* Memory context callback: the execution has ended. */
static void
forget_memo(void *arg)
{
	Memo	  **link = &memos;

	while (*link != NULL && *link != arg)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
}
