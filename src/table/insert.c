/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Inserts a row into a table of the extension without a statement.
 *
 * The executor does it: no other extension logs a number as a parameter, and it takes less
 * time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "table/insert.h"

/* Begins a row; the table is checked, and locked until the end of the transaction. */
void
pnvs_table_insert_begin(PnvsTable *table, PnvsTableInsert *insert)
{
	TupleTableSlot *slot;

	insert->relation = pnvs_table_open(table, RowExclusiveLock);
	insert->state = CreateExecutorState();
	insert->result = makeNode(ResultRelInfo);
	InitResultRelInfo(insert->result, insert->relation, 0, NULL, 0);
	ExecOpenIndices(insert->result, true);
	slot = ExecInitExtraTupleSlot(insert->state, RelationGetDescr(insert->relation),
								  &TTSOpsVirtual);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	insert->slot = slot;
}

/* Inserts the row.  The next statement of this transaction sees it. */
void
pnvs_table_insert_finish(PnvsTableInsert *insert)
{
	ExecSimpleRelationInsert(insert->result, insert->state, insert->slot);
	ExecCloseIndices(insert->result);
	ExecResetTupleTable(insert->state->es_tupleTable, false);
	FreeExecutorState(insert->state);
	table_close(insert->relation, NoLock);
	CommandCounterIncrement();
}
