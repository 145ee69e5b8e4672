/*-------------------------------------------------------------------------
 *
 * unknown.c
 *	  Reads the rows of unknown fate, and what a look-up must know of other rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/rows/array.h"
#include "queue/rows/statements.h"
#include "queue/rows/unknown.h"

/*
 * Rows of unknown fate that one search is for; more to one number, service and
 * channel are looked up once these are settled.
 */
#define MAX_SIBLINGS 2000

/*
 * Reads up to max rows of unknown fate that are to be looked up now, except
 * those that are under way; their texts live as long as the visit.
 */
int
pnvs_unknown_select(PnvsClaim *claims, int max, const int64 *under_way, int nunder_way)
{
	Datum		values[3];
	int			nrows;

	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = Int64GetDatum(max);
	values[2] = pnvs_array_of_ids(under_way, nunder_way);
	nrows = (int) pnvs_table_run(PNVS_SELECT_UNKNOWN, values, NULL);
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *claim = &claims[row];

		memset(claim, 0, sizeof(*claim));
		claim->id = DatumGetInt64(pnvs_table_value(row, 1, NULL));
		claim->channel = pnvs_table_text(row, 2);
		claim->recipient = pnvs_table_text(row, 3);
		claim->service_sid = pnvs_table_text(row, 4);
		claim->dispatched_at = DatumGetTimestampTz(pnvs_table_value(row, 5, NULL));
		claim->unknown_since = DatumGetTimestampTz(pnvs_table_value(row, 6, NULL));
		claim->not_before = DatumGetTimestampTz(pnvs_table_value(row, 7, NULL));
	}
	return nrows;
}

/* When a row is to be looked up that is among neither, or DT_NOEND. */
TimestampTz
pnvs_unknown_next(const PnvsClaim *claims, int nclaims, const int64 *under_way,
				  int nunder_way)
{
	int64	   *ids = palloc((nclaims + nunder_way + 1) * sizeof(int64));
	Datum		value;

	for (int i = 0; i < nclaims; i++)
		ids[i] = claims[i].id;
	for (int i = 0; i < nunder_way; i++)
		ids[nclaims + i] = under_way[i];
	value = pnvs_array_of_ids(ids, nclaims + nunder_way);
	return pnvs_table_run(PNVS_NEXT_UNKNOWN, &value, NULL) == 1 ?
		DatumGetTimestampTz(pnvs_table_value(0, 1, NULL)) : DT_NOEND;
}

/*
 * Whether another row of the claim's number is being sent now.  never_sent: the claim
 * is looked up before its first send, and other rows that are count as not being sent.
 */
bool
pnvs_unknown_is_number_busy(const PnvsClaim *claim, bool never_sent)
{
	Datum		values[4];

	values[0] = CStringGetTextDatum(claim->recipient);
	values[1] = CStringGetTextDatum(claim->service_sid);
	values[2] = Int64GetDatum(claim->id);
	values[3] = Int32GetDatum(never_sent ? (int32) GetWALInsertionTimeLine() : PG_INT32_MIN);
	return pnvs_table_run(PNVS_SELECT_BEING_SENT, values, NULL) > 0;
}

/*
 * The claim and the other rows of unknown fate with its number, service and channel,
 * to any of which a record may belong; their number.
 */
int
pnvs_unknown_siblings(const PnvsClaim *claim, PnvsClaim **siblings)
{
	Datum		values[3];
	int			nrows;
	int			n = 1;

	values[0] = CStringGetTextDatum(claim->recipient);
	values[1] = CStringGetTextDatum(claim->service_sid);
	values[2] = CStringGetTextDatum(claim->channel);
	nrows = (int) pnvs_table_run(PNVS_SELECT_SIBLINGS, values, NULL);
	nrows = Min(nrows, MAX_SIBLINGS);
	*siblings = palloc((nrows + 1) * sizeof(PnvsClaim));
	(*siblings)[0] = *claim;
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *sibling = &(*siblings)[n];

		*sibling = *claim;
		sibling->id = DatumGetInt64(pnvs_table_value(row, 1, NULL));
		if (sibling->id == claim->id)
			continue;
		sibling->dispatched_at = DatumGetTimestampTz(pnvs_table_value(row, 2, NULL));
		sibling->unknown_since = DatumGetTimestampTz(pnvs_table_value(row, 3, NULL));
		sibling->not_before = DatumGetTimestampTz(pnvs_table_value(row, 4, NULL));
		n++;
	}
	return n;
}

/* Those of the verification IDs that some row has, in no order; their number. */
int
pnvs_unknown_taken_ids(const char *const *ids, int nids, const char ***taken)
{
	Datum	   *texts = palloc((nids + 1) * sizeof(Datum));
	Datum		value;
	int			ntaken;

	for (int i = 0; i < nids; i++)
		texts[i] = CStringGetTextDatum(ids[i]);
	value = PointerGetDatum(construct_array(texts, nids, TEXTOID, -1, false, TYPALIGN_INT));
	ntaken = (int) pnvs_table_run(PNVS_TAKEN_VERIFICATIONS, &value, NULL);
	*taken = palloc((ntaken + 1) * sizeof(char *));
	for (int row = 0; row < ntaken; row++)
		(*taken)[row] = pnvs_table_text(row, 1);
	return ntaken;
}
