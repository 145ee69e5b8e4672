/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  The statements on a table of the extension: plans, parameters and results.
 *
 * Statements are run, and results read, within a visit (see table.h).  A statement is
 * named by its position in the table's description.  Functions throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_STATEMENTS_H
#define PNVS_TABLE_STATEMENTS_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "table/table.h"

/* Of statements that return one column. */
#define PNVS_FIRST_COLUMN 1

extern Datum pnvs_array_make(Oid type, Datum *values, bool *nulls, int n);
extern Datum pnvs_array_of_ids(const int64 *ids, int nids);
extern Datum pnvs_array_of_texts(const char *const *texts, int ntexts);
extern int	pnvs_table_run(PnvsTable *table, int statement, Datum *values);
extern int	pnvs_table_read(PnvsTable *table, int statement, Datum *values, const char *nulls);
extern int	pnvs_table_write(PnvsTable *table, int statement, Datum *values, const char *nulls);
extern int	pnvs_table_run_for_ids(PnvsTable *table, int statement, Datum *values, int64 **ids);
extern TimestampTz pnvs_table_run_for_time(PnvsTable *table, int statement, Datum *values);
extern Datum pnvs_result_value(int row, int column, bool *isnull);
extern Datum pnvs_result_datum(int row, int column);
pg_noreturn extern void pnvs_table_raise_null(int column);
extern char *pnvs_result_optional_text(int row, int column);
extern TimestampTz pnvs_result_optional_time(int row, int column);

/* A column by its type; a NULL raises an error.  Texts are copied. */
#define pnvs_result_int32(row, column) DatumGetInt32(pnvs_result_datum(row, column))
#define pnvs_result_int64(row, column) DatumGetInt64(pnvs_result_datum(row, column))
#define pnvs_result_oid(row, column) DatumGetObjectId(pnvs_result_datum(row, column))
#define pnvs_result_xid(row, column) DatumGetTransactionId(pnvs_result_datum(row, column))
#define pnvs_result_time(row, column) DatumGetTimestampTz(pnvs_result_datum(row, column))
#define pnvs_result_text(row, column) TextDatumGetCString(pnvs_result_datum(row, column))

#endif							/* PNVS_TABLE_STATEMENTS_H */
