/*-------------------------------------------------------------------------
 *
 * breaker.h
 *	  The breaker of pnvs.breaker: stops sending to a country where too few of the
 *	  numbers that were sent to are approved.
 *
 * Counted are different numbers.  Judged are those whose messages are old enough to have
 * been answered.  Times are in microseconds, of any epoch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_BREAKER_H
#define PNVS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define PNVS_BREAKER_SLOTS 64

/* Most people type a code within this time. */
#define PNVS_BREAKER_ANSWER_US (INT64_C(2) * 60 * 1000000)

#define PNVS_BREAKER_FAULT_SIZE 200

/* "country 50/1h 20% 1h"; min_numbers 0: the breaker is off. */
typedef struct PnvsBreakerRule
{
	uint32_t	min_numbers;
	int64_t		interval_us;
	int			min_percent;	/* of them must be approved */
	int64_t		open_us;		/* for so long nothing is sent */
} PnvsBreakerRule;

/* Numbers that were sent to for the first time in a part of the interval. */
typedef struct PnvsBreakerSlot
{
	int64_t		number;			/* the part's, counted from the epoch */
	uint32_t	sent;
	uint32_t	approved;
} PnvsBreakerSlot;

/* A country's breaker; all zeros at first. */
typedef struct PnvsBreaker
{
	int64_t		slot_us;		/* the length of a part; of the rule in force */
	int64_t		open_until_us;	/* 0: closed */
	uint32_t	judged_sent;	/* the figures on which it opened */
	uint32_t	judged_approved;
	PnvsBreakerSlot slots[PNVS_BREAKER_SLOTS];
} PnvsBreaker;

extern bool pnvs_breaker_parse(const char *text, PnvsBreakerRule *rule,
							   char fault[PNVS_BREAKER_FAULT_SIZE]);

/*
 * A number that has not been counted within the interval was sent to at sent_us; the same
 * taken back, because nothing was sent; and approved.
 */
extern void pnvs_breaker_sent(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);
extern void pnvs_breaker_unsent(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);
extern void pnvs_breaker_approved(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);

/*
 * Judges at a time: true if it opens now.  open_until_us says whether it is open.  After
 * it has closed, only what was sent since counts.
 */
extern bool pnvs_breaker_opens(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t now_us);

#endif							/* PNVS_BREAKER_H */
