/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Inserts, finds, locks and changes rows of a table of the extension, without a
 *	  statement.
 *
 * That takes a fraction of a statement's time.  No settings need be pinned, and nobody's
 * privileges count: the table is as it was made, so nothing but PostgreSQL's own code runs.
 *
 * Rows are found by the value of a column, in no certain order, and as they are by now,
 * whatever snapshot the transaction has.  Whoever locks or changes one waits for another
 * transaction that has changed it.  If that one commits, the row is to be found again; in
 * REPEATABLE READ this is an error, as ever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "errcodes.h"
#include "table/index_entries.h"
#include "table/row.h"
#include "table/statements.h"

static void read_values(PnvsTableRow *row);
static bool has_id(const PnvsTableRow *row, Datum id);
static TM_Result lock(PnvsTableRow *row, LockWaitPolicy policy);
static bool is_done(TM_Result result);

/* Begins with a table, which is checked, and locked until the end of the transaction. */
void
pnvs_table_row_begin(PnvsTable *table, LOCKMODE mode, PnvsTableRow *row)
{
	if (mode > AccessShareLock)
		PreventCommandIfReadOnly("UPDATE");
	row->table = table;
	row->relation = pnvs_table_open(table, mode);
	row->found = NULL;
	row->slot = MakeSingleTupleTableSlot(RelationGetDescr(row->relation), &TTSOpsVirtual);
}

void
pnvs_table_row_end(PnvsTableRow *row)
{
	ExecDropSingleTupleTableSlot(row->slot);
	table_close(row->relation, NoLock);
}

/* Makes a row in memory, all NULL. */
void
pnvs_table_row_make(PnvsTableRow *row)
{
	ExecStoreAllNullTuple(row->slot);
}

/* Whether no row has the ID of the row that was made; waits for one that is being inserted. */
bool
pnvs_table_row_id_is_free(const PnvsTableRow *row)
{
	return pnvs_index_entries_id_is_free(row->table, row->relation, row->slot);
}

/*
 * Inserts the row that was made with the values that were put; the next statement of this
 * transaction sees it.
 */
void
pnvs_table_row_insert(PnvsTableRow *row)
{
	for (int i = 0; i < row->table->ncolumns; i++)
	{
		if (row->table->columns[i].not_null && row->slot->tts_isnull[i])
			pnvs_table_raise_null(i + 1);
	}
	simple_table_tuple_insert(row->relation, row->slot);
	pnvs_index_entries_insert(row->table, row->relation, row->slot, false, false);
	CommandCounterIncrement();
}

/*
 * Begins to look for the rows with a value in a column, counted from 1, that have been
 * committed by now, or that this transaction has written.
 */
void
pnvs_table_scan_begin(PnvsTableRow *row, int column, Datum value)
{
	Oid			index = row->table->indexes[column - 1];
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(row->relation), column - 1);
	TypeCacheEntry *cached = lookup_type_cache(attribute->atttypid, TYPECACHE_EQ_OPR_FINFO);
	ScanKeyData key;

	ScanKeyEntryInitializeWithInfo(&key, 0, column, BTEqualStrategyNumber, InvalidOid,
								   attribute->attcollation, &cached->eq_opr_finfo, value);
	row->snapshot = RegisterSnapshot(GetLatestSnapshot());
	/* works with any table, and without an index, too */
	row->scan = systable_beginscan(row->relation, index, OidIsValid(index), row->snapshot, 1, &key);
}

/* Reads the next of them; false if there is none. */
bool
pnvs_table_scan_next(PnvsTableRow *row)
{
	row->found = systable_getnext(row->scan);
	if (!HeapTupleIsValid(row->found))
		return false;
	row->found = heap_copytuple(row->found);
	read_values(row);
	return true;
}

void
pnvs_table_scan_end(PnvsTableRow *row)
{
	systable_endscan(row->scan);
	UnregisterSnapshot(row->snapshot);
}

/* Reads the row with an ID; false if there is none. */
bool
pnvs_table_row_find(PnvsTableRow *row, Datum id)
{
	bool		found;

	pnvs_table_scan_begin(row, PNVS_TABLE_ID_COLUMN, id);
	found = pnvs_table_scan_next(row);
	pnvs_table_scan_end(row);
	return found;
}

/*
 * The same of a row that was found before: first where it was.  The table must have been
 * locked ever since: a place behind its end is an error.
 */
bool
pnvs_table_row_find_again(PnvsTableRow *row, ItemPointer place, Datum id)
{
	TupleTableSlot *version = table_slot_create(row->relation, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		found = table_tuple_fetch_row_version(row->relation, place, snapshot, version);

	if (found)
	{
		row->found = ExecCopySlotHeapTuple(version);
		read_values(row);
	}
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(version);
	/* another row may have got its place */
	return (found && has_id(row, id)) || pnvs_table_row_find(row, id);
}

/* A column that must not be NULL: an error otherwise. */
Datum
pnvs_table_row_datum(const PnvsTableRow *row, int column)
{
	bool		isnull;
	Datum		value = pnvs_table_row_value(row, column, &isnull);

	if (isnull)
		pnvs_table_raise_null(column);
	return value;
}

/* A bigint or a time that may be NULL: 0 then. */
int64
pnvs_table_row_optional_int64(const PnvsTableRow *row, int column)
{
	bool		isnull;
	Datum		value = pnvs_table_row_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* A text that may be NULL, copied to the current memory context. */
char *
pnvs_table_row_optional_text(const PnvsTableRow *row, int column)
{
	bool		isnull;
	Datum		value = pnvs_table_row_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Locks the row that was found until the end of the transaction, as FOR NO KEY UPDATE does.
 * False if another transaction has changed it: it is to be found again.
 */
bool
pnvs_table_row_lock(PnvsTableRow *row)
{
	return is_done(lock(row, LockWaitBlock));
}

/* The same, without a wait: false also if another transaction has locked it. */
bool
pnvs_table_row_lock_if_free(PnvsTableRow *row)
{
	return lock(row, LockWaitSkip) == TM_Ok;
}

/*
 * Writes the row that was found with the values that were put; the next statement of this
 * transaction sees it.  False if another transaction has changed it: it is to be found
 * again.
 */
bool
pnvs_table_row_update(PnvsTableRow *row)
{
	TM_FailureData failure;
	LockTupleMode mode;
	PnvsUpdateIndexes indexes;

	CheckCmdReplicaIdentity(row->relation, CMD_UPDATE);
	if (!is_done(pnvs_table_tuple_update(row->relation, &row->found->t_self, row->slot,
										 GetCurrentCommandId(true), &failure, &mode, &indexes)))
		return false;
	/* the triggers of foreign keys are not fired */
	if (mode == LockTupleExclusive && pnvs_table_is_referenced(row->table))
		pnvs_table_refuse(row->table, "A foreign key refers to columns that change.");
	if (indexes)
		pnvs_index_entries_insert(row->table, row->relation, row->slot, true,
								  pnvs_only_summarizing(indexes));
	CommandCounterIncrement();
	return true;
}

static void
read_values(PnvsTableRow *row)
{
	ExecClearTuple(row->slot);
	heap_deform_tuple(row->found, RelationGetDescr(row->relation), row->slot->tts_values,
					  row->slot->tts_isnull);
	ExecStoreVirtualTuple(row->slot);
}

static bool
has_id(const PnvsTableRow *row, Datum id)
{
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(row->relation), PNVS_TABLE_ID_COLUMN - 1);

	return datumIsEqual(pnvs_table_row_datum(row, PNVS_TABLE_ID_COLUMN), id, column->attbyval,
						column->attlen);
}

static TM_Result
lock(PnvsTableRow *row, LockWaitPolicy policy)
{
	TupleTableSlot *locked = table_slot_create(row->relation, NULL);
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(row->relation, &row->found->t_self, InvalidSnapshot,
										  locked, GetCurrentCommandId(false),
										  LockTupleNoKeyExclusive, policy, 0, &failure);

	ExecDropSingleTupleTableSlot(locked);
	return result;
}

/* False if another transaction has changed the row. */
static bool
is_done(TM_Result result)
{
	if (result == TM_Ok)
		return true;
	if (result != TM_Updated && result != TM_Deleted)
		elog(ERROR, "could not lock a row: %d", (int) result);
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 pnvs_errhide()));
	return false;
}
