/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Building composite rows, column by column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "errcodes.h"
#include "sql/row.h"

/*
 * Begins a row of the type that the calling function returns.  That must have
 * as many columns as the caller is going to add: somebody may have altered it.
 */
void
pnvs_row_begin(PnvsRow *row, FunctionCallInfo fcinfo, int ncolumns)
{
	if (get_call_result_type(fcinfo, NULL, &row->descriptor) != TYPEFUNC_COMPOSITE ||
		row->descriptor->natts != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the result type of this function does not fit the library of pnvs"),
				 errhint("Run ALTER EXTENSION pnvs UPDATE; a type of the extension must not be altered."),
				 pnvs_errhide()));
	row->ncolumns = ncolumns;
	row->values = palloc(ncolumns * sizeof(Datum));
	row->nulls = palloc(ncolumns * sizeof(bool));
	row->filled = 0;
}

/* Adds a text column; NULL is SQL's. */
void
pnvs_row_add_text(PnvsRow *row, const char *text)
{
	row->nulls[row->filled] = text == NULL;
	row->values[row->filled] = text ? CStringGetTextDatum(text) : (Datum) 0;
	row->filled++;
}

void
pnvs_row_add_boolean(PnvsRow *row, bool value)
{
	row->nulls[row->filled] = false;
	row->values[row->filled++] = BoolGetDatum(value);
}

void
pnvs_row_add_integer(PnvsRow *row, int value)
{
	row->nulls[row->filled] = false;
	row->values[row->filled++] = Int32GetDatum(value);
}

/* The finished row, in the current memory context. */
Datum
pnvs_row_finish(PnvsRow *row)
{
	Assert(row->filled == row->ncolumns);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row->descriptor),
											 row->values, row->nulls));
}
