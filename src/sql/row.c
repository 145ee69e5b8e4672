/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Builds composite rows, column by column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "errcodes.h"
#include "sql/sql.h"

/*
 * Throws unless a row type has exactly these columns: somebody may have altered it, or
 * the library may be newer than the extension.
 */
void
pnvs_row_check_type(TupleDesc descriptor, const Oid *types, int ncolumns)
{
	bool		fits = descriptor != NULL && descriptor->natts == ncolumns;

	/* a dropped column has the type 0 */
	for (int i = 0; fits && i < ncolumns; i++)
		fits = TupleDescAttr(descriptor, i)->atttypid == types[i];
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the result type of this function does not fit the library of pnvs"),
				 errhint("Run ALTER EXTENSION pnvs UPDATE; a type of the extension must not be altered."),
				 pnvs_errhide()));
}

/*
 * Begins a row of the named type that the calling function returns, with columns of
 * these types.  To be called before anything is sent, while an error is still
 * harmless.  The type's descriptor is pinned until the row is finished or an error ends
 * the transaction or subtransaction; get_call_result_type() would copy it.
 */
void
pnvs_row_begin(PnvsRow *row, FunctionCallInfo fcinfo, const Oid *types, int ncolumns)
{
	row->descriptor = lookup_rowtype_tupdesc_noerror(get_func_rettype(fcinfo->flinfo->fn_oid),
													 -1, true);
	pnvs_row_check_type(row->descriptor, types, ncolumns);
	row->ncolumns = ncolumns;
	row->values = palloc(ncolumns * sizeof(Datum));
	row->nulls = palloc(ncolumns * sizeof(bool));
	row->filled = 0;
}

/* Adds a text column; NULL is SQL's. */
void
pnvs_row_add_text(PnvsRow *row, const char *text)
{
	pnvs_row_add_value(row, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

void
pnvs_row_add_value(PnvsRow *row, Datum value, bool isnull)
{
	row->nulls[row->filled] = isnull;
	row->values[row->filled++] = value;
}

/* The finished row, in the current memory context. */
Datum
pnvs_row_finish(PnvsRow *row)
{
	HeapTuple	tuple;

	Assert(row->filled == row->ncolumns);
	tuple = heap_form_tuple(row->descriptor, row->values, row->nulls);
	ReleaseTupleDesc(row->descriptor);
	return HeapTupleGetDatum(tuple);
}
