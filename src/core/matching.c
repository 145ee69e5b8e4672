/*-------------------------------------------------------------------------
 *
 * matching.c
 *	  Finds out which record of the service belongs to which message.
 *
 * It takes the closest pair of a message and a record, again and again, until no message
 * has a record within its time.  Each message remembers the closest record that was free
 * when it last searched, and searches again only if another message has taken that.  A
 * search is a binary search; it skips taken records by links, which each walk shortens.
 * So n messages and m records cost about n * n comparisons and n log m steps of searches.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/ascii.h"
#include "core/matching.h"

static bool is_separator(char c);
static int	closest_record(const PnvsCandidate *candidate, PnvsSentRecord *records, int nrecords);
static int	free_before(PnvsSentRecord *records, int record);
static int	free_after(PnvsSentRecord *records, int record, int nrecords);
static uint64_t distance_us(const PnvsCandidate *candidate, const PnvsSentRecord *record);

/* Whether what the service shows of a number, or NULL, tells it from others. */
bool
pnvs_matching_tells_number(const char *shown)
{
	int			nvisible = 0;

	for (const char *c = shown; c != NULL && *c; c++)
		nvisible += pnvs_ascii_is_digit(*c);
	return nvisible >= PNVS_MIN_VISIBLE_DIGITS;
}

/*
 * Whether the service may show a number, which is digits alone, like this.  What people
 * write between digits is skipped; each asterisk stands for any number of hidden digits.
 * False if it does not tell the number.
 */
bool
pnvs_matching_fits_number(const char *shown, const char *number)
{
	const char *text = shown;
	const char *after_mask = NULL;	/* where a mask lets the comparison resume */
	const char *resume = NULL;	/* in number */

	if (!pnvs_matching_tells_number(shown))
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
			/* the mask hides one more digit */
			text = after_mask;
			number = ++resume;
		}
		else
			return false;
	}
	return true;
}

/*
 * Gives each candidate the index of its record, or -1.  Records are in the order of their
 * times, which alone need to be filled in; no other message has any of them.
 */
void
pnvs_matching_assign(PnvsCandidate *candidates, int ncandidates, PnvsSentRecord *records,
					 int nrecords)
{
	PnvsCandidate *best;

	for (int i = 0; i < nrecords; i++)
		records[i].before = records[i].after = i;
	for (int i = 0; i < ncandidates; i++)
		candidates[i].record = closest_record(&candidates[i], records, nrecords);
	do
	{
		best = NULL;
		for (int i = 0; i < ncandidates; i++)
		{
			PnvsCandidate *candidate = &candidates[i];

			/* -1: no record is left for it; -2 - record: that is its record */
			if (candidate->record < 0)
				continue;
			if (records[candidate->record].before != candidate->record)
				candidate->record = closest_record(candidate, records, nrecords);
			if (candidate->record >= 0 &&
				(best == NULL || distance_us(candidate, &records[candidate->record]) <
				 distance_us(best, &records[best->record])))
				best = candidate;
		}
		if (best != NULL)
		{
			records[best->record].before = best->record - 1;
			records[best->record].after = best->record + 1;
			best->record = -2 - best->record;
		}
	} while (best != NULL);
	for (int i = 0; i < ncandidates; i++)
		candidates[i].record = candidates[i].record <= -2 ? -2 - candidates[i].record : -1;
}

static bool
is_separator(char c)
{
	return c == '+' || c == '-' || c == ' ' || c == '(' || c == ')';
}

/* The free record closest to the candidate's dispatch and within its time, or -1. */
static int
closest_record(const PnvsCandidate *candidate, PnvsSentRecord *records, int nrecords)
{
	int			low = 0;
	int			high = nrecords;
	int			before;
	int			after;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (records[middle].sent_us < candidate->from_us)
			low = middle + 1;
		else
			high = middle;
	}
	before = free_before(records, low - 1);
	after = free_after(records, low, nrecords);
	if (before >= 0 && !pnvs_matching_is_in_time(candidate, &records[before]))
		before = -1;
	if (after >= nrecords || !pnvs_matching_is_in_time(candidate, &records[after]))
		after = -1;
	if (before < 0 || after < 0)
		return before < 0 ? after : before;
	return distance_us(candidate, &records[before]) < distance_us(candidate, &records[after]) ?
		before : after;
}

/* The last free record up to this one, or -1; halves the links for the next walk. */
static int
free_before(PnvsSentRecord *records, int record)
{
	while (record >= 0 && records[record].before != record)
	{
		int			next = records[record].before;

		if (next >= 0)
			records[record].before = records[next].before;
		record = records[record].before;
	}
	return record;
}

/* The first free record from this one on, or nrecords. */
static int
free_after(PnvsSentRecord *records, int record, int nrecords)
{
	while (record < nrecords && records[record].after != record)
	{
		int			next = records[record].after;

		if (next < nrecords)
			records[record].after = records[next].after;
		record = records[record].after;
	}
	return record;
}

/* Unsigned, so that no two times are too far apart. */
static uint64_t
distance_us(const PnvsCandidate *candidate, const PnvsSentRecord *record)
{
	uint64_t	distance_us = (uint64_t) record->sent_us - (uint64_t) candidate->from_us;

	return record->sent_us < candidate->from_us ? -distance_us : distance_us;
}

/* Whether a record can be of a message. */
bool
pnvs_matching_is_in_time(const PnvsCandidate *candidate, const PnvsSentRecord *record)
{
	return record->sent_us + PNVS_CLOCK_MARGIN_US >= candidate->from_us &&
		record->sent_us - PNVS_CLOCK_MARGIN_US <= candidate->until_us;
}
