/*-------------------------------------------------------------------------
 *
 * index_entries.h
 *	  Writes the index entries of a row of a table of the extension.
 *
 * Of a table that is open, and has been checked.  Functions throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_INDEX_ENTRIES_H
#define PNVS_TABLE_INDEX_ENTRIES_H

#include "executor/tuptable.h"

#include "table/table.h"

extern void pnvs_index_entries_begin(PnvsTable *table, int max);
extern void pnvs_index_entries_add(PnvsTable *table, Relation index);
extern bool pnvs_index_entries_id_is_free(const PnvsTable *table, Relation relation,
										  TupleTableSlot *slot);
extern void pnvs_index_entries_insert(const PnvsTable *table, Relation relation,
									  TupleTableSlot *slot, bool is_update, bool only_summarizing);

#endif							/* PNVS_TABLE_INDEX_ENTRIES_H */
