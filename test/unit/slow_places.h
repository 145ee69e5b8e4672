/*-------------------------------------------------------------------------
 *
 * slow_places.h
 *	  A list of all places, slow and obvious, and a random walk that compares the
 *	  list of core/places.h with it.  For the unit test and the fuzzer.
 *
 * A header alone, so that the fuzzer needs no object of the unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SLOW_PLACES_H
#define SLOW_PLACES_H

#include <stddef.h>
#include <string.h>

#include "core/places.h"

#define SLOW_SECOND INT64_C(1000000)
#define SLOW_MAX_PLACES 400
#define SLOW_MAX_LIMITS 4

/* With fewer different times than that some neighbours can always be merged harmlessly. */
#define SLOW_FEW (PNVS_MAX_PLACES / 2 - 1)

typedef struct SlowPlace
{
	int64_t		at_us;
	bool		approved;
} SlowPlace;

typedef struct SlowPlaces
{
	int			n;
	SlowPlace	places[SLOW_MAX_PLACES];
} SlowPlaces;

/* A list, its limits, and the same in slow. */
typedef struct SlowWalk
{
	PnvsPlaceList list;
	SlowPlaces	slow;
	PnvsLimit	limits[SLOW_MAX_LIMITS];
	int			nlimits;
	int64_t		now_us;
	int64_t		pace_us;		/* how much time passes at a step */
	bool		shrinks;		/* memory is short */
	bool		crowded;		/* an exact limit may have been harmed */
	bool		mixed;			/* an approved place of several was given back */
	bool		forgetful;		/* slow lacks places that no longer count */
	const char *fault;
	const unsigned char *data;	/* what to do */
	size_t		len;
} SlowWalk;

static inline bool
slow_counts(const SlowPlace *place, const PnvsLimit *limit)
{
	return !(limit->unapproved && place->approved);
}

/* The places from one of them on that are before a time. */
static inline uint32_t
slow_count_from(const SlowPlaces *slow, const PnvsLimit *limit, int from, int64_t end_us)
{
	uint32_t	count = 0;

	for (int i = from; i < slow->n && slow->places[i].at_us < end_us; i++)
		count += slow_counts(&slow->places[i], limit);
	return count;
}

/*
 * The places in the fullest interval that contains at_us: one begins at a place, or at
 * at_us.  So many are enough.
 */
static inline uint32_t
slow_count(const SlowPlaces *slow, const PnvsLimit *limit, int64_t at_us, uint32_t enough)
{
	uint32_t	fullest = 0;

	for (int i = 0; i < slow->n && fullest < enough; i++)
	{
		int64_t		start_us = slow->places[i].at_us < at_us ? slow->places[i].at_us : at_us;

		if (start_us > at_us - limit->interval_us)
		{
			uint32_t	count = slow_count_from(slow, limit, i, start_us + limit->interval_us);

			fullest = count > fullest ? count : fullest;
		}
	}
	return fullest;
}

static inline bool
slow_admits(const SlowPlaces *slow, const PnvsLimit *limit, int64_t at_us)
{
	return slow_count(slow, limit, at_us, limit->max) < limit->max;
}

/* The earliest admissible time is at_us, or an interval after a place. */
static inline int64_t
slow_admitted_at(const SlowPlaces *slow, const PnvsLimit *limit, int64_t at_us)
{
	if (slow_admits(slow, limit, at_us))
		return at_us;
	for (int i = 0; i < slow->n; i++)
	{
		int64_t		end_us = slow->places[i].at_us + limit->interval_us;

		if (end_us > at_us && slow_admits(slow, limit, end_us))
			return end_us;
	}
	return INT64_MAX;
}

static inline void
slow_take(SlowPlaces *slow, int64_t at_us)
{
	int			i = slow->n++;

	for (; i > 0 && slow->places[i - 1].at_us > at_us; i--)
		slow->places[i] = slow->places[i - 1];
	slow->places[i] = (SlowPlace)
	{
		.at_us = at_us
	};
}

static inline void
slow_remove(SlowPlaces *slow, int i)
{
	slow->n--;
	memmove(&slow->places[i], &slow->places[i + 1], (size_t) (slow->n - i) * sizeof(slow->places[0]));
}

/* Of several places of one time, an approved one is given back first, and one that is not is approved. */
static inline int
slow_find(const SlowPlaces *slow, int64_t at_us, bool approved)
{
	int			found = -1;

	for (int i = 0; i < slow->n; i++)
	{
		if (slow->places[i].at_us == at_us && (found < 0 || slow->places[i].approved == approved))
			found = i;
	}
	return found;
}

/* Whether a place counts for any limit from now_us on. */
static inline bool
slow_is_needed(const SlowPlace *place, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	bool		counted = false;

	for (int i = 0; i < nlimits; i++)
		counted |= slow_counts(place, &limits[i]) && place->at_us + limits[i].interval_us > now_us;
	return counted;
}

/* Forgets what is older than all intervals. */
static inline void
slow_forget(SlowPlaces *slow, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	int			kept = 0;

	for (int i = 0; i < slow->n; i++)
	{
		bool		recent = false;

		for (int j = 0; j < nlimits; j++)
			recent |= slow->places[i].at_us + limits[j].interval_us > now_us;
		if (recent)
			slow->places[kept++] = slow->places[i];
	}
	slow->n = kept;
}

/* Whether an item counts for a limit from now on. */
static inline bool
walk_item_counts(const SlowWalk *walk, const PnvsPlaces *item, const PnvsLimit *limit)
{
	return (limit->unapproved ? item->count - item->approved : item->count) > 0 &&
		item->from_us + item->span_ms * INT64_C(1000) + limit->interval_us > walk->now_us;
}

static inline bool
walk_is_exact(const PnvsLimit *limit)
{
	return limit->max <= PNVS_EXACT_LIMIT;
}

/* Whether merged places count for an exact limit. */
static inline bool
walk_is_harmed(const SlowWalk *walk)
{
	for (int i = 0; i < walk->list.n; i++)
	{
		for (int j = 0; j < walk->nlimits; j++)
		{
			if (walk->list.items[i].span_ms > 0 && walk_is_exact(&walk->limits[j]) &&
				walk_item_counts(walk, &walk->list.items[i], &walk->limits[j]))
				return true;
		}
	}
	return false;
}

/* How many different times count for exact limits. */
static inline int
walk_exact_times(const SlowWalk *walk)
{
	int			times = 0;
	int64_t		last_us = INT64_MIN;

	for (int i = 0; i < walk->slow.n; i++)
	{
		const SlowPlace *place = &walk->slow.places[i];
		bool		counted = false;

		for (int j = 0; j < walk->nlimits; j++)
			counted |= walk_is_exact(&walk->limits[j]) && slow_counts(place, &walk->limits[j]) &&
				place->at_us + walk->limits[j].interval_us > walk->now_us;
		if (counted && place->at_us != last_us)
			times++;
		if (counted)
			last_us = place->at_us;
	}
	return times;
}

static inline int64_t
walk_next(SlowWalk *walk)
{
	if (walk->len == 0)
		return 0;
	walk->len--;
	return *walk->data++;
}

static inline void
walk_expect(SlowWalk *walk, bool holds, const char *fault)
{
	if (!holds && walk->fault == NULL)
		walk->fault = fault;
}

/* The list's order, counts and length. */
static inline void
walk_check_list(SlowWalk *walk)
{
	const PnvsPlaceList *list = &walk->list;

	walk_expect(walk, list->n >= 0 && list->n <= PNVS_MAX_PLACES, "the list's length is within its bounds");
	for (int i = 0; i < list->n; i++)
	{
		walk_expect(walk, list->items[i].count > 0 && list->items[i].approved <= list->items[i].count,
					"an item has places, and no more approved places than places");
		walk_expect(walk, i == 0 || list->items[i - 1].from_us <= list->items[i].from_us,
					"the items are sorted");
	}
	if (!walk_is_harmed(walk))
		walk->crowded = false;
	walk_expect(walk, walk->crowded || !walk_is_harmed(walk),
				"no merging harms an exact limit if other neighbours can be merged");
}

/* One question: exact, or at least not too early, and not later than the spans explain. */
static inline bool
walk_check_limit(SlowWalk *walk, const PnvsLimit *limit, int64_t at_us)
{
	int64_t		fast_us = pnvs_places_admitted_at(&walk->list, limit, at_us);
	int64_t		slow_us = slow_admitted_at(&walk->slow, limit, at_us);
	uint32_t	fast_count = pnvs_places_count(&walk->list, limit, at_us);
	uint32_t	slow_fullest = slow_count(&walk->slow, limit, at_us, UINT32_MAX);
	PnvsLimit	wide = *limit;

	walk_expect(walk, fast_us >= slow_us, "no limit admits too early");
	walk_expect(walk, fast_us == slow_us || fast_us == INT64_MAX || slow_admits(&walk->slow, limit, fast_us),
				"no limit is exceeded later");
	walk_expect(walk, fast_count >= slow_fullest, "no place is left uncounted");
	walk_expect(walk, (fast_us == at_us) == (fast_count < limit->max), "a limit admits if fewer count");
	if (walk_is_exact(limit) && !walk->crowded)
	{
		walk_expect(walk, fast_us == slow_us, "an exact limit admits at the very time");
		walk_expect(walk, fast_count == slow_fullest, "an exact limit counts each place once");
		return fast_us == at_us;
	}
	for (int i = 0; i < walk->list.n; i++)
	{
		int64_t		span_us = walk->list.items[i].span_ms * INT64_C(1000);

		if (walk_item_counts(walk, &walk->list.items[i], limit) &&
			limit->interval_us + 2 * span_us > wide.interval_us)
			wide.interval_us = limit->interval_us + 2 * span_us;
	}
	if (!walk->forgetful && !(limit->unapproved && walk->mixed))
		walk_expect(walk, fast_us <= slow_admitted_at(&walk->slow, &wide, at_us),
					"a limit is as strict as the longest span explains, not stricter");
	return fast_us == at_us;
}

static inline int64_t
walk_time(SlowWalk *walk)
{
	int64_t		what = walk_next(walk);

	if (what < 128)
		return walk->now_us;
	if (what < 160)
		return walk->now_us + walk_next(walk) * walk->pace_us;
	if (what < 250)
		return walk->now_us + walk_next(walk) * SLOW_SECOND;
	return walk->now_us + walk_next(walk) * 100 * SLOW_SECOND + walk_next(walk);
}

static inline void
walk_admit(SlowWalk *walk, int64_t at_us)
{
	bool		admitted = true;

	for (int i = 0; i < walk->nlimits; i++)
		admitted &= walk_check_limit(walk, &walk->limits[i], at_us);
	if (walk->slow.n == SLOW_MAX_PLACES)
	{
		slow_forget(&walk->slow, walk->now_us, walk->limits, walk->nlimits);
		walk->forgetful = true;
	}
	if (!admitted || walk->slow.n == SLOW_MAX_PLACES)
		return;
	for (int i = 0; i < walk->list.n; i++)
	{
		const PnvsPlaces *item = &walk->list.items[i];

		/* What is within merged places joins them. */
		if (item->span_ms > 0 && item->from_us <= at_us && at_us <= item->from_us + item->span_ms * INT64_C(1000))
			walk->crowded = true;
	}
	slow_take(&walk->slow, at_us);
	if (walk_exact_times(walk) >= SLOW_FEW)
		walk->crowded = true;
	pnvs_places_take(&walk->list, at_us, walk->now_us, walk->limits, walk->nlimits);
}

/* A place that is remembered: approves it, or gives it back. */
static inline void
walk_change_place(SlowWalk *walk, bool approve)
{
	int64_t		at_us;
	int			i;

	if (walk->slow.n == 0)
		return;
	i = (int) ((walk_next(walk) * 256 + walk_next(walk)) % walk->slow.n);
	at_us = walk->slow.places[i].at_us;
	i = slow_find(&walk->slow, at_us, !approve);
	if (!slow_is_needed(&walk->slow.places[i], walk->now_us, walk->limits, walk->nlimits))
		return;
	if (approve)
	{
		bool		was_approved = walk->slow.places[i].approved;
		bool		approved;

		/* Merged places are approved without a look at which. */
		if (was_approved)
			return;
		approved = pnvs_places_approve(&walk->list, at_us);
		walk_expect(walk, approved, "a place can be approved");
		walk->slow.places[i].approved = true;
		return;
	}
	for (int j = 0; j < walk->list.n; j++)
	{
		const PnvsPlaces *item = &walk->list.items[j];

		walk->mixed |= item->span_ms > 0 && item->approved > 0 && item->from_us <= at_us &&
			at_us <= item->from_us + item->span_ms * INT64_C(1000);
	}
	walk_expect(walk, pnvs_places_give_back(&walk->list, at_us), "a place can be given back");
	slow_remove(&walk->slow, i);
}

static inline void
walk_step(SlowWalk *walk)
{
	int64_t		what = walk_next(walk);

	if (what < 8)
	{
		for (int64_t n = walk_next(walk) % 64; n > 0; n--)
		{
			walk->now_us += walk->pace_us;
			walk_admit(walk, walk->now_us);
		}
	}
	else if (what < 150)
		walk_admit(walk, walk_time(walk));
	else if (what < 180)
		walk->now_us += walk_next(walk) * walk->pace_us;
	else if (what < 200)
		walk->now_us += walk_next(walk) % 16 * walk->pace_us;
	else if (what < 222)
		walk_change_place(walk, true);
	else if (what < 240)
		walk_change_place(walk, false);
	else if (what < 245)
		pnvs_places_forget(&walk->list, walk->now_us, walk->limits, walk->nlimits);
	else if (what < 250)
	{
		PnvsLimit  *limit = &walk->limits[walk_next(walk) % walk->nlimits];

		limit->max = (uint32_t) (1 + walk_next(walk) % 60);
		walk->crowded = true;
	}
	else if (walk->shrinks)
	{
		walk->crowded = true;
		pnvs_places_shrink(&walk->list, 1 + (int) (walk_next(walk) % 64), walk->now_us, walk->limits, walk->nlimits);
	}
	walk_check_list(walk);
}

static inline void
walk_begin(SlowWalk *walk, const unsigned char *data, size_t len)
{
	memset(walk, 0, sizeof(*walk));
	walk->data = data;
	walk->len = len;
	walk->now_us = 1000 * SLOW_SECOND;
	walk->pace_us = SLOW_SECOND >> walk_next(walk) % 8;
	walk->shrinks = walk_next(walk) % 8 == 0;
	walk->nlimits = 1 + (int) (walk_next(walk) % SLOW_MAX_LIMITS);
	for (int i = 0; i < walk->nlimits; i++)
	{
		int64_t		max = walk_next(walk);
		int64_t		interval = walk_next(walk);

		walk->limits[i].max = (uint32_t) (max < 160 ? 1 + max % PNVS_EXACT_LIMIT : 1 + max);
		walk->limits[i].interval_us = (1 + interval % 64) * SLOW_SECOND * (interval >= 192 ? 30 : 1);
		walk->limits[i].unapproved = walk_next(walk) % 3 == 0;
	}
}

/* Does what data says; the sentence that does not hold, or NULL. */
static inline const char *
slow_places_compare(SlowWalk *walk, const unsigned char *data, size_t len)
{
	walk_begin(walk, data, len);
	while (walk->len > 0 && walk->fault == NULL)
		walk_step(walk);
	return walk->fault;
}

#endif							/* SLOW_PLACES_H */
