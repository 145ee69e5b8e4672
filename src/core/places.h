/*-------------------------------------------------------------------------
 *
 * places.h
 *	  The places that messages have taken under limits: a list of times, and its
 *	  arithmetic.
 *
 * A limit of N in an interval I admits a message at a time if then no interval of that
 * length that contains this time has more than N places.  An interval contains its start,
 * but not its end: two places exactly I apart are never in the same interval.  Times may
 * be in the future, for messages that are due later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PLACES_H
#define PNVS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The most items of a list.  The error of a limit that is not exact is about 1/64 of its
 * interval with so many, see places.c; twice as many would halve it.
 */
#define PNVS_MAX_PLACES 128

/* Limits of up to so many are exact. */
#define PNVS_EXACT_LIMIT 32

/*
 * A place, or several neighbours that were merged to save memory.  Merged places count
 * as if each were in every interval that meets any part of the span.
 */
typedef struct PnvsPlaces
{
	int64_t		from_us;		/* the first; of any epoch */
	uint32_t	span_ms;		/* to the last, rounded up; 0: all are at
								 * from_us */
	uint16_t	count;			/* at least 1 */
	uint16_t	approved;		/* how many of them are approved */
} PnvsPlaces;

/* Sorted by from_us; empty if n is 0. */
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

/* The time at which a limit admits nothing for ever. */
#define PNVS_PLACES_NEVER INT64_MAX

extern int64_t pnvs_places_admitted_at(const PnvsPlaceList *list, const PnvsLimit *limit,
									   int64_t at_us);
extern uint32_t pnvs_places_count(const PnvsPlaceList *list, const PnvsLimit *limit,
								  int64_t at_us);
extern void pnvs_places_take(PnvsPlaceList *list, int64_t at_us, int64_t now_us,
							 const PnvsLimit *limits, int nlimits);
extern void pnvs_places_add(PnvsPlaceList *list, const PnvsPlaces *places, int64_t now_us,
							const PnvsLimit *limits, int nlimits);
extern bool pnvs_places_give_back(PnvsPlaceList *list, int64_t at_us);
extern bool pnvs_places_approve(PnvsPlaceList *list, int64_t at_us);
extern void pnvs_places_forget(PnvsPlaceList *list, int64_t now_us,
							   const PnvsLimit *limits, int nlimits);
extern void pnvs_places_shrink(PnvsPlaceList *list, int size, int64_t now_us,
							   const PnvsLimit *limits, int nlimits);

#endif							/* PNVS_PLACES_H */
