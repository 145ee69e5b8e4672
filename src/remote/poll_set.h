/*-------------------------------------------------------------------------
 *
 * poll_set.h
 *	  Sockets and a timer behind one descriptor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_POLL_SET_H
#define PNVS_POLL_SET_H

/* What a socket is watched for, and what happened to it. */
#define PNVS_POLL_READ	0x1
#define PNVS_POLL_WRITE 0x2
#define PNVS_POLL_ERROR 0x4

/*
 * By itself: nobody uses the socket, so nothing should come.  As an event:
 * something did, if only the end of the connection.
 */
#define PNVS_POLL_IDLE	0x8

/* In place of a socket: the timer ran out. */
#define PNVS_POLL_TIMER (-1)

typedef struct PnvsPollEvent
{
	int			socket;			/* or PNVS_POLL_TIMER */
	int			what;			/* PNVS_POLL_… */
} PnvsPollEvent;

typedef struct PnvsPollSet
{
	int			descriptor;		/* readable when there is an event */
	int			timer;
	unsigned char *watched;		/* by socket: PNVS_POLL_…, or 0; malloc'ed */
	int			nwatched;		/* its length */
	bool		timer_due;		/* it was set to nothing: no need to wait */
	int64		due_ns;			/* when it is to run out, or 0 */
	int64		armed_ns;		/* when timer will, never later; or 0 */
} PnvsPollSet;

extern bool pnvs_poll_set_open(PnvsPollSet *set);
extern bool pnvs_poll_set_watch(PnvsPollSet *set, int socket, int what);
extern void pnvs_poll_set_begin(PnvsPollSet *set, int socket);
extern void pnvs_poll_set_unwatch(PnvsPollSet *set, int socket);
extern void pnvs_poll_set_end(PnvsPollSet *set, int socket);
extern bool pnvs_poll_set_timer(PnvsPollSet *set, long wait_ms);
extern int	pnvs_poll_set_collect(PnvsPollSet *set, PnvsPollEvent *events,
								  int max_events);

#endif							/* PNVS_POLL_SET_H */
