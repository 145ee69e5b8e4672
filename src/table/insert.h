/*-------------------------------------------------------------------------
 *
 * insert.h
 *	  Inserts a row into a table of the extension without a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_INSERT_H
#define PNVS_TABLE_INSERT_H

#include "nodes/execnodes.h"

#include "table/table.h"

/* An insertion under way. */
typedef struct PnvsTableInsert
{
	Relation	relation;
	EState	   *state;
	ResultRelInfo *result;
	TupleTableSlot *slot;		/* the row; all NULL at first */
} PnvsTableInsert;

/* Puts a value, which is not NULL, into a column, counted from 1. */
static inline void
pnvs_table_insert_put(const PnvsTableInsert *insert, int column, Datum value)
{
	insert->slot->tts_values[column - 1] = value;
	insert->slot->tts_isnull[column - 1] = false;
}

extern void pnvs_table_insert_begin(PnvsTable *table, PnvsTableInsert *insert);
extern void pnvs_table_insert_finish(PnvsTableInsert *insert);

#endif							/* PNVS_TABLE_INSERT_H */
