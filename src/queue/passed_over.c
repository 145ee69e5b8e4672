/*-------------------------------------------------------------------------
 *
 * passed_over.c
 *	  Rows that cannot be claimed, left alone for a while.
 *
 * A trigger refuses them, say, and those behind them must not wait for that.
 * There may be any number of them, and each statement that looks for what is due
 * gets the list: so where it is full, everything is passed over up to the row
 * that has been in it for the longest, also what comes in between by a late commit,
 * until no more has failed for a while.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "queue/array.h"
#include "queue/passed_over.h"

static const PnvsPassedOverRow nothing = {{DT_NOBEGIN, 0}, DT_NOEND};

static void add_to_bulk(PnvsPassedOver *list, PnvsPassedOverRow row);
static void find_next_release(PnvsPassedOver *list);

/* Whether one position comes before another in the order. */
bool
pnvs_position_is_before(PnvsPosition a, PnvsPosition b)
{
	return a.not_before < b.not_before || (a.not_before == b.not_before && a.id < b.id);
}

void
pnvs_passed_over_init(PnvsPassedOver *list)
{
	list->nrows = 0;
	list->bulk = nothing;
	list->next_release = DT_NOEND;
}

void
pnvs_passed_over_add(PnvsPassedOver *list, PnvsPosition row, TimestampTz until)
{
	if (list->nrows == PNVS_MAX_PASSED_OVER)
	{
		add_to_bulk(list, list->rows[0]);
		list->nrows--;
		memmove(list->rows, list->rows + 1, list->nrows * sizeof(PnvsPassedOverRow));
	}
	list->rows[list->nrows].position = row;
	list->rows[list->nrows++].until = until;
	find_next_release(list);
}

/* Nothing could have been written: what was tried before gets no chance before this one. */
void
pnvs_passed_over_put_off(PnvsPassedOver *list, TimestampTz until)
{
	for (int i = 0; i < list->nrows; i++)
		list->rows[i].until = Max(list->rows[i].until, until);
	find_next_release(list);
}

/*
 * Drops what has been passed over for long enough.  Returns whether there was
 * something, which is to be looked for anew.
 */
bool
pnvs_passed_over_release(PnvsPassedOver *list, TimestampTz now)
{
	int			kept = 0;

	if (list->next_release > now)
		return false;
	for (int i = 0; i < list->nrows; i++)
	{
		if (list->rows[i].until > now)
			list->rows[kept++] = list->rows[i];
	}
	list->nrows = kept;
	if (list->bulk.until <= now)
		list->bulk = nothing;
	find_next_release(list);
	return true;
}

/* The rows' IDs, as SQL's array, in the current memory context. */
Datum
pnvs_passed_over_ids(const PnvsPassedOver *list)
{
	int64	   *ids = palloc((list->nrows + 1) * sizeof(int64));

	for (int i = 0; i < list->nrows; i++)
		ids[i] = list->rows[i].position.id;
	return pnvs_array_of_ids(ids, list->nrows);
}

/* Until the last of them gets another chance: those behind them come first. */
static void
add_to_bulk(PnvsPassedOver *list, PnvsPassedOverRow row)
{
	PnvsPassedOverRow *bulk = &list->bulk;

	if (pnvs_position_is_before(bulk->position, row.position))
		bulk->position = row.position;
	if (bulk->until == DT_NOEND || bulk->until < row.until)
		bulk->until = row.until;
}

static void
find_next_release(PnvsPassedOver *list)
{
	list->next_release = list->bulk.until;
	for (int i = 0; i < list->nrows; i++)
		list->next_release = Min(list->next_release, list->rows[i].until);
}
