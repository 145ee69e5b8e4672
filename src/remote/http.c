/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP requests in flight: libcurl's multi interface behind one descriptor.
 *
 * This file and http_slot.c, _route.c, _setup.c and _trust.c alone know libcurl, and
 * http_turn.c what it makes of OpenSSL.  Some rules hold
 * throughout:
 *
 * - Nothing throws inside a callback of libcurl: it notes the reason in its
 *	 slot and tells libcurl to stop.
 * - libcurl allocates by malloc(), never by palloc(): its connections outlive
 *	 every memory context.  What belongs to one transfer hangs on the memory
 *	 context that the transfer was started in, and goes with it.
 * - libcurl looks names up in a thread.  All signals are blocked while it
 *	 starts one, so that no handler of PostgreSQL runs on it.
 * - Nothing of libcurl or OpenSSL is initialised before the first request, so
 *	 never in the postmaster.
 *
 * Connections and TLS sessions are kept for minutes, and until memory runs out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "compat.h"
#include "remote/http.h"
#include "remote/http_setup.h"
#include "remote/http_slot.h"
#include "remote/http_trust.h"
#include "remote/http_turn.h"
#include "remote/poll_set.h"
#include "remote/signal_mask.h"

/* Enough for one endpoint and a change of settings. */
#define MAX_CONNECTIONS 4

/* A round reads about 1.6 MB at the most; a reply takes two or three. */
#define MAX_ROUNDS 8

#define CANNOT_PREPARE "could not prepare a request to the verification service"

struct PnvsHttpTransfer
{
	PnvsHttpSlot *slot;
	MemoryContextCallback on_reset;
};

/* The engine of this process; multi is NULL until the first request. */
static struct
{
	CURLM	   *multi;
	PnvsHttpShared shared;
	PnvsPollSet poll_set;
	bool		poll_set_is_open;
	PnvsHttpSlot *idle;
	int			nconnections;	/* to be kept; 0: MAX_CONNECTIONS */
	int			ntransfers;		/* that have not been taken back */
	PnvsHttpSlot *lone;			/* the one there is, where known */
	bool		signals_blocked;
	sigset_t	saved_signals;
	bool		exhausted;		/* out of memory: to be replaced, see
								 * close_engine() */
}			engine;

static void open_engine(void);
static void set_up_multi(PnvsHttpObstacle *obstacle);
static void close_engine(void);
static void note_exhaustion(void);
static PnvsHttpSlot *take_slot(void);
static void release_slot(void *arg);
static void act_on_events(void);
static void note_finished(void);
static int	on_resolver_start(void *resolver, void *reserved, void *userp);
static int	on_socket(CURL *easy, curl_socket_t socket, int what, void *userp,
					  void *socketp);
static int	on_timer(CURLM *multi, long timeout_ms, void *userp);
static curl_socket_t on_open(void *clientp, curlsocktype purpose,
							 struct curl_sockaddr *address);
static int	on_close(void *clientp, curl_socket_t socket);

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

	transfer = palloc0(sizeof(PnvsHttpTransfer));
	transfer->slot = take_slot();
	engine.lone = engine.ntransfers++ == 0 ? transfer->slot : NULL;
	transfer->on_reset.func = release_slot;
	transfer->on_reset.arg = transfer->slot;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->on_reset);

	pnvs_http_trust_renew(request, &obstacle);
	pnvs_http_slot_prepare(transfer->slot, request, &obstacle);
	if (obstacle.what == NULL)
		pnvs_http_setup_note_multi(&obstacle, "curl_multi_add_handle",
								   curl_multi_add_handle(engine.multi, transfer->slot->easy));
	if (obstacle.what != NULL)
		pnvs_http_setup_failed(&obstacle, CANNOT_PREPARE);

	pnvs_http_advance();
	return transfer;
}

/*
 * Readable whenever pnvs_http_advance() has something to do.  Throws where the
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
 * Keeps up to so many connections, rather than the few of a session.  Throws
 * where the engine of this process cannot be opened.
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
 * Ends a transfer whose time is over.  libcurl does so by itself; but where it
 * runs out of memory at the wrong moment it forgets a transfer, and its
 * time-out with it.
 */
void
pnvs_http_time_out(PnvsHttpTransfer *transfer)
{
	transfer->slot->code = CURLE_OPERATION_TIMEDOUT;
	transfer->slot->done = true;
	engine.exhausted = true;
}

/*
 * Whether who has many transfers under way is to start no more until the last one has
 * been taken back: libcurl has run out of memory, and can be replaced then alone.
 */
bool
pnvs_http_needs_rest(void)
{
	return engine.exhausted && engine.ntransfers > 0;
}

/* Whether the transfer has ended, well or not. */
bool
pnvs_http_is_done(const PnvsHttpTransfer *transfer)
{
	return transfer->slot->done;
}

/* How far the transfer has got, also while it is under way. */
PnvsStage
pnvs_http_stage(const PnvsHttpTransfer *transfer)
{
	return pnvs_http_slot_stage(transfer->slot);
}

/* Whether some of the request may have reached the service. */
bool
pnvs_http_maybe_sent(const PnvsHttpTransfer *transfer)
{
	return pnvs_http_slot_maybe_sent(transfer->slot);
}

/*
 * Fills in the result of a transfer that is done.  The body is the transfer's
 * and lives until its memory context goes.
 */
void
pnvs_http_result(const PnvsHttpTransfer *transfer, PnvsHttpResult *result)
{
	Assert(transfer->slot->done);
	pnvs_http_slot_result(transfer->slot, result);
}

/* The Date header's time, in seconds since the epoch, or -1. */
int64
pnvs_http_server_time_s(const PnvsHttpResult *result)
{
	return result->server_date[0] ? curl_getdate(result->server_date, NULL) : -1;
}

/*
 * Opens the engine of this process, or throws.  What is waited on stays open
 * from then on, for others wait on it too.
 */
static void
open_engine(void)
{
	PnvsHttpObstacle obstacle = {0};

	/* a file for the keys of all TLS sessions, which libcurl would open */
	unsetenv("SSLKEYLOGFILE");
	pnvs_http_setup_note(&obstacle, "curl_global_init",
						 curl_global_init(CURL_GLOBAL_DEFAULT));
	if (obstacle.what != NULL)
		pnvs_http_setup_failed(&obstacle, "could not initialize libcurl");
	if (!engine.poll_set_is_open)
	{
		if (!pnvs_poll_set_open(&engine.poll_set))
			pnvs_http_setup_failed(&obstacle, "could not create a descriptor to wait on");
		ReserveExternalFD();
		ReserveExternalFD();
		engine.poll_set_is_open = true;
	}
	set_up_multi(&obstacle);
	if (obstacle.what != NULL)
	{
		close_engine();
		pnvs_http_setup_failed(&obstacle, "could not set libcurl up");
	}
	engine.shared.on_open = on_open;
	engine.shared.on_close = on_close;
	engine.shared.on_resolver_start = on_resolver_start;
}

/* Makes what all transfers have in common; what keeps it from that is noted. */
static void
set_up_multi(PnvsHttpObstacle *obstacle)
{
	pnvs_http_trust_open(obstacle);
	engine.multi = curl_multi_init();
	if (engine.multi == NULL)
	{
		pnvs_http_setup_note_memory(obstacle, "curl_multi_init");
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
		PnvsHttpSlot *slot = engine.idle;

		engine.idle = slot->next_idle;
		pnvs_http_slot_destroy(slot);
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
 * libcurl has run out of memory, and does not say which transfer it has
 * forgotten; where there is one alone, that ends here and not by its time-out.
 */
static void
note_exhaustion(void)
{
	engine.exhausted = true;
	if (engine.lone != NULL && !engine.lone->done)
	{
		engine.lone->code = CURLE_OUT_OF_MEMORY;
		engine.lone->done = true;
	}
}

/* An idle slot, or a new one; cleared.  Throws where there is no memory. */
static PnvsHttpSlot *
take_slot(void)
{
	PnvsHttpSlot *slot = engine.idle;
	PnvsHttpObstacle obstacle = {0};

	if (slot != NULL)
		engine.idle = slot->next_idle;
	else
		slot = pnvs_http_slot_create(&engine.shared, &obstacle);
	if (slot == NULL)
		pnvs_http_setup_failed(&obstacle, CANNOT_PREPARE);
	pnvs_http_slot_clear(slot);
	return slot;
}

/*
 * Memory context callback: takes a transfer back, whether it is done or not.  A
 * connection with a request under way is closed by libcurl.  The reply may hold
 * a one-time code and is wiped.
 */
static void
release_slot(void *arg)
{
	PnvsHttpSlot *slot = arg;

	pnvs_http_turn_begin();
	curl_multi_remove_handle(engine.multi, slot->easy);
	/* that was not within an advance, which would see to it */
	if (engine.poll_set.timer_due)
		(void) pnvs_poll_set_timer(&engine.poll_set, 1);
	engine.lone = NULL;
	engine.ntransfers--;
	pnvs_http_slot_wipe(slot);
	slot->next_idle = engine.idle;
	engine.idle = slot;
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
		 * These first: what libcurl does below can close such a socket and
		 * open another one of the same number.
		 */
		for (int i = 0; i < nevents; i++)
		{
			if (events[i].what == PNVS_POLL_IDLE)
				pnvs_poll_set_end(&engine.poll_set, events[i].socket);
		}
		for (int i = 0; i < nevents; i++)
		{
			int			what = 0;

			if (events[i].what == PNVS_POLL_IDLE)
				continue;
			if (events[i].what & PNVS_POLL_READ)
				what |= CURL_CSELECT_IN;
			if (events[i].what & PNVS_POLL_WRITE)
				what |= CURL_CSELECT_OUT;
			if (events[i].what & PNVS_POLL_ERROR)
				what |= CURL_CSELECT_ERR;
			pnvs_http_turn_begin();
			if (curl_multi_socket_action(engine.multi,
										 events[i].socket == PNVS_POLL_TIMER ?
										 CURL_SOCKET_TIMEOUT : events[i].socket,
										 what, &running) != CURLM_OK)
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
		PnvsHttpSlot *slot;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &slot);
		slot->code = message->data.result;
		slot->done = true;
		if (slot->code == CURLE_OUT_OF_MEMORY)
			engine.exhausted = true;
		else if (slot->code == CURLE_SSL_CONNECT_ERROR ||
				 slot->code == CURLE_PEER_FAILED_VERIFICATION)
			pnvs_http_trust_doubt();
	}
}

/* libcurl wants a socket watched, or no longer. */
static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *userp, void *socketp)
{
	int			events = 0;

	if (what == CURL_POLL_REMOVE)
	{
		/* kept for another request, or about to be closed */
		(void) pnvs_poll_set_watch(&engine.poll_set, socket, PNVS_POLL_IDLE);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= PNVS_POLL_READ;
	if (what & CURL_POLL_OUT)
		events |= PNVS_POLL_WRITE;
	return pnvs_poll_set_watch(&engine.poll_set, socket, events) ? 0 : -1;
}

/* libcurl wants to be called after a while. */
static int
on_timer(CURLM *multi, long timeout_ms, void *userp)
{
	return pnvs_poll_set_timer(&engine.poll_set, timeout_ms) ? 0 : -1;
}

/* No program that the session starts (COPY ... PROGRAM) inherits the socket. */
static curl_socket_t
on_open(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
	int			opened = socket(address->family, address->socktype | SOCK_CLOEXEC,
								address->protocol);

	pnvs_poll_set_begin(&engine.poll_set, opened);
	return opened;
}

/*
 * Closing alone does not take a socket out of an epoll set while another process
 * holds it too, and its number would soon be that of something else.
 */
static int
on_close(void *clientp, curl_socket_t socket)
{
	pnvs_poll_set_unwatch(&engine.poll_set, socket);
	return close(socket);
}

/* libcurl is about to look a name up, in a thread of its own. */
static int
on_resolver_start(void *resolver, void *reserved, void *userp)
{
	if (!engine.signals_blocked)
	{
		pnvs_signal_mask_block(&engine.saved_signals);
		engine.signals_blocked = true;
	}
	return 0;
}
