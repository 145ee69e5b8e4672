/*-------------------------------------------------------------------------
 *
 * poll_set.c
 *	  Watches sockets and a timer by one descriptor.
 *
 * PostgreSQL's WaitEventSet cannot drop a socket.  So an epoll descriptor watches
 * everything that comes and goes, and PostgreSQL waits for that descriptor and its
 * latch.
 *
 * Nothing here throws: the callers run inside libcurl's callbacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "monotonic.h"
#include "remote/poll_set.h"

#define MAX_EVENTS 64

/*
 * Beside a socket's events: pnvs_poll_set_unwatch() will be called before it is
 * closed, so what is known of it stays true.  libcurl opens and closes the sockets of
 * its resolver's thread by itself, without a word.
 */
#define OURS 0x80

static bool make_room(PnvsPollSet *set, int socket);
static uint32 epoll_events(int what);
static bool arm_timer(PnvsPollSet *set);
static bool timer_ran_out(PnvsPollSet *set);

/* Opens a set.  If it fails, returns false, sets errno and leaves nothing open. */
bool
pnvs_poll_set_open(PnvsPollSet *set)
{
	memset(set, 0, sizeof(*set));
	set->descriptor = epoll_create1(EPOLL_CLOEXEC);
	if (set->descriptor < 0)
		return false;
	set->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (set->timer < 0 || !pnvs_poll_set_watch(set, set->timer, PNVS_POLL_READ))
	{
		int			saved_errno = errno;

		if (set->timer >= 0)
			close(set->timer);
		close(set->descriptor);
		free(set->watched);
		errno = saved_errno;
		return false;
	}
	return true;
}

/*
 * Watches a socket, or changes its events.  False: out of memory.
 *
 * A call of the service first reads from its socket and then leaves it idle, which
 * the kernel watches in the same way.  So the kernel is told only if something
 * changes for it, or if it may have forgotten the socket: closing one that is not
 * ours removes it from the set.
 */
bool
pnvs_poll_set_watch(PnvsPollSet *set, int socket, int what)
{
	struct epoll_event event = {0};
	int			ours;
	int			before;

	if (socket >= set->nwatched && !make_room(set, socket))
		return false;
	ours = set->watched[socket] & OURS;
	before = set->watched[socket] & ~OURS;
	event.data.fd = socket;
	event.events = epoll_events(what);
	if (!ours || before == 0 || event.events != epoll_events(before))
	{
		if (epoll_ctl(set->descriptor, EPOLL_CTL_MOD, socket, &event) != 0 &&
			(errno != ENOENT ||
			 epoll_ctl(set->descriptor, EPOLL_CTL_ADD, socket, &event) != 0))
			return false;
	}
	set->watched[socket] = (unsigned char) (what | ours);
	return true;
}

/* Notes that a socket was just opened, and is ours. */
void
pnvs_poll_set_begin(PnvsPollSet *set, int socket)
{
	if (socket >= 0 && (socket < set->nwatched || make_room(set, socket)))
		set->watched[socket] = OURS;
}

/* Stops watching a socket, which may be closed already. */
void
pnvs_poll_set_unwatch(PnvsPollSet *set, int socket)
{
	if (socket < set->nwatched)
		set->watched[socket] = 0;
	(void) epoll_ctl(set->descriptor, EPOLL_CTL_DEL, socket, NULL);
}

/*
 * Ends a kept connection on which something came though nothing was asked, mostly
 * the service's close.  Before libcurl uses such a connection again it checks for
 * the socket's end, but not for the end of TLS, which comes first.  It would write a
 * request, and nobody could say whether that was read.
 */
void
pnvs_poll_set_end(PnvsPollSet *set, int socket)
{
	char		ignored[256];
	bool		ours = socket < set->nwatched && (set->watched[socket] & OURS) != 0;

	pnvs_poll_set_unwatch(set, socket);
	/* libcurl's own, by which its threads wake it */
	if (!ours)
		return;
	shutdown(socket, SHUT_RDWR);
	while (recv(socket, ignored, sizeof(ignored), MSG_DONTWAIT) > 0)
		;
}

/* Sets the timer to run out after wait_ms milliseconds, or never if negative. */
bool
pnvs_poll_set_timer(PnvsPollSet *set, long wait_ms)
{
	set->timer_due = wait_ms == 0;
	set->due_us = wait_ms > 0 ? pnvs_monotonic_us() + (int64) wait_ms * 1000 : 0;
	return set->due_us == 0 ||
		(set->armed_us != 0 && set->armed_us <= set->due_us) ||
		arm_timer(set);
}

/* Takes up to max_events events, without waiting.  Returns their number. */
int
pnvs_poll_set_collect(PnvsPollSet *set, PnvsPollEvent *events, int max_events)
{
	struct epoll_event ready[MAX_EVENTS];
	int			nready;
	int			nevents = 0;

	if (set->timer_due)
	{
		/* other events keep until the next time */
		set->timer_due = false;
		events[0].socket = PNVS_POLL_TIMER;
		events[0].what = 0;
		return 1;
	}
	nready = epoll_wait(set->descriptor, ready, Min(MAX_EVENTS, max_events), 0);
	for (int i = 0; i < nready; i++)
	{
		PnvsPollEvent *event = &events[nevents++];

		event->socket = ready[i].data.fd;
		event->what = 0;
		if ((set->watched[event->socket] & ~OURS) == PNVS_POLL_IDLE)
		{
			event->what = PNVS_POLL_IDLE;
			continue;
		}
		if (ready[i].events & EPOLLIN)
			event->what |= PNVS_POLL_READ;
		if (ready[i].events & EPOLLOUT)
			event->what |= PNVS_POLL_WRITE;
		if (ready[i].events & (EPOLLERR | EPOLLHUP))
			event->what |= PNVS_POLL_ERROR;
		if (event->socket == set->timer)
		{
			if (timer_ran_out(set))
				event->socket = PNVS_POLL_TIMER;
			else
				nevents--;
		}
	}
	return nevents;
}

/* Room for a socket of this number; false: out of memory. */
static bool
make_room(PnvsPollSet *set, int socket)
{
	int			nwatched = Max(socket + 1, 2 * set->nwatched);
	unsigned char *watched = realloc(set->watched, nwatched);

	if (watched == NULL)
		return false;
	memset(watched + set->nwatched, 0, nwatched - set->nwatched);
	set->watched = watched;
	set->nwatched = nwatched;
	return true;
}

static uint32
epoll_events(int what)
{
	return ((what & (PNVS_POLL_READ | PNVS_POLL_IDLE)) ? EPOLLIN : 0) |
		((what & PNVS_POLL_WRITE) ? EPOLLOUT : 0);
}

static bool
arm_timer(PnvsPollSet *set)
{
	struct itimerspec spec = {0};

	spec.it_value.tv_sec = set->due_us / 1000000;
	spec.it_value.tv_nsec = set->due_us % 1000000 * 1000;
	set->armed_us = set->due_us;
	return timerfd_settime(set->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0;
}

/* Whether it is time; a timer that was early is set again. */
static bool
timer_ran_out(PnvsPollSet *set)
{
	uint64		expirations;

	(void) !read(set->timer, &expirations, sizeof(expirations));
	set->armed_us = 0;
	if (set->due_us == 0)
		return false;
	if (pnvs_monotonic_us() < set->due_us)
		return !arm_timer(set);
	set->due_us = 0;
	return true;
}
