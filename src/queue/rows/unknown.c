/*-------------------------------------------------------------------------
 *
 * unknown.c
 *	  Reads the rows of unknown fate, and what a look-up must know of other rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"

#include "compat.h"
#include "queue/rows/statements.h"
#include "queue/rows/rows.h"

/*
 * Rows that one search is for; if a number has more of one service and channel, they are
 * looked up once these are settled.
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
	nrows = pnvs_table_run(&pnvs_queue_table, PNVS_SELECT_UNKNOWN, values);
	for (int row = 0; row < nrows; row++)
		pnvs_claim_read(row, &claims[row]);
	return nrows;
}

/* When a row is to be looked up that is neither claimed nor under way, or DT_NOEND. */
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
	return pnvs_table_run_for_time(&pnvs_queue_table, PNVS_NEXT_UNKNOWN, &value);
}

/*
 * Whether another message to the claim's number is being sent now.  verifying: the claim
 * is looked up before its first send, and other rows that are, too, do not count.
 */
bool
pnvs_unknown_is_number_busy(const PnvsClaim *claim, bool verifying)
{
	Datum		values[4];

	values[0] = CStringGetTextDatum(claim->recipient);
	values[1] = CStringGetTextDatum(claim->service_sid);
	values[2] = Int64GetDatum(claim->id);
	values[3] = Int32GetDatum(verifying ? (int32) GetWALInsertionTimeLine() : PG_INT32_MIN);
	return pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_BEING_SENT, values, NULL) > 0;
}

/*
 * The rows that a record may belong to, and their number: first the claim, then the other
 * rows of unknown fate with its number, service and channel.
 */
int
pnvs_unknown_siblings(const PnvsClaim *claim, PnvsClaim **rows)
{
	Datum		values[3];
	int			nsiblings;
	int			nrows = 1;

	values[0] = CStringGetTextDatum(claim->recipient);
	values[1] = CStringGetTextDatum(claim->service_sid);
	values[2] = CStringGetTextDatum(claim->channel);
	nsiblings = pnvs_table_read(&pnvs_queue_table, PNVS_SELECT_SIBLINGS, values, NULL);
	nsiblings = Min(nsiblings, MAX_SIBLINGS);
	*rows = palloc((nsiblings + 1) * sizeof(PnvsClaim));
	(*rows)[0] = *claim;
	for (int i = 0; i < nsiblings; i++)
	{
		if (pnvs_result_int64(i, PNVS_ROW_ID) != claim->id)
			pnvs_claim_read(i, &(*rows)[nrows++]);
	}
	return nrows;
}

/* Those of the verification IDs that some row has, in no order; their number. */
int
pnvs_unknown_taken_ids(const char *const *ids, int nids, const char ***taken)
{
	Datum		value = pnvs_array_of_texts(ids, nids);
	int			ntaken = pnvs_table_read(&pnvs_queue_table, PNVS_TAKEN_VERIFICATIONS, &value, NULL);

	*taken = palloc((ntaken + 1) * sizeof(char *));
	for (int row = 0; row < ntaken; row++)
		(*taken)[row] = pnvs_result_text(row, PNVS_FIRST_COLUMN);
	return ntaken;
}
