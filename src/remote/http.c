/*-------------------------------------------------------------------------
 *
 * http.c
 *	  Runs HTTP requests by libcurl's multi interface, behind one descriptor.
 *
 * Rules for all files http*.c:
 *
 * - Nothing throws inside a callback of libcurl: the callback notes the reason in
 *	 its transfer and tells libcurl to stop.
 * - libcurl allocates by malloc(), never by palloc(), because its connections
 *	 outlive every memory context.  A transfer is malloc'ed, too, and goes back to
 *	 the idle ones when the memory context that it was started in is reset.
 * - libcurl looks names up in a thread.  All signals are blocked while it starts
 *	 one, so that no handler of PostgreSQL runs on it.
 * - Nothing of libcurl or OpenSSL is initialised before the first request, so
 *	 never in the postmaster.
 *
 * Connections and TLS sessions are kept for minutes, and until memory runs out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "remote/http_internal.h"
#include "remote/poll_set.h"
#include "remote/signal_mask.h"

/* Enough for one endpoint and a change of settings. */
#define MAX_CONNECTIONS 4

/* A round reads about 1.6 MB at the most; a reply takes two or three. */
#define MAX_ROUNDS 8

#define CANNOT_PREPARE "could not prepare a request to the verification service"

/* So that libcurl's events and ours need no translation. */
StaticAssertDecl(PNVS_POLL_READ == CURL_POLL_IN && PNVS_POLL_WRITE == CURL_POLL_OUT &&
				 PNVS_POLL_READ == CURL_CSELECT_IN && PNVS_POLL_WRITE == CURL_CSELECT_OUT &&
				 PNVS_POLL_ERROR == CURL_CSELECT_ERR && PNVS_POLL_TIMER == CURL_SOCKET_TIMEOUT,
				 "events must be those of libcurl");

/* The engine of this process; multi is NULL until the first request. */
static struct
{
	CURLM	   *multi;
	PnvsPollSet poll_set;
	bool		poll_set_is_open;
	PnvsHttpTransfer *idle;
	int			nconnections;	/* to be kept; 0: MAX_CONNECTIONS */
	int			ntransfers;		/* that are not idle */
	PnvsHttpTransfer *only;		/* the only one that is not, or NULL if that
								 * is not known */
	bool		signals_blocked;
	sigset_t	saved_signals;
	bool		exhausted;		/* out of memory: to be replaced, see
								 * close_engine() */
}			engine;

static void open_engine(void);
static void set_up_multi(PnvsHttpObstacle *obstacle);
static void close_engine(void);
static void note_exhaustion(void);
static PnvsHttpTransfer *take_transfer(void);
static void release_transfer(void *arg);
static void act_on_events(void);
static void note_finished(void);
static int	on_socket(CURL *easy, curl_socket_t socket, int what, void *userp,
					  void *socketp);
static int	on_timer(CURLM *multi, long timeout_ms, void *userp);

/*
 * Starts a request.  The transfer belongs to the current memory context: when
 * that is reset or deleted, the transfer is taken back, whatever it is doing.
 * The headers and the body must live as long; the rest of the request is copied.
 * Throws if the request cannot be started; then nothing has been sent.
 */
PnvsHttpTransfer *
pnvs_http_start(const PnvsHttpRequest *request)
{
	PnvsHttpObstacle obstacle = {0};
	PnvsHttpTransfer *transfer;

	if (engine.exhausted && engine.ntransfers == 0)
		close_engine();
	if (engine.multi == NULL)
		open_engine();

	/* notice now which of the kept connections have ended */
	pnvs_http_advance();

	transfer = take_transfer();
	pnvs_http_trust_renew(request, &obstacle);
	pnvs_http_transfer_begin(transfer, request, &obstacle);
	if (obstacle.what == NULL)
		pnvs_http_note_multi(&obstacle, "curl_multi_add_handle",
							 curl_multi_add_handle(engine.multi, transfer->easy));
	if (obstacle.what != NULL)
		pnvs_http_failed(&obstacle, CANNOT_PREPARE);

	pnvs_http_advance();
	return transfer;
}

/*
 * Readable whenever pnvs_http_advance() has something to do.  Throws if the
 * engine of this process cannot be opened.
 */
int
pnvs_http_descriptor(void)
{
	if (engine.multi == NULL)
		open_engine();
	return engine.poll_set.descriptor;
}

/*
 * Keeps up to so many connections, rather than the few of a session.  Throws if
 * the engine of this process cannot be opened.
 */
void
pnvs_http_keep_connections(int nconnections)
{
	engine.nconnections = nconnections;
	if (engine.multi == NULL)
		open_engine();
	else
		(void) curl_multi_setopt(engine.multi, CURLMOPT_MAXCONNECTS,
								 (long) Max(nconnections, MAX_CONNECTIONS));
}

/* Moves every transfer as far as it gets without waiting.  Never throws. */
void
pnvs_http_advance(void)
{
	act_on_events();
	if (engine.signals_blocked)
	{
		engine.signals_blocked = false;
		pnvs_signal_mask_restore(&engine.saved_signals);
	}
	note_finished();
}

/*
 * Ends a transfer whose time is over.  libcurl does so by itself, unless it ran out
 * of memory at the wrong moment: then it forgets a transfer and its time-out.
 */
void
pnvs_http_time_out(PnvsHttpTransfer *transfer)
{
	transfer->code = CURLE_OPERATION_TIMEDOUT;
	transfer->done = true;
	engine.exhausted = true;
}

/*
 * Whether no more transfers should be started until the last one is released:
 * libcurl has run out of memory, and can be replaced only then.
 */
bool
pnvs_http_needs_rest(void)
{
	return engine.exhausted && engine.ntransfers > 0;
}

/* The Date header's time, in seconds since the epoch, or -1. */
int64
pnvs_http_server_time_s(const PnvsHttpResult *result)
{
	return result->server_date[0] ? curl_getdate(result->server_date, NULL) : -1;
}

/*
 * Opens the engine of this process, or throws.  The descriptor stays open from then
 * on, even if the engine is closed, because it is part of the client's wait set.
 */
static void
open_engine(void)
{
	PnvsHttpObstacle obstacle = {0};

	/* libcurl would write the keys of all TLS sessions into this file */
	unsetenv("SSLKEYLOGFILE");
	pnvs_http_note(&obstacle, "curl_global_init",
				   curl_global_init(CURL_GLOBAL_DEFAULT));
	if (obstacle.what != NULL)
		pnvs_http_failed(&obstacle, "could not initialize libcurl");
	if (!engine.poll_set_is_open)
	{
		if (!pnvs_poll_set_open(&engine.poll_set))
			pnvs_http_failed(&obstacle, "could not create a descriptor to wait on");
		ReserveExternalFD();
		ReserveExternalFD();
		engine.poll_set_is_open = true;
	}
	set_up_multi(&obstacle);
	if (obstacle.what != NULL)
	{
		close_engine();
		pnvs_http_failed(&obstacle, "could not set libcurl up");
	}
}

/* Makes the multi handle; the first obstacle is noted. */
static void
set_up_multi(PnvsHttpObstacle *obstacle)
{
	pnvs_http_trust_open(obstacle);
	engine.multi = curl_multi_init();
	if (engine.multi == NULL)
	{
		pnvs_http_note(obstacle, "curl_multi_init", CURLE_OUT_OF_MEMORY);
		return;
	}
	pnvs_http_multi_set(obstacle, engine.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	pnvs_http_multi_set(obstacle, engine.multi, CURLMOPT_TIMERFUNCTION, on_timer);
#ifdef PNVS_HAVE_MULTI_QUICK_EXIT
	pnvs_http_multi_set(obstacle, engine.multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	pnvs_http_multi_set(obstacle, engine.multi, CURLMOPT_MAXCONNECTS,
						(long) Max(engine.nconnections, MAX_CONNECTIONS));
}

/*
 * Closes the engine; the next request opens a new one.  That is necessary after
 * libcurl has run out of memory: version 7.88 then leaves a half-made table of
 * sockets, by whose size 0 it divides later, and uses connections that are dead.
 * There must be no transfer.
 */
static void
close_engine(void)
{
	while (engine.idle)
	{
		PnvsHttpTransfer *transfer = engine.idle;

		engine.idle = transfer->next_idle;
		pnvs_http_transfer_destroy(transfer);
	}
	pnvs_http_turn_begin();
	if (engine.multi)
		curl_multi_cleanup(engine.multi);
	pnvs_http_trust_close();
	engine.multi = NULL;
	engine.exhausted = false;
	(void) pnvs_poll_set_timer(&engine.poll_set, -1);
}

/*
 * libcurl has run out of memory, and does not say which transfer it has forgotten.
 * If there is only one, it ends now instead of by its time-out.
 */
static void
note_exhaustion(void)
{
	engine.exhausted = true;
	if (engine.only != NULL && !engine.only->done)
	{
		engine.only->code = CURLE_OUT_OF_MEMORY;
		engine.only->done = true;
	}
}

/*
 * An idle transfer, or a new one, for the current memory context.  Throws if there
 * is no memory.
 */
static PnvsHttpTransfer *
take_transfer(void)
{
	PnvsHttpTransfer *transfer = engine.idle;
	PnvsHttpObstacle obstacle = {0};

	if (transfer != NULL)
		engine.idle = transfer->next_idle;
	else
		transfer = pnvs_http_transfer_create(&obstacle);
	if (transfer == NULL)
		pnvs_http_failed(&obstacle, CANNOT_PREPARE);
	engine.only = engine.ntransfers++ == 0 ? transfer : NULL;
	transfer->on_reset.func = release_transfer;
	transfer->on_reset.arg = transfer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->on_reset);
	return transfer;
}

/*
 * Memory context callback: takes a transfer back, whether it is done or not.
 * libcurl closes a connection with a request under way.
 */
static void
release_transfer(void *arg)
{
	PnvsHttpTransfer *transfer = arg;

	pnvs_http_turn_begin();
	curl_multi_remove_handle(engine.multi, transfer->easy);
	/* pnvs_http_advance() would see to this, but is not under way */
	if (engine.poll_set.timer_due)
		(void) pnvs_poll_set_timer(&engine.poll_set, 1);
	engine.only = NULL;
	engine.ntransfers--;
	pnvs_http_transfer_end(transfer);
	transfer->next_idle = engine.idle;
	engine.idle = transfer;
}

static void
act_on_events(void)
{
	PnvsPollEvent events[16];
	int			nevents;
	int			running;
	int			rounds = 0;

	do
	{
		nevents = pnvs_poll_set_collect(&engine.poll_set, events, lengthof(events));

		/*
		 * Idle sockets first: libcurl can close such a socket below, and open
		 * another one of the same number.
		 */
		for (int i = 0; i < nevents; i++)
		{
			if (events[i].what == PNVS_POLL_IDLE)
				pnvs_poll_set_end(&engine.poll_set, events[i].socket);
		}
		for (int i = 0; i < nevents; i++)
		{
			if (events[i].what == PNVS_POLL_IDLE)
				continue;
			pnvs_http_turn_begin();
			if (curl_multi_socket_action(engine.multi, events[i].socket, events[i].what,
										 &running) != CURLM_OK)
				note_exhaustion();
		}
	} while (engine.poll_set.timer_due && ++rounds < MAX_ROUNDS);

	/* The caller must get to its interrupts, however fast the bytes come. */
	if (engine.poll_set.timer_due)
		(void) pnvs_poll_set_timer(&engine.poll_set, 1);
}

static void
note_finished(void)
{
	CURLMsg    *message;
	int			remaining;

	while ((message = curl_multi_info_read(engine.multi, &remaining)) != NULL)
	{
		PnvsHttpTransfer *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		transfer->code = message->data.result;
		transfer->done = true;
		if (transfer->code == CURLE_OUT_OF_MEMORY)
			engine.exhausted = true;
		else if (transfer->code == CURLE_SSL_CONNECT_ERROR ||
				 transfer->code == CURLE_PEER_FAILED_VERIFICATION)
			pnvs_http_trust_doubt();
	}
}

/* libcurl wants a socket watched, or no longer. */
static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *userp, void *socketp)
{
	if (what != CURL_POLL_REMOVE)
		return pnvs_poll_set_watch(&engine.poll_set, socket, what) ? 0 : -1;
	/* kept for another request, or about to be closed */
	(void) pnvs_poll_set_watch(&engine.poll_set, socket, PNVS_POLL_IDLE);
	return 0;
}

/* libcurl wants to be called after a while. */
static int
on_timer(CURLM *multi, long timeout_ms, void *userp)
{
	return pnvs_poll_set_timer(&engine.poll_set, timeout_ms) ? 0 : -1;
}

/* Opens a socket that no program of the session (COPY ... PROGRAM) inherits. */
curl_socket_t
pnvs_http_on_open(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
	int			opened = socket(address->family, address->socktype | SOCK_CLOEXEC,
								address->protocol);

	pnvs_poll_set_begin(&engine.poll_set, opened);
	return opened;
}

/*
 * Unwatches the socket, then closes it.  Closing alone does not take it out of the
 * epoll set if another process holds it too, and its number is soon used again.
 */
int
pnvs_http_on_close(void *clientp, curl_socket_t socket)
{
	pnvs_poll_set_unwatch(&engine.poll_set, socket);
	return close(socket);
}

/* libcurl is about to look a name up, in a thread of its own. */
int
pnvs_http_on_resolver_start(void *resolver, void *reserved, void *userp)
{
	if (!engine.signals_blocked)
	{
		pnvs_signal_mask_block(&engine.saved_signals);
		engine.signals_blocked = true;
	}
	return 0;
}
