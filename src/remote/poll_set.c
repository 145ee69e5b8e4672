/*-------------------------------------------------------------------------
 *
 * poll_set.c
 *	  Sockets and a timer behind one descriptor.
 *
 * PostgreSQL's WaitEventSet cannot drop a socket again.  So everything that
 * comes and goes is watched by an epoll descriptor of our own, and PostgreSQL
 * waits for that one, beside its latch.
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

#include "remote/poll_set.h"

#define MAX_EVENTS 64

/* Beside what a socket is watched for: its closing will be told of. */
#define OURS 0x80

static bool make_room(PnvsPollSet *set, int socket);
static uint32 epoll_events(int what);
static bool arm_timer(PnvsPollSet *set);
static bool timer_ran_out(PnvsPollSet *set);
static int64 now_ns(void);

/*
 * Opens a set.  On failure it returns false, sets errno and leaves nothing
 * open.
 */
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
 * Watches a socket, or changes what it is watched for; false: out of memory.
 * Each call asks for a socket and then lets it idle, for which the kernel is to
 * look out for the same: so it is told of real changes alone, where it cannot
 * have forgotten the socket meanwhile.
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

/*
 * A socket that was just opened, and will be unwatched before it is closed.
 * libcurl has others, for its resolver's thread, which it opens and closes by
 * itself: whatever is known of their number may be of another one.
 */
void
pnvs_poll_set_begin(PnvsPollSet *set, int socket)
{
	if (socket >= 0 && (socket < set->nwatched || make_room(set, socket)))
		set->watched[socket] = OURS;
}

/* Forgets a socket; one that was closed already has been forgotten. */
void
pnvs_poll_set_unwatch(PnvsPollSet *set, int socket)
{
	if (socket < set->nwatched)
		set->watched[socket] = 0;
	(void) epoll_ctl(set->descriptor, EPOLL_CTL_DEL, socket, NULL);
}

/*
 * Ends a kept connection on which something has come though nothing was asked:
 * mostly the service's close.  libcurl's own check before it uses such a
 * connection again sees the socket's end, but not TLS's before it, and would
 * write a request of which nobody can say whether it was read.
 */
void
pnvs_poll_set_end(PnvsPollSet *set, int socket)
{
	char		ignored[256];
	bool		ours = socket < set->nwatched && (set->watched[socket] & OURS) != 0;

	pnvs_poll_set_unwatch(set, socket);
	/* libcurl's own, by which its threads wake it, stays as it is */
	if (!ours)
		return;
	shutdown(socket, SHUT_RDWR);
	while (recv(socket, ignored, sizeof(ignored), MSG_DONTWAIT) > 0)
		;
}

/*
 * Sets the one timer to run out after wait_ms milliseconds, or never where
 * that is negative.
 */
bool
pnvs_poll_set_timer(PnvsPollSet *set, long wait_ms)
{
	set->timer_due = wait_ms == 0;
	set->due_ns = wait_ms > 0 ? now_ns() + (int64) wait_ms * 1000000 : 0;
	return set->due_ns == 0 ||
		(set->armed_ns != 0 && set->armed_ns <= set->due_ns) ||
		arm_timer(set);
}

/*
 * Takes what has happened, up to max_events of it, without waiting.  Returns
 * their number.
 */
int
pnvs_poll_set_collect(PnvsPollSet *set, PnvsPollEvent *events, int max_events)
{
	struct epoll_event ready[MAX_EVENTS];
	int			nready;
	int			nevents = 0;

	if (set->timer_due)
	{
		/* what else has happened keeps until the next time */
		set->timer_due = false;
		events[0].socket = PNVS_POLL_TIMER;
		events[0].what = 0;
		return 1;
	}
	nready = epoll_wait(set->descriptor, ready,
						Min(MAX_EVENTS, max_events - nevents), 0);
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

	spec.it_value.tv_sec = set->due_ns / 1000000000;
	spec.it_value.tv_nsec = set->due_ns % 1000000000;
	set->armed_ns = set->due_ns;
	return timerfd_settime(set->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0;
}

/* Whether it is time; where the timer was only early, it is set again. */
static bool
timer_ran_out(PnvsPollSet *set)
{
	uint64		expirations;

	(void) !read(set->timer, &expirations, sizeof(expirations));
	set->armed_ns = 0;
	if (set->due_ns == 0)
		return false;
	if (now_ns() < set->due_ns)
		return !arm_timer(set);
	set->due_ns = 0;
	return true;
}

static int64
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000000 + now.tv_nsec;
}
