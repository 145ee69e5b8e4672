/*-------------------------------------------------------------------------
 *
 * array.c
 *	  Makes the SQL arrays that the queue's statements take.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "queue/rows/array.h"

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
