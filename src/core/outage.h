/*-------------------------------------------------------------------------
 *
 * outage.h
 *	  While messages are refused for what is everybody's fault: who may be tried.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OUTAGE_H
#define PNVS_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Messages that were refused last; more at a time make one number's trouble unlikely. */
#define PNVS_OUTAGE_SUSPECTS 16

/* How often it is looked for messages whose time is over while none may be tried. */
#define PNVS_OUTAGE_LOOK_US (10 * INT64_C(1000000))

/* No time at all: before every other. */
#define PNVS_OUTAGE_AT_ONCE INT64_MIN

typedef struct PnvsSuspect
{
	int64_t		id;				/* 0: a free place */
	int			refusals;
	bool		alone;			/* others were sent after it was refused */
} PnvsSuspect;

/* Times in us, of any one clock; IDs are those of messages, never 0.  All 0 at first. */
typedef struct PnvsOutage
{
	int			failures;		/* probes in a row that failed; 0: no outage */
	int64_t		begun_us;
	int64_t		next_probe_us;
	int64_t		next_look_us;
	int64_t		probe;			/* under way, or 0 */
	int64_t		only;			/* all failures were this one's; 0: several's */
	int64_t		last;			/* refused last */
	PnvsSuspect suspects[PNVS_OUTAGE_SUSPECTS];
	int			next_suspect;	/* the place that is given away next */
} PnvsOutage;

/* Who may be tried now. */
typedef enum PnvsTryable
{
	PNVS_TRY_ALL,				/* there is no outage */
	PNVS_TRY_ONE,				/* another than was refused last, if there is
								 * one */
	PNVS_TRY_ONE_OTHER,			/* the same, and else none */
	PNVS_TRY_NONE
} PnvsTryable;

extern PnvsTryable pnvs_outage_tryable(const PnvsOutage *outage, int64_t now_us);
extern int64_t pnvs_outage_next_us(const PnvsOutage *outage);
extern void pnvs_outage_looked(PnvsOutage *outage, int64_t now_us);
extern void pnvs_outage_something_new(PnvsOutage *outage);
extern void pnvs_outage_probe_started(PnvsOutage *outage, int64_t id);
extern void pnvs_outage_failed(PnvsOutage *outage, int64_t id, int64_t now_us, uint32_t random);
extern void pnvs_outage_undecided(PnvsOutage *outage, int64_t id, int64_t now_us,
								  uint32_t random);
extern void pnvs_outage_succeeded(PnvsOutage *outage, int64_t id);
extern void pnvs_outage_try_again(PnvsOutage *outage, int64_t now_us);
extern int	pnvs_outage_own_refusals(const PnvsOutage *outage, int64_t id);

#endif							/* PNVS_OUTAGE_H */
