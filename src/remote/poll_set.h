/*-------------------------------------------------------------------------
 *
 * poll_set.h
 *	  Watches sockets and a timer by one descriptor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_POLL_SET_H
#define PNVS_POLL_SET_H

/* A socket's events: what it is watched for, and what happened. */
#define PNVS_POLL_READ	0x1
#define PNVS_POLL_WRITE 0x2
#define PNVS_POLL_ERROR 0x4

/*
 * A socket that nobody uses is watched for this: nothing should come.  It is an event
 * if something does, or if the connection ends.
 */
#define PNVS_POLL_IDLE	0x8

/* Stands for a socket in the event that the timer has run out. */
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
	unsigned char *watched;		/* events, by socket; malloc'ed */
	int			nwatched;		/* its length */
	bool		timer_due;		/* it was set to run out at once */
	int64		due_us;			/* when it should run out, or 0 */
	int64		armed_us;		/* when the kernel's will, never later; or 0 */
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
