/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Inserts, finds, locks and changes rows of a table of the extension, without a
 *	  statement.
 *
 * Functions throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_ROW_H
#define PNVS_TABLE_ROW_H

#include "access/genam.h"
#include "access/htup.h"
#include "executor/tuptable.h"

#include "table/table.h"

typedef struct PnvsTableRow
{
	PnvsTable  *table;
	Relation	relation;
	HeapTuple	found;			/* a copy */
	TupleTableSlot *slot;		/* the values of the row that was found or
								 * made, and those that were put */
	SysScanDesc scan;
	Snapshot	snapshot;
} PnvsTableRow;

/* Puts a value, which is not NULL, into a column, counted from 1. */
static inline void
pnvs_table_row_put(const PnvsTableRow *row, int column, Datum value)
{
	row->slot->tts_values[column - 1] = value;
	row->slot->tts_isnull[column - 1] = false;
}

/* A column, counted from 1; 0 if it is NULL. */
static inline Datum
pnvs_table_row_value(const PnvsTableRow *row, int column, bool *isnull)
{
	*isnull = row->slot->tts_isnull[column - 1];
	return *isnull ? (Datum) 0 : row->slot->tts_values[column - 1];
}

extern void pnvs_table_row_begin(PnvsTable *table, LOCKMODE mode, PnvsTableRow *row);
extern void pnvs_table_row_end(PnvsTableRow *row);
extern void pnvs_table_scan_begin(PnvsTableRow *row, int column, Datum value);
extern bool pnvs_table_scan_next(PnvsTableRow *row);
extern void pnvs_table_scan_end(PnvsTableRow *row);
extern void pnvs_table_row_make(PnvsTableRow *row);
extern bool pnvs_table_row_id_is_free(const PnvsTableRow *row);
extern void pnvs_table_row_insert(PnvsTableRow *row);
extern bool pnvs_table_row_find(PnvsTableRow *row, Datum id);
extern bool pnvs_table_row_find_again(PnvsTableRow *row, ItemPointer place, Datum id);
extern Datum pnvs_table_row_datum(const PnvsTableRow *row, int column);
extern int64 pnvs_table_row_optional_int64(const PnvsTableRow *row, int column);
extern char *pnvs_table_row_optional_text(const PnvsTableRow *row, int column);
extern bool pnvs_table_row_lock(PnvsTableRow *row);
extern bool pnvs_table_row_lock_if_free(PnvsTableRow *row);
extern bool pnvs_table_row_update(PnvsTableRow *row);

#endif							/* PNVS_TABLE_ROW_H */
