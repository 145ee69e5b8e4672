/*-------------------------------------------------------------------------
 *
 * window.h
 *	  The attempts of a sender.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_QUEUE_WINDOW_H
#define PNVS_QUEUE_WINDOW_H

#include "queue/attempt/attempt.h"

/* The upper bound of pnvs.max_in_flight. */
#define PNVS_MAX_WINDOW 1000

/* What could be done in one exchange with more waits for that so long at the most. */
#define PNVS_MAX_EXCHANGE_DELAY_MS 2

/* libcurl ends calls by itself; where it does not, this finds out. */
#define PNVS_LATENESS_CHECK_MS 1000

typedef struct PnvsWindow
{
	PnvsAttempt **attempts;		/* room for PNVS_MAX_WINDOW */
	int			nattempts;
	TimestampTz done_since;		/* since when some have waited, or 0 */
	TimestampTz exchanged;		/* when the last exchange ended, or 0 */
	TimestampTz lateness_checked;
} PnvsWindow;

extern void pnvs_window_open(PnvsWindow *window, MemoryContext context);
extern void pnvs_window_add(PnvsWindow *window, PnvsAttempt *attempt);
extern void pnvs_window_drop(PnvsWindow *window, PnvsAttempt *attempt);
extern void pnvs_window_clear(PnvsWindow *window);
extern int	pnvs_window_under_way(const PnvsWindow *window, int *nready);
extern int	pnvs_window_ready(const PnvsWindow *window, bool all, PnvsAttempt **ready);
extern int	pnvs_window_looked_up(const PnvsWindow *window, int64 **ids);
extern TimestampTz pnvs_window_next_ready(const PnvsWindow *window, TimestampTz now);
extern int	pnvs_window_lookup_room(const PnvsWindow *window);
extern TimestampTz pnvs_window_settle_from(const PnvsWindow *window, int nunder_way, int nready);
extern TimestampTz pnvs_window_room_from(const PnvsWindow *window, int nunder_way, int nready);
extern int	pnvs_window_share(void);
extern void pnvs_window_note_exchange(PnvsWindow *window);
extern void pnvs_window_note_done(PnvsWindow *window, int nready, TimestampTz now);
extern void pnvs_window_end_late_calls(PnvsWindow *window, TimestampTz now);
extern void pnvs_window_forget_times(PnvsWindow *window);

#endif							/* PNVS_QUEUE_WINDOW_H */
