/*-------------------------------------------------------------------------
 *
 * breaker.h
 *	  The breaker of pnvs.breaker: stops sending to a country if too few of the numbers
 *	  that were sent to are approved.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BREAKER_H
#define PNVS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* The ring of parts of time, see breaker.c; a power of two. */
#define PNVS_BREAKER_SLOTS 64

/* Most people have typed a code after this time, or never will. */
#define PNVS_BREAKER_ANSWER_US (INT64_C(2) * 60 * 1000000)

#define PNVS_BREAKER_FAULT_SIZE 200

/* If fewer than 20 % of at least 50 numbers in an hour are approved, it opens for an hour. */
#define PNVS_DEFAULT_BREAKER "country 50/1h 20% 1h"

/* A rule such as the default; min_numbers 0: the breaker is off. */
typedef struct PnvsBreakerRule
{
	uint32_t	min_numbers;
	int64_t		interval_us;
	int			min_percent;	/* of them must be approved */
	int64_t		open_us;		/* for so long nothing is sent */
} PnvsBreakerRule;

/* Numbers that were sent to in a part of time. */
typedef struct PnvsBreakerSlot
{
	int64_t		number;			/* the part's, counted from the epoch */
	uint32_t	sent;
	uint32_t	approved;		/* of those */
} PnvsBreakerSlot;

/* A country's breaker; all zeros at first.  Times are in microseconds, of any epoch. */
typedef struct PnvsBreaker
{
	int64_t		slot_us;		/* the length of a part */
	int64_t		open_until_us;	/* open before this time; 0: it never was */
	uint32_t	judged_sent;	/* the figures on which it opened */
	uint32_t	judged_approved;
	PnvsBreakerSlot slots[PNVS_BREAKER_SLOTS];
} PnvsBreaker;

extern bool pnvs_breaker_parse(const char *text, PnvsBreakerRule *rule,
							   char fault[PNVS_BREAKER_FAULT_SIZE]);
extern bool pnvs_breaker_counts(const PnvsBreakerRule *rule, int64_t sent_us, int64_t now_us);
extern void pnvs_breaker_sent(PnvsBreaker *breaker, const PnvsBreakerRule *rule,
							  int64_t sent_us, int64_t now_us);
extern void pnvs_breaker_unsent(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);
extern void pnvs_breaker_approved(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);
extern bool pnvs_breaker_opens(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t now_us);

#endif							/* PNVS_BREAKER_H */
