/*
 * test_matching.c: which record of the service belongs to which message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/matching.h"
#include "tap.h"

#define MAX_SMALL 8
#define MANY 2000

static PnvsCandidate candidates[MANY];
static PnvsSentRecord records[MANY];

static void
test_numbers(void)
{
	static const struct
	{
		const char *shown;
		bool		fits;
		const char *what;
	}			cases[] = {
		{"6281234567890", true, "the number itself fits"},
		{"+62 812-3456-(7890)", true, "written for people it fits, too"},
		{"6281234567891", false, "another number does not fit"},
		{"628123456789", false, "nor does its beginning"},
		{"62812345678901", false, "nor a longer one"},
		{"6281234****90", true, "a masked number fits by what is visible"},
		{"6281234**90", true, "however many asterisks there are"},
		{"6281235****90", false, "a masked one does not fit if its beginning is another"},
		{"6281234****91", false, "nor if its end is another"},
		{"*********7890", true, "a mask may stand in front"},
		{"628123456****", true, "or at the end"},
		{"62***45***890", true, "and in two places"},
		{"62***46***890", false, "but what is between them counts"},
		{"6281234567890*", true, "a mask may hide nothing"},
		{"62812345****567890", false, "what is visible must not overlap"},
		{"****", false, "a number that is hidden altogether is no evidence"},
		{"***890", false, "nor is one with three visible digits"},
		{"", false, "nor an empty one"},
		{NULL, false, "nor none"},
		{"6281234567890x", false, "what is no number does not fit"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		tap_int(pnvs_matching_fits_number(cases[i].shown, "6281234567890"), cases[i].fits,
				"%s (%s)", cases[i].what, cases[i].shown ? cases[i].shown : "NULL");
}

static void
assign_one(int64_t from_us, int64_t until_us, int64_t at_us)
{
	candidates[0].from_us = from_us;
	candidates[0].until_us = until_us;
	records[0].sent_us = at_us;
	pnvs_matching_assign(candidates, 1, records, 1);
}

static void
test_time(void)
{
	const int64_t margin_us = PNVS_CLOCK_MARGIN_US;

	assign_one(1000, 2000, 1000 - margin_us);
	tap_int(candidates[0].record, 0, "a record may be earlier by the margin of the clocks");
	assign_one(1000, 2000, 1000 - margin_us - 1);
	tap_int(candidates[0].record, -1, "but by no more");
	assign_one(1000, 2000, 2000 + margin_us);
	tap_int(candidates[0].record, 0, "a record may be later by the margin");
	assign_one(1000, 2000, 2000 + margin_us + 1);
	tap_int(candidates[0].record, -1, "but by no more than that");
	pnvs_matching_assign(candidates, 1, records, 0);
	tap_int(candidates[0].record, -1, "where there are no records nothing is found");

	/* a wide one may have what a narrow one in between may not */
	candidates[0].from_us = 0;
	candidates[0].until_us = 200000000;
	candidates[1].from_us = candidates[1].until_us = 100000000;
	records[0].sent_us = 150000000;
	pnvs_matching_assign(candidates, 2, records, 1);
	tap_int(candidates[0].record, 0, "a record goes to the message whose time it is in");
	tap_int(candidates[1].record, -1, "and not to a closer one whose time is over");
}

/* The total distance and the number of pairs, by the plainest of ways. */
static void
assign_plainly(int n, int m, int *npairs, int64_t *distance_us)
{
	bool		given[MAX_SMALL] = {0};
	bool		has[MAX_SMALL] = {0};

	*npairs = 0;
	*distance_us = 0;
	for (;;)
	{
		int64_t		best_us = INT64_MAX;
		int			best_i = -1;
		int			best_j = -1;

		for (int i = 0; i < n; i++)
		{
			for (int j = 0; j < m; j++)
			{
				int64_t		apart_us = llabs(records[j].sent_us - candidates[i].from_us);

				if (has[i] || given[j] || apart_us >= best_us ||
					records[j].sent_us < candidates[i].from_us - PNVS_CLOCK_MARGIN_US ||
					records[j].sent_us > candidates[i].until_us + PNVS_CLOCK_MARGIN_US)
					continue;
				best_us = apart_us;
				best_i = i;
				best_j = j;
			}
		}
		if (best_i < 0)
			return;
		has[best_i] = given[best_j] = true;
		(*npairs)++;
		*distance_us += best_us;
	}
}

static int
by_time(const void *a, const void *b)
{
	int64_t		first = ((const PnvsSentRecord *) a)->sent_us;
	int64_t		second = ((const PnvsSentRecord *) b)->sent_us;

	return (first > second) - (first < second);
}

/* Distances are all different, so that there is one answer. */
static void
test_closest(void)
{
	int			other = 0;
	int			twice = 0;

	srand(1);
	for (int round = 0; round < 20000; round++)
	{
		int			n = rand() % (MAX_SMALL + 1);
		int			m = rand() % (MAX_SMALL + 1);
		int			seen[MAX_SMALL] = {0};
		int			npairs;
		int64_t		distance_us;

		for (int i = 0; i < n; i++)
		{
			candidates[i].from_us = (int64_t) (rand() % 200000) * 64000 + (1 << i) % 61;
			candidates[i].until_us = candidates[i].from_us + (int64_t) (rand() % 600000) * 1000;
		}
		for (int j = 0; j < m; j++)
			records[j].sent_us = (int64_t) (rand() % 200000) * 64000;
		qsort(records, m, sizeof(PnvsSentRecord), by_time);
		assign_plainly(n, m, &npairs, &distance_us);
		pnvs_matching_assign(candidates, n, records, m);
		for (int i = 0; i < n; i++)
		{
			if (candidates[i].record < 0)
				continue;
			npairs--;
			distance_us -= llabs(records[candidates[i].record].sent_us - candidates[i].from_us);
			twice += seen[candidates[i].record]++ > 0;
		}
		other += npairs != 0 || distance_us != 0;
	}
	tap_int(other, 0, "each record goes to the message that is closest to it, as the plainest way has it");
	tap_int(twice, 0, "and to that one alone");
}

/* All want the same: the worst case. */
static void
test_many(void)
{
	int			nfound = 0;

	for (int i = 0; i < MANY; i++)
	{
		candidates[i].from_us = 0;
		candidates[i].until_us = MANY;
		records[i].sent_us = i;
	}
	pnvs_matching_assign(candidates, MANY, records, MANY);
	for (int i = 0; i < MANY; i++)
		nfound += candidates[i].record >= 0;
	tap_int(nfound, MANY, "thousands of messages of one moment have a record each");
}

int
main(void)
{
	test_numbers();
	test_time();
	test_closest();
	test_many();
	return tap_done();
}
