/*-------------------------------------------------------------------------
 *
 * places.h
 *	  The places that messages have taken under a limit: a list of times, and its
 *	  arithmetic.
 *
 * A limit of N in an interval I admits a message at a time if then no interval of that
 * length has more than N places, whether before or behind that time.  An interval has
 * its start in it, and not its end: two places exactly I apart are not in one interval.
 * Times may be in the future, for messages that are due later.
 *
 * All times are in microseconds, of any epoch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PLACES_H
#define PNVS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/* The most items that a list needs, see places.c. */
#define PNVS_MAX_PLACES 128

/* A limit of up to so many is exact; above that it is approximate and never over. */
#define PNVS_EXACT_LIMIT 32

/*
 * One place, or several that are neighbours in time and were merged to save memory.  They
 * count as if each were in every interval that meets any part of the span: too strict,
 * and never over.
 */
typedef struct PnvsPlaces
{
	int64_t		from_us;		/* the first */
	uint32_t	span_ms;		/* to the last, rounded up; 0: all at from_us */
	uint16_t	count;			/* 1 at least */
	uint16_t	approved;		/* so many of them are approved */
} PnvsPlaces;

/* A list of places, by their time. */
typedef struct PnvsPlaceList
{
	int			n;
	PnvsPlaces	items[PNVS_MAX_PLACES];
} PnvsPlaceList;

/* A limit as the arithmetic sees it. */
typedef struct PnvsLimit
{
	uint32_t	max;
	int64_t		interval_us;
	bool		unapproved;		/* approved places do not count */
} PnvsLimit;

/*
 * The earliest time from at_us on at which the limit admits one more place: at_us itself
 * if it does so at once.
 */
extern int64_t pnvs_places_admitted_at(const PnvsPlaceList *list, const PnvsLimit *limit,
									   int64_t at_us);

/* The places that count in the fullest interval that has at_us in it (for warnings). */
extern uint32_t pnvs_places_count(const PnvsPlaceList *list, const PnvsLimit *limit,
								  int64_t at_us);

/*
 * Takes a place.  What lies before now_us - exact_us may be merged to make room; what is
 * later only if nothing else will do.
 */
extern void pnvs_places_take(PnvsPlaceList *list, int64_t at_us, int64_t now_us,
							 int64_t exact_us);

/* Gives the place of that time back, or marks it as approved; false if there is none. */
extern bool pnvs_places_give_back(PnvsPlaceList *list, int64_t at_us);
extern bool pnvs_places_approve(PnvsPlaceList *list, int64_t at_us);

/* Forgets what no limit counts any more.  (limits: those of the list) */
extern void pnvs_places_forget(PnvsPlaceList *list, const PnvsLimit *limits, int nlimits,
							   int64_t now_us);

/* Merges until the list has no more than size items; for memory that is short. */
extern void pnvs_places_shrink(PnvsPlaceList *list, int size, int64_t now_us, int64_t exact_us);

#endif							/* PNVS_PLACES_H */
