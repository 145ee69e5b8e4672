/*-------------------------------------------------------------------------
 *
 * array.c
 *	  Arrays of SQL's, as the queue's statements take them.
 *
 * All of them are made in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "queue/rows/array.h"

static Datum make_array(Datum *values, bool *nulls, int n, Oid type, int16 len,
						bool by_value, char align);

Datum
pnvs_array_of_ids(const int64 *ids, int nids)
{
	Datum	   *values = palloc(Max(nids, 1) * sizeof(Datum));

	for (int i = 0; i < nids; i++)
		values[i] = Int64GetDatum(ids[i]);
	return make_array(values, NULL, nids, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE);
}

/* Places of rows: tids are Datums, which the array has copies of. */
Datum
pnvs_array_of_tids(Datum *tids, int n)
{
	return make_array(tids, NULL, n, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT);
}

/* The place of each verdict's row, which may be an invalid one. */
Datum
pnvs_array_of_places(const PnvsVerdict *verdicts, int n)
{
	Datum	   *values = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = PointerGetDatum(&verdicts[i].place);
	return pnvs_array_of_tids(values, n);
}

/* A member of each verdict, by its offset: a text, in which NULL stands for SQL's. */
Datum
pnvs_array_of_texts(const PnvsVerdict *verdicts, int n, size_t offset)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		const char *text = *(const char *const *) ((const char *) &verdicts[i] + offset);

		nulls[i] = text == NULL;
		values[i] = text ? CStringGetTextDatum(text) : (Datum) 0;
	}
	return make_array(values, nulls, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* The same of a time; 0 stands for NULL. */
Datum
pnvs_array_of_times(const PnvsVerdict *verdicts, int n, size_t offset)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		TimestampTz time = *(const TimestampTz *) ((const char *) &verdicts[i] + offset);

		nulls[i] = time == 0;
		values[i] = TimestampTzGetDatum(time);
	}
	return make_array(values, nulls, n, TIMESTAMPTZOID, sizeof(TimestampTz),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* The masked number of each verdict that has one. */
Datum
pnvs_array_of_masked(const PnvsVerdict *verdicts, int n)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = verdicts[i].masked[0] == '\0';
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(verdicts[i].masked);
	}
	return make_array(values, nulls, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* A member of each verdict, by its offset: a number, in which 0 stands for NULL. */
Datum
pnvs_array_of_numbers(const PnvsVerdict *verdicts, int n, size_t offset)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		int			number = *(const int *) ((const char *) &verdicts[i] + offset);

		nulls[i] = number == 0;
		values[i] = Int32GetDatum(number);
	}
	return make_array(values, nulls, n, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

static Datum
make_array(Datum *values, bool *nulls, int n, Oid type, int16 len, bool by_value, char align)
{
	int			lower_bound = 1;

	return PointerGetDatum(construct_md_array(values, nulls, n > 0 ? 1 : 0, &n, &lower_bound,
											  type, len, by_value, align));
}
