/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  The statements on a table of the extension: plans, parameters and results.
 *
 * Every column that is read has a cast, so that a result has the types that the
 * library expects whatever the table has become; a NULL that must not be there raises
 * an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "errcodes.h"
#include "table/statements.h"

static int	run_plan(PnvsTable *table, int statement, Datum *values, const char *nulls,
					 bool read_only);
static int	note_result(PnvsTable *table, int result);
static SPIPlanPtr plan_of(PnvsTable *table, int statement);
static void forget_plans_of_another_relation(PnvsTable *table);

/* An array of a type, in the current memory context; nulls can be NULL: there are none. */
Datum
pnvs_array_make(Oid type, Datum *values, bool *nulls, int n)
{
	int			lower_bound = 1;
	int16		len;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &len, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, n > 0 ? 1 : 0, &n, &lower_bound,
											  type, len, by_value, align));
}

Datum
pnvs_array_of_ids(const int64 *ids, int nids)
{
	Datum	   *values = palloc((nids + 1) * sizeof(Datum));

	for (int i = 0; i < nids; i++)
		values[i] = Int64GetDatum(ids[i]);
	return pnvs_array_make(INT8OID, values, NULL, nids);
}

Datum
pnvs_array_of_texts(const char *const *texts, int ntexts)
{
	Datum	   *values = palloc((ntexts + 1) * sizeof(Datum));

	for (int i = 0; i < ntexts; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return pnvs_array_make(TEXTOID, values, NULL, ntexts);
}

/* Runs a statement within a visit and returns the number of rows. */
int
pnvs_table_run(PnvsTable *table, int statement, Datum *values)
{
	return run_plan(table, statement, values, NULL, false);
}

/*
 * Runs a query and sees what has been committed by now and what this
 * transaction has done, also if the transaction's own snapshot is older.  nulls: 'n' or
 * ' ' for each value, or NULL.
 */
int
pnvs_table_read(PnvsTable *table, int statement, Datum *values, const char *nulls)
{
	int			nrows;

	PushActiveSnapshot(GetLatestSnapshot());
	nrows = run_plan(table, statement, values, nulls, true);
	PopActiveSnapshot();
	return nrows;
}

/*
 * Runs a statement that writes, and sees the same.  A row that another transaction has
 * changed since is an error in REPEATABLE READ, as ever.
 */
int
pnvs_table_write(PnvsTable *table, int statement, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = plan_of(table, statement);
	int			result;

	/*
	 * SPI copies the snapshot, and counts its own statement as later than
	 * what was done
	 */
	result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
								  false, true, 0);
	MemoryContextSwitchTo(caller);
	return note_result(table, result);
}

/* Runs a statement whose first column is an ID; the rows' IDs, and their number. */
int
pnvs_table_run_for_ids(PnvsTable *table, int statement, Datum *values, int64 **ids)
{
	int			nrows = run_plan(table, statement, values, NULL, false);

	*ids = palloc((nrows + 1) * sizeof(int64));
	for (int row = 0; row < nrows; row++)
		(*ids)[row] = pnvs_result_int64(row, PNVS_FIRST_COLUMN);
	return nrows;
}

/* Runs a statement whose first column is a time; that of the first row, or DT_NOEND. */
TimestampTz
pnvs_table_run_for_time(PnvsTable *table, int statement, Datum *values)
{
	return run_plan(table, statement, values, NULL, false) == 0 ? DT_NOEND :
		pnvs_result_time(0, PNVS_FIRST_COLUMN);
}

/* A column, counted from 1, of a row, counted from 0, of the last result. */
Datum
pnvs_result_value(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* The same of a column that must not be NULL: an error otherwise. */
Datum
pnvs_result_datum(int row, int column)
{
	bool		isnull;
	Datum		value = pnvs_result_value(row, column, &isnull);

	if (isnull)
		pnvs_table_raise_null(column);
	return value;
}

/* The same of a text that may be NULL, copied to the current memory context. */
char *
pnvs_result_optional_text(int row, int column)
{
	bool		isnull;
	Datum		value = pnvs_result_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The same of a time; 0 for NULL. */
TimestampTz
pnvs_result_optional_time(int row, int column)
{
	bool		isnull;
	Datum		value = pnvs_result_value(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static int
run_plan(PnvsTable *table, int statement, Datum *values, const char *nulls, bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result = SPI_execute_plan(plan_of(table, statement), values, nulls, read_only, 0);

	/* SPI leaves its own behind, whatever was there before */
	MemoryContextSwitchTo(caller);
	return note_result(table, result);
}

/* The number of rows of a statement that SPI has run. */
static int
note_result(PnvsTable *table, int result)
{
	if (result < 0)
		elog(ERROR, "could not run a statement on \"%s.%s\": %s",
			 PNVS_TABLE_SCHEMA, table->name, SPI_result_code_string(result));
	return (int) SPI_processed;
}

static SPIPlanPtr
plan_of(PnvsTable *table, int statement)
{
	const PnvsTableStatement *made = &table->statements[statement];
	int			nparameters = 0;
	SPIPlanPtr	plan;

	forget_plans_of_another_relation(table);
	if (table->plans[statement] != NULL)
		return table->plans[statement];
	while (nparameters < PNVS_TABLE_MAX_PARAMETERS && OidIsValid(made->types[nparameters]))
		nparameters++;
	plan = SPI_prepare(psprintf(made->text, table->planned_name), nparameters,
					   (Oid *) made->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement on \"%s.%s\": %s",
			 PNVS_TABLE_SCHEMA, table->name, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	table->plans[statement] = plan;
	return plan;
}

/* The extension may have gone and come back since. */
static void
forget_plans_of_another_relation(PnvsTable *table)
{
	Oid			oid = pnvs_table_oid(table);
	char	   *schema;
	char	   *relation;

	if (oid == table->planned)
		return;
	schema = get_namespace_name(get_rel_namespace(oid));
	relation = get_rel_name(oid);
	if (schema == NULL || relation == NULL)
		elog(ERROR, "the table \"%s.%s\" has gone", PNVS_TABLE_SCHEMA, table->name);
	if (table->plans == NULL)
		table->plans = MemoryContextAllocZero(TopMemoryContext,
											  table->nstatements * sizeof(SPIPlanPtr));
	for (int i = 0; i < table->nstatements; i++)
	{
		if (table->plans[i] != NULL)
			SPI_freeplan(table->plans[i]);
		table->plans[i] = NULL;
	}
	table->planned = InvalidOid;
	if (table->planned_name != NULL)
		pfree(table->planned_name);
	table->planned_name = NULL;
	table->planned_name = MemoryContextStrdup(TopMemoryContext,
											  quote_qualified_identifier(schema, relation));
	table->planned = oid;
}

/* A column, counted from 1, must not be NULL, and is. */
void
pnvs_table_raise_null(int column)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column %d of a row of a table of pnvs is NULL", column),
			 errhint("A row of a table in the schema \"%s\" was changed by hand, or a NOT NULL was dropped.",
					 PNVS_TABLE_SCHEMA),
			 pnvs_errhide()));
}
