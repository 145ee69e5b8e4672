/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Building composite rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ROW_H
#define PNVS_ROW_H

#include "access/tupdesc.h"
#include "fmgr.h"

typedef struct PnvsRow
{
	TupleDesc	descriptor;
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
	int			filled;
} PnvsRow;

extern void pnvs_row_check_type(TupleDesc descriptor, const Oid *types, int ncolumns);
extern void pnvs_row_begin(PnvsRow *row, FunctionCallInfo fcinfo, const Oid *types,
						   int ncolumns);
extern void pnvs_row_add_text(PnvsRow *row, const char *text);
extern void pnvs_row_add_boolean(PnvsRow *row, bool value);
extern void pnvs_row_add_integer(PnvsRow *row, int value);
extern void pnvs_row_add_value(PnvsRow *row, Datum value, bool isnull);
extern Datum pnvs_row_finish(PnvsRow *row);

#endif							/* PNVS_ROW_H */
