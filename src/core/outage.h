/*-------------------------------------------------------------------------
 *
 * outage.h
 *	  Decides which messages may be tried during an outage: while messages are refused
 *	  for a reason that concerns all of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OUTAGE_H
#define PNVS_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

/* So many refused messages are remembered; more of them are an outage for certain. */
#define PNVS_OUTAGE_SUSPECTS 16

/* How often to look for messages that expire while none may be tried. */
#define PNVS_OUTAGE_LOOK_US (10 * INT64_C(1000000))

/* A time before every other. */
#define PNVS_OUTAGE_AT_ONCE INT64_MIN

typedef struct PnvsSuspect
{
	int64_t		id;				/* 0: the place is free */
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
	int64_t		only;			/* the only message that was refused, or 0 */
	int64_t		last;			/* the message that was refused last */
	PnvsSuspect suspects[PNVS_OUTAGE_SUSPECTS];
	int			next_suspect;	/* the place that is overwritten next */
} PnvsOutage;

/* Which messages may be tried. */
typedef enum PnvsTryable
{
	PNVS_TRY_ALL,				/* there is no outage */
	PNVS_TRY_ONE,				/* preferably not the last refused */
	PNVS_TRY_ONE_OTHER,			/* not the last refused */
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
