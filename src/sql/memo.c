/*-------------------------------------------------------------------------
 *
 * memo.c
 *	  One statement, one message: calls that a statement repeats.
 *
 * PostgreSQL turns SELECT (f(...)).* into one call for each column.  So the row
 * of a call is kept for the rest of the statement's execution, and a repeat of
 * the same operation with the same arguments gets it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "sql/memo.h"
#include "sql/statement.h"

/* A value's length in a key, where there is no value. */
#define NO_VALUE PG_UINT32_MAX

typedef struct MemoEntry
{
	PnvsMemoKey key;
	Datum		row;
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

/* The calls of one execution; allocated in its context, and gone with it. */
typedef struct Memo
{
	MemoryContext context;
	struct Memo *next;
	memo_table_hash *table;
	MemoryContextCallback on_reset;
} Memo;

/* Those of the executions under way: a handful, however deep they nest. */
static Memo *memos = NULL;

static char *append(char *to, const void *data, size_t len);
static Memo *find_memo(MemoryContext context);
static Memo *create_memo(MemoryContext context);
static void forget_memo(void *arg);

/*
 * What makes two calls the same, in the current memory context: the operation,
 * and each value after its length, which keeps ("ab", "c") and ("a", "bc") apart.
 */
void
pnvs_memo_key(PnvsMemoKey *key, const PnvsOperation *operation, const char *const *values)
{
	uint32		lens[PNVS_MAX_PARAMETERS];
	size_t		size = sizeof(operation);
	char	   *data;
	char	   *end;

	for (int i = 0; i < operation->nparameters; i++)
	{
		lens[i] = values[i] ? (uint32) strlen(values[i]) : NO_VALUE;
		size += sizeof(lens[i]) + (values[i] ? lens[i] : 0);
	}
	data = palloc(size);
	end = append(data, &operation, sizeof(operation));
	for (int i = 0; i < operation->nparameters; i++)
	{
		end = append(end, &lens[i], sizeof(lens[i]));
		if (values[i])
			end = append(end, values[i], lens[i]);
	}
	key->data = data;
	key->len = (uint32) (end - data);
	key->hash = hash_bytes((const unsigned char *) data, (int) key->len);
}

/* Whether the statement has made this call; if so, *row is its row. */
bool
pnvs_memo_find(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum *row)
{
	Memo	   *memo = find_memo(pnvs_statement_context(fcinfo));
	MemoEntry  *entry = memo ? memo_table_lookup(memo->table, *key) : NULL;

	if (entry == NULL)
		return false;
	*row = entry->row;
	return true;
}

/* Keeps a copy of a composite row, and of its key, for the rest of the statement. */
void
pnvs_memo_keep(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum row)
{
	MemoryContext context = pnvs_statement_context(fcinfo);
	HeapTupleHeader tuple = DatumGetHeapTupleHeader(row);
	size_t		row_len = HeapTupleHeaderGetDatumLength(tuple);
	PnvsMemoKey kept_key = *key;
	Memo	   *memo;
	MemoEntry  *entry;
	char	   *kept;
	bool		found;

	if (context == NULL)
		return;
	memo = find_memo(context);
	if (memo == NULL)
		memo = create_memo(context);
	kept = MemoryContextAlloc(context, row_len + key->len);
	kept_key.data = append(kept, tuple, row_len);
	append(kept + row_len, key->data, key->len);
	entry = memo_table_insert(memo->table, kept_key, &found);
	entry->row = PointerGetDatum(kept);
}

static char *
append(char *to, const void *data, size_t len)
{
	memcpy(to, data, len);
	return to + len;
}

static Memo *
find_memo(MemoryContext context)
{
	Memo	   *memo = context ? memos : NULL;

	while (memo != NULL && memo->context != context)
		memo = memo->next;
	return memo;
}

static Memo *
create_memo(MemoryContext context)
{
	Memo	   *memo = MemoryContextAllocZero(context, sizeof(Memo));

	memo->context = context;
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
