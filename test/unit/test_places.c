/*-------------------------------------------------------------------------
 *
 * test_places.c
 *	  The arithmetic of limits: by hand at every edge, and compared with a list of all
 *	  times.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <string.h>

#include "core/places.h"
#include "slow_places.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static PnvsPlaceList list;

/* Takes places at so many times in seconds. */
static void
take_all(const int *seconds, int n, int64_t now_us, const PnvsLimit *limit)
{
	memset(&list, 0, sizeof(list));
	for (int i = 0; i < n; i++)
		pnvs_places_take(&list, seconds[i] * SECOND, now_us, limit, 1);
}

static void
expect_at(const PnvsLimit *limit, int64_t at_us, int64_t expected_us, const char *sentence)
{
	tap_int(pnvs_places_admitted_at(&list, limit, at_us), expected_us, "%s", sentence);
}

static void
test_window(void)
{
	static const PnvsLimit two = {.max = 2,.interval_us = 10 * SECOND};
	static const PnvsLimit one = {.max = 1,.interval_us = 10 * SECOND};
	static const PnvsLimit none = {.max = 0,.interval_us = 10 * SECOND};
	static const int times[] = {100, 104};

	take_all(times, 0, 0, &two);
	expect_at(&two, 100 * SECOND, 100 * SECOND, "an empty list admits at once");
	expect_at(&none, 100 * SECOND, PNVS_PLACES_NEVER, "a limit of 0 admits nothing");
	tap_int(pnvs_places_count(&list, &two, 0), 0, "an empty list counts nothing");

	take_all(times, 1, 0, &two);
	expect_at(&two, 100 * SECOND, 100 * SECOND, "2/10s admits a second place at the same time");
	expect_at(&one, 100 * SECOND, 110 * SECOND, "1/10s admits it 10 s later");
	expect_at(&one, 110 * SECOND - 1, 110 * SECOND, "not a microsecond sooner");
	expect_at(&one, 110 * SECOND, 110 * SECOND, "two places exactly 10 s apart are in no interval together");
	expect_at(&one, 90 * SECOND, 90 * SECOND, "nor are they if the other one is later");
	expect_at(&one, 90 * SECOND + 1, 110 * SECOND, "a microsecond nearer they are");

	take_all(times, 2, 0, &two);
	expect_at(&two, 105 * SECOND, 110 * SECOND, "a third place waits for the first to leave the interval");
	expect_at(&one, 105 * SECOND, 114 * SECOND, "a limit that was lowered waits for the second");
	tap_int(pnvs_places_count(&list, &two, 105 * SECOND), 2, "both count");
	tap_int(pnvs_places_count(&list, &two, 110 * SECOND), 1, "the first counts no longer after 10 s");
	tap_int(pnvs_places_count(&list, &two, 110 * SECOND - 1), 2, "it counts a microsecond before");
	tap_int(pnvs_places_count(&list, &two, 114 * SECOND), 0, "the second does neither after 14 s");
	tap_int(pnvs_places_count(&list, &two, 94 * SECOND), 0 + 1, "before them, an interval has the first alone");
}

static void
test_future(void)
{
	static const PnvsLimit two = {.max = 2,.interval_us = 10 * SECOND};
	static const PnvsLimit one = {.max = 1,.interval_us = 10 * SECOND};
	static const int apart[] = {100, 112};
	static const int pairs[] = {100, 100, 109, 109, 125};

	take_all(apart, 2, 0, &two);
	expect_at(&two, 106 * SECOND, 106 * SECOND, "between two places 12 s apart no interval of 10 s has both");
	expect_at(&one, 50 * SECOND, 50 * SECOND, "long before places in the future there is room");
	expect_at(&one, 91 * SECOND, 122 * SECOND, "room of less than two intervals between them is none");
	expect_at(&one, 102 * SECOND, 122 * SECOND, "the last of them ends the wait");

	take_all(pairs, 5, 0, &two);
	expect_at(&two, 90 * SECOND, 90 * SECOND, "an interval before a full interval there is room");
	expect_at(&two, 91 * SECOND, 119 * SECOND, "full intervals that follow each other are waited for together");
	expect_at(&two, 119 * SECOND, 119 * SECOND, "then a place in the future that is alone leaves room");
	tap_int(pnvs_places_count(&list, &two, 104 * SECOND), 4, "the fullest interval counts, before or behind");

	pnvs_places_take(&list, 119 * SECOND, 0, &two, 1);
	expect_at(&two, 119 * SECOND, 129 * SECOND, "with it the next interval is full");
}

static void
test_approved(void)
{
	static const PnvsLimit all = {.max = 2,.interval_us = 10 * SECOND};
	static const PnvsLimit unapproved = {.max = 2,.interval_us = 10 * SECOND,.unapproved = true};
	static const int times[] = {100, 103, 103};
	PnvsLimit	both[] = {all, unapproved};

	take_all(times, 3, 0, &all);
	tap_ok(pnvs_places_approve(&list, 103 * SECOND), "a place is approved");
	expect_at(&all, 105 * SECOND, 113 * SECOND, "it counts for a limit of all");
	expect_at(&unapproved, 105 * SECOND, 110 * SECOND, "it does not count for a limit of the unapproved");
	tap_int(pnvs_places_count(&list, &unapproved, 105 * SECOND), 2, "two are not approved");
	tap_ok(pnvs_places_approve(&list, 103 * SECOND), "so is the other one of that time");
	tap_ok(!pnvs_places_approve(&list, 103 * SECOND), "there is no third");
	tap_ok(!pnvs_places_approve(&list, 102 * SECOND), "nor is there a place between them");
	expect_at(&unapproved, 105 * SECOND, 105 * SECOND, "one that is not approved leaves room");

	tap_ok(pnvs_places_give_back(&list, 103 * SECOND), "an approved place is given back");
	tap_int(pnvs_places_count(&list, &all, 105 * SECOND), 2, "then it does not count");
	tap_int(pnvs_places_count(&list, &unapproved, 105 * SECOND), 1, "those that are not approved still do");

	pnvs_places_forget(&list, 105 * SECOND, &unapproved, 1);
	tap_int(list.n, 1, "what is approved is forgotten if only the unapproved are limited");
	take_all(times, 3, 0, &all);
	pnvs_places_approve(&list, 100 * SECOND);
	pnvs_places_forget(&list, 110 * SECOND - 1, both, 2);
	tap_int(list.n, 2, "it is remembered while another limit counts it");
	pnvs_places_forget(&list, 110 * SECOND, both, 2);
	tap_int(list.n, 1, "and forgotten then");
	pnvs_places_forget(&list, 113 * SECOND - 1, both, 2);
	tap_int(list.n, 1, "what is not approved is remembered for the interval");
	pnvs_places_forget(&list, 113 * SECOND, both, 2);
	tap_int(list.n, 0, "and forgotten at its end");
}

static void
test_give_back(void)
{
	static const PnvsLimit two = {.max = 2,.interval_us = 10 * SECOND};
	static const int times[] = {100, 103, 103, 120};

	take_all(times, 4, 0, &two);
	tap_ok(pnvs_places_give_back(&list, 103 * SECOND), "a place is given back");
	tap_int(pnvs_places_count(&list, &two, 103 * SECOND), 2, "it is one of two at the same time");
	tap_ok(pnvs_places_give_back(&list, 103 * SECOND), "so is the other");
	tap_ok(!pnvs_places_give_back(&list, 103 * SECOND), "no place is given back twice");
	tap_ok(!pnvs_places_give_back(&list, 99 * SECOND), "nor one before all others");
	tap_ok(!pnvs_places_give_back(&list, 121 * SECOND), "nor one after them");
	tap_int(list.n, 2, "the others stay");
	tap_ok(pnvs_places_give_back(&list, 100 * SECOND) && pnvs_places_give_back(&list, 120 * SECOND) && list.n == 0,
		   "until the list is empty");
	tap_ok(!pnvs_places_give_back(&list, 120 * SECOND), "an empty list has none to give back");
}

/* Merged places count wherever any of them may be. */
static void
test_merged(void)
{
	static const PnvsLimit three = {.max = 3,.interval_us = 10 * SECOND};
	static const int times[] = {100, 102, 104};

	take_all(times, 3, 0, &three);
	pnvs_places_shrink(&list, 1, 200 * SECOND, &three, 1);
	tap_int(list.n, 1, "three places are merged");
	tap_int(list.items[0].count, 3, "they are three still");
	tap_int(list.items[0].span_ms, 4000, "from the first to the last");
	expect_at(&three, 105 * SECOND, 114 * SECOND, "all of them count until the last leaves the interval");
	expect_at(&three, 90 * SECOND, 90 * SECOND, "and from the first on");
	expect_at(&three, 90 * SECOND + 1, 114 * SECOND, "a microsecond later they do");
	tap_int(pnvs_places_count(&list, &three, 113 * SECOND), 3, "the span counts until its end");
	tap_int(pnvs_places_count(&list, &three, 114 * SECOND), 0, "and not afterwards");

	tap_ok(pnvs_places_approve(&list, 102 * SECOND), "a merged place is approved");
	tap_int(list.items[0].approved, 1, "it is one of them");
	pnvs_places_take(&list, 103 * SECOND, 103 * SECOND, &three, 1);
	tap_ok(list.n == 1 && list.items[0].count == 4, "a place within the span joins them");
	tap_ok(!pnvs_places_give_back(&list, 105 * SECOND), "a place behind the span is not among them");
	for (int i = 0; i < 4; i++)
		tap_ok(pnvs_places_give_back(&list, 101 * SECOND), "merged place %d is given back", i + 1);
	tap_int(list.n, 0, "then none is left");

	memset(&list, 0, sizeof(list));
	pnvs_places_take(&list, 100, 0, &three, 1);
	pnvs_places_take(&list, 1101, 0, &three, 1);
	pnvs_places_shrink(&list, 1, 0, &three, 1);
	tap_int(list.items[0].span_ms, 2, "a span is rounded up");
}

/* With so many places a second, the longest span that counts, in parts of the interval. */
static double
longest_span(const PnvsLimit *limits, int nlimits, int64_t step_us)
{
	double		longest = 0;

	memset(&list, 0, sizeof(list));
	for (int64_t now_us = 0; now_us < 2 * limits[nlimits - 1].interval_us; now_us += step_us)
	{
		pnvs_places_take(&list, now_us, now_us, limits, nlimits);
		for (int i = 0; i < list.n && now_us % 7 == 0; i++)
		{
			int64_t		age_us = now_us - list.items[i].from_us - list.items[i].span_ms * INT64_C(1000);
			double		share = 0;

			for (int j = nlimits - 1; j >= 0; j--)
			{
				if (age_us < limits[j].interval_us)
					share = list.items[i].span_ms * 1000.0 / (double) limits[j].interval_us;
			}
			longest = share > longest ? share : longest;
		}
	}
	return longest;
}

static void
test_precision(void)
{
	static const PnvsLimit total[] = {
		{.max = 1000,.interval_us = HOUR},
		{.max = 5000,.interval_us = DAY},
	};
	static const PnvsLimit key[] = {
		{.max = 32,.interval_us = 60 * SECOND},
		{.max = 2000,.interval_us = HOUR},
	};
	double		share;

	share = longest_span(total, 1, 3600007);
	tap_ok(share <= 1 / 63.0, "spans of one large limit are 1/64 of its interval at most: 1/%d", (int) (1 / share));
	share = longest_span(total, 2, 17280013);
	tap_ok(share <= 1 / 31.0, "those of two are 1/32 at most: 1/%d", (int) (1 / share));
	share = longest_span(key, 2, 1900003);
	tap_ok(share <= 1 / 31.0, "so are those of a large and an exact limit: 1/%d", (int) (1 / share));
}

/* 32 is exact, 33 is not. */
static void
test_exact(void)
{
	static const PnvsLimit exact[] = {
		{.max = 32,.interval_us = HOUR},
		{.max = 1000,.interval_us = DAY},
	};
	int64_t		now_us = 0;
	int			late = 0;
	int			merged = 0;

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < 1000; i++)
	{
		now_us = pnvs_places_admitted_at(&list, &exact[0], now_us + SECOND);
		late += now_us != (i / 32) * HOUR + (i % 32 + 1) * SECOND;
		pnvs_places_take(&list, now_us, now_us, exact, 2);
	}
	tap_int(late, 0, "32/1h admits 32 messages at the beginning of each hour");
	for (int i = 0; i < list.n; i++)
		merged += list.items[i].span_ms > 0 && list.items[i].from_us + HOUR > now_us;
	tap_int(merged, 0, "what is not older than the interval of an exact limit is not merged");
	tap_ok(list.n > 100, "the list is long");

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < 33; i++)
		pnvs_places_take(&list, i, i, &exact[0], 1);
	pnvs_places_shrink(&list, 32, 40, &exact[0], 1);
	tap_int(list.n, 32, "a list is shortened, whatever the harm");
}

/* A rule that is raised or lowered begins with what is remembered. */
static void
test_changed_limits(void)
{
	static const PnvsLimit ten = {.max = 10,.interval_us = HOUR};
	static const PnvsLimit hundred = {.max = 100,.interval_us = HOUR};
	int64_t		at_us = 0;

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < 10; i++)
		pnvs_places_take(&list, i * SECOND, i * SECOND, &ten, 1);
	expect_at(&ten, 20 * SECOND, HOUR, "10/1h is used up");
	expect_at(&hundred, 20 * SECOND, 20 * SECOND, "raised to 100/1h it admits at once");
	for (int i = 0; i < 90; i++)
		pnvs_places_take(&list, 20 * SECOND, 20 * SECOND, &hundred, 1);
	expect_at(&hundred, 20 * SECOND, HOUR, "90 more, for the ten are remembered");
	expect_at(&ten, 20 * SECOND, HOUR + 20 * SECOND, "lowered again it waits for all of them");

	/*
	 * The clock is set back by a day: what was taken is in the future, and
	 * counts there.
	 */
	at_us = 5 * SECOND - DAY;
	expect_at(&ten, at_us, at_us, "places that are a day ahead since the clock was set back do not count today");
	expect_at(&ten, 1 - HOUR + 9 * SECOND, HOUR + 20 * SECOND, "they count in the hour before them");
	pnvs_places_forget(&list, at_us, &ten, 1);
	tap_int(list.n, 11, "none of them is forgotten");
}

/* Bounds of the fields: more messages than they hold never count as fewer. */
static void
test_bounds(void)
{
	static const PnvsLimit million = {.max = 1000000,.interval_us = 31 * DAY};
	static const PnvsLimit second = {.max = 1,.interval_us = SECOND};
	int64_t		far_us = INT64_MAX - SECOND / 2;
	int			uncounted = 0;

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < 70000; i++)
		pnvs_places_take(&list, SECOND, 0, &million, 1);
	tap_int(list.n, 2, "70,000 places of one time take two items");
	tap_int(pnvs_places_count(&list, &million, SECOND), 70000, "and all count");
	for (int i = 0; i < 70000; i++)
		pnvs_places_give_back(&list, SECOND);
	tap_int(list.n, 0, "and all can be given back");

	memset(&list, 0, sizeof(list));
	pnvs_places_take(&list, SECOND, 0, &million, 1);
	pnvs_places_take(&list, 3 * SECOND, 0, &million, 1);
	pnvs_places_shrink(&list, 1, 0, &million, 1);
	for (int i = 0; i < 70000; i++)
		pnvs_places_take(&list, 2 * SECOND, 0, &million, 1);
	tap_int(list.n, 2, "70,000 places within a span take two items");
	tap_ok(list.items[1].from_us == SECOND && list.items[1].span_ms == 2000, "of the same span");
	pnvs_places_take(&list, 9 * SECOND, 0, &million, 1);
	pnvs_places_shrink(&list, 2, 0, &million, 1);
	tap_ok(list.items[0].count < UINT16_MAX && list.items[1].span_ms == 8000, "a full item is not merged if another can be");
	tap_int(pnvs_places_count(&list, &million, SECOND), 70003, "none is lost");
	pnvs_places_shrink(&list, 1, 0, &million, 1);
	expect_at(&million, 10 * SECOND, 9 * SECOND + 31 * DAY, "if nothing else can be merged, what is too many to count fills every limit");
	tap_ok(pnvs_places_give_back(&list, SECOND) && pnvs_places_approve(&list, SECOND), "it takes what is given back");
	expect_at(&million, 10 * SECOND, 9 * SECOND + 31 * DAY, "and stays");

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < 300; i++)
		pnvs_places_take(&list, i * 50 * DAY, 0, &second, 1);
	tap_ok(list.n <= PNVS_MAX_PLACES, "places in many years fit");
	for (int i = 0; i < 300; i++)
		uncounted += pnvs_places_admitted_at(&list, &second, i * 50 * DAY) == i * 50 * DAY;
	tap_int(uncounted, 0, "each of them counts");

	memset(&list, 0, sizeof(list));
	pnvs_places_take(&list, far_us, 0, &second, 1);
	expect_at(&second, far_us, PNVS_PLACES_NEVER, "at the end of time nothing overflows");
	expect_at(&second, 0, 0, "and now there is room");
	pnvs_places_take(&list, 1 - INT64_MAX, 0, &second, 1);
	expect_at(&second, 1 - INT64_MAX, 1 - INT64_MAX + SECOND, "nor at its beginning");
	pnvs_places_shrink(&list, 1, 0, &second, 1);
	expect_at(&second, 0, PNVS_PLACES_NEVER, "a span of all time fills all time");
}

static void
test_added(void)
{
	static const PnvsLimit ten = {.max = 10,.interval_us = 10 * SECOND};
	static const int times[] = {100, 110, 120};
	static const PnvsPlaces between = {.from_us = 105 * SECOND,.count = 2,.approved = 1};
	static const PnvsPlaces across = {.from_us = 109 * SECOND,.span_ms = 3000,.count = 3};
	static const PnvsPlaces bridge = {.from_us = 111 * SECOND,.span_ms = 9000,.count = 1};
	static const PnvsPlaces countless = {.from_us = 90 * SECOND,.span_ms = UINT32_MAX,.count = UINT16_MAX};

	take_all(times, 3, 0, &ten);
	pnvs_places_add(&list, &between, 0, &ten, 1);
	tap_ok(list.n == 4 && list.items[1].count == 2 && list.items[1].approved == 1,
		   "places of another key get an item of their own");
	pnvs_places_add(&list, &across, 0, &ten, 1);
	tap_ok(list.n == 4 && list.items[2].from_us == 109 * SECOND && list.items[2].span_ms == 3000 &&
		   list.items[2].count == 4, "if they overlap with others, all are merged");
	pnvs_places_add(&list, &bridge, 0, &ten, 1);
	tap_ok(list.n == 3 && list.items[2].from_us == 109 * SECOND && list.items[2].span_ms == 11000 &&
		   list.items[2].count == 6, "on both sides");
	pnvs_places_add(&list, &countless, 0, &ten, 1);
	tap_ok(list.n == 1 && list.items[0].from_us == 90 * SECOND, "also with a span that has no end");
	expect_at(&ten, 91 * SECOND, PNVS_PLACES_NEVER, "which is full for ever");

	memset(&list, 0, sizeof(list));
	for (int i = 0; i < PNVS_MAX_PLACES; i++)
		pnvs_places_take(&list, i * SECOND, 0, &ten, 1);
	pnvs_places_add(&list, &countless, 0, &ten, 1);
	tap_ok(list.n < PNVS_MAX_PLACES, "a full list makes room");
}

/* Random walks beside the slow list: always the same ones. */
static void
test_walks(void)
{
	static SlowWalk walk;
	unsigned char data[1500];
	uint64_t	random = 1;

	for (int i = 0; i < 60; i++)
	{
		const char *fault;

		for (size_t j = 0; j < sizeof(data); j++)
		{
			random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			data[j] = (unsigned char) (random >> 56);
		}
		fault = slow_places_compare(&walk, data, sizeof(data));
		tap_ok(fault == NULL, "walk %d beside a list of all times: %s", i, fault ? fault : "no difference");
	}
}

int
main(void)
{
	test_window();
	test_future();
	test_approved();
	test_give_back();
	test_merged();
	test_precision();
	test_exact();
	test_changed_limits();
	test_bounds();
	test_added();
	test_walks();
	return tap_done();
}
