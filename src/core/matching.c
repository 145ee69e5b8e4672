/*-------------------------------------------------------------------------
 *
 * matching.c
 *	  Which record of the service belongs to which message.
 *
 * Again and again the closest pair of a message and a record is taken, until no
 * message has a record within its time.  Each message remembers the closest record
 * that was free when it last looked, and looks again only if another message has
 * taken that; a look is a binary search, and records that were taken are skipped
 * through links, which get shorter with every walk.  So n messages and m records
 * cost about n * n simple comparisons and n log m looks, and no memory.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/ascii.h"
#include "core/matching.h"

static bool is_separator(char c);
static int	closest_record(const PnvsCandidate *candidate, const int64_t *sent_ms,
						   int nrecords, PnvsMatchingSlot *slots);
static int	free_before(PnvsMatchingSlot *slots, int record);
static int	free_after(PnvsMatchingSlot *slots, int record, int nrecords);
static int64_t distance_ms(const PnvsCandidate *candidate, int64_t sent_ms);
static bool is_in_time(const PnvsCandidate *candidate, int64_t sent_ms);

/*
 * Whether a number as the service shows it can be that number, which is digits
 * alone.  What people write between digits is passed over; asterisks stand for any
 * number of hidden digits.  A number that shows too few digits, or NULL, is no evidence.
 */
bool
pnvs_matching_fits_number(const char *shown, const char *number)
{
	const char *text = shown;
	const char *after_mask = NULL;	/* where a mask lets the comparison resume */
	const char *resume = NULL;	/* in number */
	int			nvisible = 0;

	if (shown == NULL)
		return false;
	for (const char *c = shown; *c; c++)
		nvisible += pnvs_ascii_is_digit(*c);
	if (nvisible < PNVS_MIN_VISIBLE_DIGITS)
		return false;
	while (*text || *number)
	{
		if (is_separator(*text))
			text++;
		else if (*text == '*')
		{
			after_mask = ++text;
			resume = number;
		}
		else if (*text && *text == *number)
		{
			text++;
			number++;
		}
		else if (resume != NULL && *resume)
		{
			/* the mask hides one digit more */
			text = after_mask;
			number = ++resume;
		}
		else
			return false;
	}
	return true;
}

/*
 * Gives each candidate the index of its record, or -1.  sent_ms are the times of the
 * records, in ascending order, none of which another message has.  slots has room
 * for nrecords and need not be filled in.
 */
void
pnvs_matching_assign(PnvsCandidate *candidates, int ncandidates, const int64_t *sent_ms,
					 int nrecords, PnvsMatchingSlot *slots)
{
	int			nleft = 0;

	for (int i = 0; i < nrecords; i++)
		slots[i].before = slots[i].after = i;
	for (int i = 0; i < ncandidates; i++)
	{
		candidates[i].record = closest_record(&candidates[i], sent_ms, nrecords, slots);
		nleft += candidates[i].record >= 0;
	}
	while (nleft > 0)
	{
		PnvsCandidate *best = NULL;
		int64_t		best_ms = INT64_MAX;

		nleft = 0;
		for (int i = 0; i < ncandidates; i++)
		{
			PnvsCandidate *candidate = &candidates[i];
			int			record = candidate->record;

			/* -1: none is left for it; -2 - record: it has that one */
			if (record < 0)
				continue;
			if (slots[record].before != record)
				record = candidate->record = closest_record(candidate, sent_ms, nrecords, slots);
			if (record < 0)
				continue;
			nleft++;
			if (distance_ms(candidate, sent_ms[record]) < best_ms)
			{
				best_ms = distance_ms(candidate, sent_ms[record]);
				best = candidate;
			}
		}
		if (best == NULL)
			break;
		slots[best->record].before = best->record - 1;
		slots[best->record].after = best->record + 1;
		best->record = -2 - best->record;
		nleft--;
	}
	for (int i = 0; i < ncandidates; i++)
		candidates[i].record = candidates[i].record <= -2 ? -2 - candidates[i].record : -1;
}

static bool
is_separator(char c)
{
	return c == '+' || c == '-' || c == ' ' || c == '(' || c == ')';
}

/* The free record closest to when the candidate was dispatched, within its time, or -1. */
static int
closest_record(const PnvsCandidate *candidate, const int64_t *sent_ms, int nrecords,
			   PnvsMatchingSlot *slots)
{
	int			low = 0;
	int			high = nrecords;
	int			before;
	int			after;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (sent_ms[middle] < candidate->from_ms)
			low = middle + 1;
		else
			high = middle;
	}
	before = free_before(slots, low - 1);
	after = free_after(slots, low, nrecords);
	if (before >= 0 && !is_in_time(candidate, sent_ms[before]))
		before = -1;
	if (after >= nrecords || !is_in_time(candidate, sent_ms[after]))
		after = -1;
	if (before < 0 || after < 0)
		return before < 0 ? after : before;
	return distance_ms(candidate, sent_ms[before]) < distance_ms(candidate, sent_ms[after]) ?
		before : after;
}

/* The last free record up to this one, or -1; halves the way for the next walk. */
static int
free_before(PnvsMatchingSlot *slots, int record)
{
	while (record >= 0 && slots[record].before != record)
	{
		int			next = slots[record].before;

		if (next >= 0)
			slots[record].before = slots[next].before;
		record = slots[record].before;
	}
	return record;
}

/* The first free record from this one on, or nrecords. */
static int
free_after(PnvsMatchingSlot *slots, int record, int nrecords)
{
	while (record < nrecords && slots[record].after != record)
	{
		int			next = slots[record].after;

		if (next < nrecords)
			slots[record].after = slots[next].after;
		record = slots[record].after;
	}
	return record;
}

static int64_t
distance_ms(const PnvsCandidate *candidate, int64_t sent_ms)
{
	return sent_ms < candidate->from_ms ? candidate->from_ms - sent_ms :
		sent_ms - candidate->from_ms;
}

static bool
is_in_time(const PnvsCandidate *candidate, int64_t sent_ms)
{
	return sent_ms >= candidate->from_ms - PNVS_CLOCK_MARGIN_MS &&
		sent_ms <= candidate->until_ms + PNVS_CLOCK_MARGIN_MS;
}
