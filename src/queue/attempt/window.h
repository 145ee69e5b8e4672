/*-------------------------------------------------------------------------
 *
 * window.h
 *	  The attempts that a sender has begun and not settled yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_QUEUE_WINDOW_H
#define PNVS_QUEUE_WINDOW_H

#include "core/schedule.h"
#include "queue/attempt/attempt.h"

/* Times by the monotonic clock. */
typedef struct PnvsWindow
{
	PnvsAttempt **attempts;		/* PNVS_MAX_WINDOW */
	int			nattempts;
	int64		ready_since_us; /* since when some wait to be settled, or 0 */
	int64		exchanged_at_us;	/* the end of the last exchange */
	int64		checked_at_us;	/* see pnvs_window_end_late_calls() */
} PnvsWindow;

/* libcurl ends calls by itself; if it does not, a check so often does. */
#define PNVS_LATENESS_CHECK_US USECS_PER_SEC

extern void pnvs_window_open(PnvsWindow *window, MemoryContext context);
extern void pnvs_window_add(PnvsWindow *window, PnvsAttempt *attempt);
extern void pnvs_window_drop(PnvsWindow *window, PnvsAttempt *attempt);
extern void pnvs_window_clear(PnvsWindow *window);
extern void pnvs_window_load(const PnvsWindow *window, int64 now_us, PnvsLoad *load);
extern int	pnvs_window_ready(const PnvsWindow *window, bool all, PnvsAttempt **ready);
extern int	pnvs_window_looked_up(const PnvsWindow *window, int64 **ids);
extern void pnvs_window_note_ready(PnvsWindow *window, PnvsLoad *load, int64 now_us);
extern void pnvs_window_end_late_calls(PnvsWindow *window, int64 now_us);

#endif							/* PNVS_QUEUE_WINDOW_H */
