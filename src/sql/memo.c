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

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "sql/memo.h"
#include "sql/statement.h"

typedef struct MemoEntry
{
	const char *key;
	uint32		hash;
	Datum		row;
	char		status;			/* simplehash's own */
} MemoEntry;

#define SH_PREFIX memo_table
#define SH_ELEMENT_TYPE MemoEntry
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(table, k) hash_bytes((const unsigned char *) (k), (int) strlen(k))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) ((entry)->hash)
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

static Memo *find_memo(MemoryContext context);
static Memo *create_memo(MemoryContext context);
static void forget_memo(void *arg);

/* What makes two calls the same, as a text in the current memory context. */
char *
pnvs_memo_key(const PnvsOperation *operation, const char *const *values)
{
	StringInfoData key;

	initStringInfo(&key);
	appendStringInfoString(&key, operation->name);
	for (int i = 0; i < operation->nparameters; i++)
	{
		char		len[12];

		if (values[i] == NULL)
		{
			appendStringInfoString(&key, " -");
			continue;
		}
		/* lengths keep ("ab", "c") and ("a", "bc") apart */
		pg_ltoa((int32) strlen(values[i]), len);
		appendStringInfoChar(&key, ' ');
		appendStringInfoString(&key, len);
		appendStringInfoChar(&key, ':');
		appendStringInfoString(&key, values[i]);
	}
	return key.data;
}

/* Whether the statement has made this call; if so, *row is its row. */
bool
pnvs_memo_find(FunctionCallInfo fcinfo, const char *key, Datum *row)
{
	Memo	   *memo = find_memo(pnvs_statement_context(fcinfo));
	MemoEntry  *entry = memo ? memo_table_lookup(memo->table, key) : NULL;

	if (entry == NULL)
		return false;
	*row = entry->row;
	return true;
}

/* Keeps a copy of a composite row for the rest of the statement. */
void
pnvs_memo_keep(FunctionCallInfo fcinfo, const char *key, Datum row)
{
	MemoryContext context = pnvs_statement_context(fcinfo);
	MemoryContext caller;
	Memo	   *memo;
	MemoEntry  *entry;
	bool		found;

	if (context == NULL)
		return;
	caller = MemoryContextSwitchTo(context);
	memo = find_memo(context);
	if (memo == NULL)
		memo = create_memo(context);
	row = datumCopy(row, false, -1);
	key = pstrdup(key);
	entry = memo_table_insert(memo->table, key, &found);
	entry->row = row;
	MemoryContextSwitchTo(caller);
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
