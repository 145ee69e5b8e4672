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
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "errcodes.h"
#include "sql/row.h"

/*
 * Throws where a row type does not have just these columns: somebody may have
 * altered it, or the library may be newer than the extension.
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
 * these types.  To be called before anything is sent: it is too late for an
 * error afterwards.  The type's descriptor is pinned until the row is finished,
 * or an error ends the transaction or the part of it; get_call_result_type()
 * would copy it.
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
