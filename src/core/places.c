/*-------------------------------------------------------------------------
 *
 * places.c
 *	  The places that messages have taken under limits: a list of times, and its
 *	  arithmetic.
 *
 * A list serves all limits of a key and a channel.  Its length is bounded: if it is full,
 * two neighbours are merged.  Merged places count too often, never too rarely, so no limit
 * is ever exceeded.
 *
 * Merged are the neighbours whose merging does least harm.  It does no harm to a limit for
 * which both are too old to count again, or in which neither counts because all their
 * places are approved.  To other limits it does harm in proportion to the span in relation
 * to the interval.  Limits of up to PNVS_EXACT_LIMIT are harmed only if all neighbours would
 * harm such a limit.  There are few: at any time up to N places of the past count for such
 * a limit, so they fit, unless very many messages wait for times in the future.
 *
 * For larger limits all neighbours are merged whose span stays within 1/64 of the interval,
 * 1/32 if a list has large limits of two intervals, and so on.  In a full list there are
 * such neighbours as a rule: the spans of all pairs of neighbours, each in relation to the
 * interval, add up to at most 2 for each interval, for each item is in two of 127 pairs.
 * Only if there are none, because many places are exact or in the future, the two are
 * merged whose merging does least harm.
 *
 * The places of an item are at or after its from_us and before the from_us of the next
 * item, so that a place that is given back is found.  (Items that begin at the same time,
 * because one of them is full, differ only in their length: the first is the shortest.)
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/places.h"

/*
 * The largest count of an item.  If nothing else can be merged, more places than that are:
 * they then count as more than any limit allows, and such an item never gets smaller.
 */
#define MAX_COUNT (UINT16_MAX - 1)
#define COUNTLESS UINT16_MAX

/* A span that is too long for its field, about 49 days, has no end. */
#define ENDLESS UINT32_MAX

/*
 * What harm to an exact limit costs, and what an item costs that breaks a bound.  Spans
 * within the bounds cost less than 1e7: they are of up to 49 days, and intervals of 1 s at
 * least.
 */
#define COST_OF_EXACT 1e7
#define COST_OF_BOUND 1e14

/* Spans of up to this part of an interval are cheap, see above. */
#define CHEAP_SHARE 64.0

static int	find_begun(const PnvsPlaceList *list, int64_t at_us);
static int	find_place(const PnvsPlaceList *list, int64_t at_us, bool unapproved);
static bool add_to_item(PnvsPlaceList *list, int64_t at_us);
static void add_item(PnvsPlaceList *list, int64_t at_us);
static int	insert(PnvsPlaceList *list, PnvsPlaces places);
static bool counts(const PnvsPlaces *places, int64_t now_us, const PnvsLimit *limits, int nlimits);
static double merge_cost(const PnvsPlaceList *list, int i, int64_t now_us,
						 const PnvsLimit *limits, int nlimits);
static void merge(PnvsPlaceList *list, int i);
static void merge_cheap(PnvsPlaceList *list, int64_t now_us, const PnvsLimit *limits, int nlimits);
static void merge_cheapest(PnvsPlaceList *list, int64_t now_us, const PnvsLimit *limits, int nlimits);

/* Times near the end of their type stay there. */
static inline int64_t
plus(int64_t time_us, int64_t interval_us)
{
	return time_us > INT64_MAX - interval_us ? INT64_MAX : time_us + interval_us;
}

static inline int64_t
minus(int64_t time_us, int64_t interval_us)
{
	return time_us < INT64_MIN + interval_us ? INT64_MIN : time_us - interval_us;
}

static inline int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The time of an item's last place, rounded up. */
static inline int64_t
last_us(const PnvsPlaces *places)
{
	return places->span_ms == ENDLESS ? INT64_MAX : plus(places->from_us, places->span_ms * INT64_C(1000));
}

static inline bool
ends_after(const PnvsPlaces *places, int64_t time_us)
{
	return places->from_us > time_us || last_us(places) > time_us;
}

/* How many places an item has under a limit. */
static inline uint64_t
weight(const PnvsPlaces *places, const PnvsLimit *limit)
{
	if (places->count == COUNTLESS)
		return UINT32_MAX;
	return limit->unapproved ? places->count - places->approved : places->count;
}

/*
 * The earliest time from at_us on at which the limit admits another place: at_us itself if
 * it does so at once, or PNVS_PLACES_NEVER.
 *
 * Neighbours that together have max places forbid all times that an interval contains
 * together with them: those that are less than an interval after the last of the first
 * item, and less than an interval before the first of the last item.
 */
int64_t
pnvs_places_admitted_at(const PnvsPlaceList *list, const PnvsLimit *limit, int64_t at_us)
{
	const PnvsPlaces *items = list->items;
	int64_t		expired_us = minus(at_us, limit->interval_us);
	int			first = list->n;
	uint64_t	sum = 0;

	if (limit->max == 0)
		return PNVS_PLACES_NEVER;
	while (first > 0 && ends_after(&items[first - 1], expired_us))
		sum += weight(&items[--first], limit);
	if (sum < limit->max)
		return at_us;

	sum = 0;
	for (int i = first, next = first; i < list->n; i++)
	{
		int64_t		end_us = plus(last_us(&items[i]), limit->interval_us);

		while (next < list->n && sum < limit->max)
			sum += weight(&items[next++], limit);
		if (sum < limit->max || items[next - 1].from_us >= plus(at_us, limit->interval_us))
			break;
		if (items[next - 1].from_us < end_us)
			at_us = later(at_us, end_us);
		sum -= weight(&items[i], limit);
	}
	return at_us;
}

/*
 * The number of places in the fullest interval that contains at_us, for warnings: those of
 * merged items may be too many.
 */
uint32_t
pnvs_places_count(const PnvsPlaceList *list, const PnvsLimit *limit, int64_t at_us)
{
	const PnvsPlaces *items = list->items;
	int64_t		expired_us = minus(at_us, limit->interval_us);
	int			first = list->n;
	uint64_t	sum = 0;
	uint64_t	max = 0;

	while (first > 0 && ends_after(&items[first - 1], expired_us))
		first--;
	for (int i = first, next = first; i < list->n; i++)
	{
		int64_t		end_us = plus(last_us(&items[i]), limit->interval_us);

		end_us = end_us < plus(at_us, limit->interval_us) ? end_us : plus(at_us, limit->interval_us);
		while (next < list->n && items[next].from_us < end_us)
			sum += weight(&items[next++], limit);
		if (next <= i)
			break;
		max = sum > max ? sum : max;
		sum -= weight(&items[i], limit);
	}
	return max > UINT32_MAX ? UINT32_MAX : (uint32_t) max;
}

/*
 * Takes a place, whether or not a limit admits it.  A full list makes room: it forgets, and
 * merges if it must.
 */
void
pnvs_places_take(PnvsPlaceList *list, int64_t at_us, int64_t now_us,
				 const PnvsLimit *limits, int nlimits)
{
	if (add_to_item(list, at_us))
		return;
	if (list->n == PNVS_MAX_PLACES)
	{
		pnvs_places_forget(list, now_us, limits, nlimits);
		pnvs_places_shrink(list, PNVS_MAX_PLACES - 1, now_us, limits, nlimits);
		if (add_to_item(list, at_us))
			return;
	}
	add_item(list, at_us);
}

/*
 * Adds an item of another list, for keys that share one.  Items that overlap are merged.
 */
void
pnvs_places_add(PnvsPlaceList *list, const PnvsPlaces *places, int64_t now_us,
				const PnvsLimit *limits, int nlimits)
{
	int			i;

	if (list->n == PNVS_MAX_PLACES)
		pnvs_places_shrink(list, PNVS_MAX_PLACES - 1, now_us, limits, nlimits);
	i = insert(list, *places);
	while (i > 0 && last_us(&list->items[i - 1]) >= list->items[i].from_us)
		merge(list, --i);
	while (i + 1 < list->n && last_us(&list->items[i]) >= list->items[i + 1].from_us)
		merge(list, i);
}

/*
 * Gives the place of a time back; false if there is none.  Of merged places it is unknown
 * which of them are approved: an approved place is given back first, for it counts less.
 */
bool
pnvs_places_give_back(PnvsPlaceList *list, int64_t at_us)
{
	int			i = find_place(list, at_us, false);
	PnvsPlaces *places = &list->items[i < 0 ? 0 : i];

	if (i < 0)
		return false;
	if (places->count == COUNTLESS)
		return true;
	if (places->approved > 0)
		places->approved--;
	if (--places->count == 0)
	{
		list->n--;
		memmove(places, places + 1, (size_t) (list->n - i) * sizeof(*places));
	}
	return true;
}

/* Marks the place of a time as approved; false if none that is not approved yet is there. */
bool
pnvs_places_approve(PnvsPlaceList *list, int64_t at_us)
{
	int			i = find_place(list, at_us, true);

	if (i < 0)
		return false;
	if (list->items[i].count != COUNTLESS)
		list->items[i].approved++;
	return true;
}

/*
 * Forgets what counts for none of the list's limits any more, at no time from now_us on.
 * So later questions must be about times from now_us on.
 */
void
pnvs_places_forget(PnvsPlaceList *list, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	int			kept = 0;

	for (int i = 0; i < list->n; i++)
	{
		if (counts(&list->items[i], now_us, limits, nlimits))
			list->items[kept++] = list->items[i];
	}
	list->n = kept;
}

/* Merges until the list has at most size items, at least 1: for memory that is short. */
void
pnvs_places_shrink(PnvsPlaceList *list, int size, int64_t now_us,
				   const PnvsLimit *limits, int nlimits)
{
	if (list->n > size)
		merge_cheap(list, now_us, limits, nlimits);
	while (list->n > size && list->n > 1)
		merge_cheapest(list, now_us, limits, nlimits);
}

/* The last item that begins at a time or before, or -1: mostly the last of all. */
static int
find_begun(const PnvsPlaceList *list, int64_t at_us)
{
	int			i = list->n - 1;

	while (i >= 0 && list->items[i].from_us > at_us)
		i--;
	return i;
}

/*
 * The item that has the place of a time, or -1.  Of items that begin at the same time it is
 * the first, and so the shortest: if the place was in another, that one counts for both.
 */
static int
find_place(const PnvsPlaceList *list, int64_t at_us, bool unapproved)
{
	const PnvsPlaces *items = list->items;
	int			begun = find_begun(list, at_us);
	int			found = -1;

	for (int i = begun; i >= 0 && items[i].from_us == items[begun].from_us; i--)
	{
		if (at_us <= last_us(&items[i]) && !(unapproved && items[i].approved == items[i].count))
			found = i;
	}
	return found;
}

/* Adds a place to the item whose span contains it; false if there is none, or it is full. */
static bool
add_to_item(PnvsPlaceList *list, int64_t at_us)
{
	int			i = find_begun(list, at_us);

	if (i < 0 || at_us > last_us(&list->items[i]) || list->items[i].count == MAX_COUNT)
		return false;
	if (list->items[i].count != COUNTLESS)
		list->items[i].count++;
	return true;
}

/* Adds an item for a place.  Beside a full item that contains it, it has the same span. */
static void
add_item(PnvsPlaceList *list, int64_t at_us)
{
	int			i = find_begun(list, at_us);
	PnvsPlaces	places = {.from_us = at_us};

	if (i >= 0 && at_us <= last_us(&list->items[i]))
		places = list->items[i];
	places.count = 1;
	places.approved = 0;
	insert(list, places);
}

/* Inserts an item behind those that begin before or with it; its index. */
static int
insert(PnvsPlaceList *list, PnvsPlaces places)
{
	int			i = find_begun(list, places.from_us) + 1;

	memmove(&list->items[i + 1], &list->items[i], (size_t) (list->n - i) * sizeof(places));
	list->items[i] = places;
	list->n++;
	return i;
}

/* Whether an item counts for any limit at now_us or later. */
static bool
counts(const PnvsPlaces *places, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	for (int i = 0; i < nlimits; i++)
	{
		if (weight(places, &limits[i]) > 0 && plus(last_us(places), limits[i].interval_us) > now_us)
			return true;
	}
	return false;
}

/* The harm of merging an item with the next. */
static double
merge_cost(const PnvsPlaceList *list, int i, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	const PnvsPlaces *places = &list->items[i];
	int64_t		end_us = later(last_us(&places[0]), last_us(&places[1]));
	double		span_us = (double) ((uint64_t) end_us - (uint64_t) places->from_us);
	double		cost = 0;

	for (int j = 0; j < nlimits; j++)
	{
		const PnvsLimit *limit = &limits[j];
		double		harm = span_us / (double) limit->interval_us;

		if (plus(end_us, limit->interval_us) <= now_us ||
			(weight(&places[0], limit) == 0 && weight(&places[1], limit) == 0))
			continue;
		if (limit->max <= PNVS_EXACT_LIMIT)
			harm += COST_OF_EXACT;
		if (harm > cost)
			cost = harm;
	}

	/* Where a third begins within them, places given back would not be found. */
	if (places[0].count + places[1].count > MAX_COUNT || span_us >= ENDLESS * 1000.0 ||
		(i + 2 < list->n && places[2].from_us <= last_us(&places[1])))
		cost += COST_OF_BOUND;
	return cost;
}

/* Merges an item with the next. */
static void
merge(PnvsPlaceList *list, int i)
{
	PnvsPlaces *places = &list->items[i];
	int64_t		end_us = later(last_us(&places[0]), last_us(&places[1]));
	uint64_t	span_us = (uint64_t) end_us - (uint64_t) places->from_us;
	uint64_t	span_ms = span_us / 1000 + (span_us % 1000 > 0);
	int			count = places[0].count + places[1].count;

	places->span_ms = span_ms < ENDLESS ? (uint32_t) span_ms : ENDLESS;
	places->approved = (uint16_t) (count > MAX_COUNT ? 0 : places[0].approved + places[1].approved);
	places->count = (uint16_t) (count > MAX_COUNT ? COUNTLESS : count);
	list->n--;
	memmove(places + 1, places + 2, (size_t) (list->n - i - 1) * sizeof(*places));
}

/* Merges all neighbours for which the span is short in relation to the interval. */
static void
merge_cheap(PnvsPlaceList *list, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	int			intervals = 0;
	int			i = 0;

	for (int j = 0; j < nlimits; j++)
	{
		bool		is_new = limits[j].max > PNVS_EXACT_LIMIT;

		for (int k = 0; k < j; k++)
			is_new = is_new && !(limits[k].max > PNVS_EXACT_LIMIT && limits[k].interval_us == limits[j].interval_us);
		intervals += is_new;
	}
	while (i + 1 < list->n)
	{
		if (merge_cost(list, i, now_us, limits, nlimits) <= intervals / CHEAP_SHARE)
			merge(list, i);
		else
			i++;
	}
}

/* Merges the neighbours whose merging does least harm. */
static void
merge_cheapest(PnvsPlaceList *list, int64_t now_us, const PnvsLimit *limits, int nlimits)
{
	int			cheapest = 0;
	double		least = merge_cost(list, 0, now_us, limits, nlimits);

	for (int i = 1; i + 1 < list->n; i++)
	{
		double		cost = merge_cost(list, i, now_us, limits, nlimits);

		if (cost < least)
		{
			least = cost;
			cheapest = i;
		}
	}
	merge(list, cheapest);
}
