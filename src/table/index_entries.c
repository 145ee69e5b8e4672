/*-------------------------------------------------------------------------
 *
 * index_entries.c
 *	  Writes the index entries of a row of a table of the extension.
 *
 * The executor opens every index for each row, and prepares it and its condition again.
 * Most indexes of these tables are for few rows.  So all that is done once after each check
 * of the table, and only those indexes are opened that take the row.  That is possible
 * because the check refuses all that needs the executor: indexes on expressions, exclusion
 * constraints and deferred ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "table/index_entries.h"

typedef struct PnvsIndexCondition
{
	Oid			index;
	IndexInfo  *info;			/* as it was made: insertions change a copy */
	bool		of_id;			/* no two rows have the same ID */
	ExprState  *condition;		/* NULL: it takes all rows */
} PnvsIndexCondition;

static bool takes(const PnvsTable *table, const PnvsIndexCondition *of, TupleTableSlot *slot);
static bool is_free(const PnvsIndexCondition *id, Relation relation, TupleTableSlot *slot);
static void insert_entry(const PnvsIndexCondition *of, Relation relation, TupleTableSlot *slot,
						 bool is_update, bool only_summarizing);
static IndexInfo *copy_info(const PnvsIndexCondition *of);

/* Forgets the indexes of the table, which is being checked, for up to max others. */
void
pnvs_index_entries_begin(PnvsTable *table, int max)
{
	MemoryContext caller_context;

	table->nconditions = 0;
	if (table->condition_context == NULL)
		table->condition_context = AllocSetContextCreate(TopMemoryContext, "pnvs indexes",
														 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(table->condition_context);
	caller_context = MemoryContextSwitchTo(table->condition_context);
	table->evaluation = CreateStandaloneExprContext();
	table->conditions = palloc0((max + 1) * sizeof(PnvsIndexCondition));
	MemoryContextSwitchTo(caller_context);
}

/* Adds an index that was checked: its condition runs for each row. */
void
pnvs_index_entries_add(PnvsTable *table, Relation index)
{
	const Form_pg_index form = index->rd_index;
	MemoryContext caller_context = MemoryContextSwitchTo(table->condition_context);
	PnvsIndexCondition *of = &table->conditions[table->nconditions];

	of->index = RelationGetRelid(index);
	of->info = BuildIndexInfo(index);
	of->of_id = form->indisunique && form->indnkeyatts == 1 &&
		form->indkey.values[0] == PNVS_TABLE_ID_COLUMN;
	of->condition = ExecInitQual(RelationGetIndexPredicate(index), NULL);
	table->nconditions++;
	MemoryContextSwitchTo(caller_context);
}

/* Whether no row has the new row's ID; waits for one that is being inserted. */
bool
pnvs_index_entries_id_is_free(const PnvsTable *table, Relation relation, TupleTableSlot *slot)
{
	for (int i = 0; i < table->nconditions; i++)
	{
		const PnvsIndexCondition *of = &table->conditions[i];

		if (of->of_id && takes(table, of, slot) && !is_free(of, relation, slot))
			return false;
	}
	return true;
}

/* Of a new row, or of a new version of one (is_update), which may need those of some kinds alone. */
void
pnvs_index_entries_insert(const PnvsTable *table, Relation relation, TupleTableSlot *slot,
						  bool is_update, bool only_summarizing)
{
	for (int i = 0; i < table->nconditions; i++)
	{
		if (takes(table, &table->conditions[i], slot))
			insert_entry(&table->conditions[i], relation, slot, is_update, only_summarizing);
	}
}

static bool
takes(const PnvsTable *table, const PnvsIndexCondition *of, TupleTableSlot *slot)
{
	bool		result;

	if (of->condition == NULL)
		return true;
	table->evaluation->ecxt_scantuple = slot;
	result = ExecQual(of->condition, table->evaluation);
	ResetExprContext(table->evaluation);
	return result;
}

/* Of an index that takes the row. */
static bool
is_free(const PnvsIndexCondition *id, Relation relation, TupleTableSlot *slot)
{
	EState	   *state = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	Relation	index = index_open(id->index, RowExclusiveLock);
	ItemPointerData conflict;
	bool		none = true;

	/* REINDEX CONCURRENTLY has a second one, which is not in use at first */
	if (index->rd_index->indisready)
	{
		IndexInfo  *info = copy_info(id);

		info->ii_PredicateState = id->condition;
		BuildSpeculativeIndexInfo(index, info);
		InitResultRelInfo(result, relation, 0, NULL, 0);
		result->ri_NumIndices = 1;
		result->ri_IndexRelationDescs = &index;
		result->ri_IndexRelationInfo = &info;
		none = pnvs_check_index_constraints(result, slot, state, &conflict,
											list_make1_oid(id->index));
	}
	index_close(index, RowExclusiveLock);
	FreeExecutorState(state);
	return none;
}

static void
insert_entry(const PnvsIndexCondition *of, Relation relation, TupleTableSlot *slot,
			 bool is_update, bool only_summarizing)
{
	Relation	index = index_open(of->index, RowExclusiveLock);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (index->rd_index->indisready && (!only_summarizing || pnvs_is_summarizing(of->info)))
	{
		IndexInfo  *info = copy_info(of);

		FormIndexDatum(info, slot, NULL, values, nulls);
		(void) index_insert(index, values, nulls, &slot->tts_tid, relation,
							info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, is_update, info);
		pnvs_index_insert_cleanup(index, info);
	}
	index_close(index, RowExclusiveLock);
}

/*
 * For an insertion, which can leave something in it until it is let go, or an error comes.
 * The index takes entries, which it may not have done when it was prepared.
 */
static IndexInfo *
copy_info(const PnvsIndexCondition *of)
{
	IndexInfo  *info = palloc(sizeof(IndexInfo));

	*info = *of->info;
	info->ii_ReadyForInserts = true;
	info->ii_Context = CurrentMemoryContext;
	return info;
}
