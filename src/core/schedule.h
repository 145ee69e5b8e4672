/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  Decides when a sender exchanges rows with the queue again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SCHEDULE_H
#define PNVS_SCHEDULE_H

#include <stdint.h>

#define PNVS_SCHEDULE_NEVER INT64_MAX

/* The most requests that a sender keeps: the upper bound of pnvs.max_in_flight. */
#define PNVS_MAX_WINDOW 1000

/* Under load, work waits for this at the most, to be done together with more. */
#define PNVS_MAX_EXCHANGE_DELAY_US 2000

/* The requests of a sender at one time. */
typedef struct PnvsLoad
{
	int			max_in_flight;	/* how many may be under way */
	int			under_way;		/* have not come back */
	int			ready;			/* have come back, and can be settled now */
	int			kept;			/* have come back, and cannot be settled yet */
	int			look_ups;		/* of all these, searches that are not kept */
	int64_t		kept_us;		/* until the first of the kept can be settled */
	int64_t		ready_for_us;	/* since the first of the ready came back */
	int64_t		exchanged_us;	/* since the last exchange */
} PnvsLoad;

/* How long it is until something may be done, in us: 0 or less for now, or NEVER. */
typedef struct PnvsDue
{
	int64_t		pause_us;		/* the end of a pause after a failure */
	int64_t		queued_us;		/* the first message is due */
	int64_t		unknown_us;		/* the first look-up is due */
} PnvsDue;

extern int	pnvs_schedule_share(int max_in_flight);
extern int	pnvs_schedule_look_up_capacity(const PnvsLoad *load);
extern int64_t pnvs_schedule_exchange_us(const PnvsLoad *load, const PnvsDue *due);

#endif							/* PNVS_SCHEDULE_H */
