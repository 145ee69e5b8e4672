/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP requests in flight: libcurl's multi interface behind one descriptor.
 *
 * This file alone knows libcurl.  Some rules hold throughout:
 *
 * - Nothing throws inside a callback of libcurl: it notes the reason in its
 *	 slot and tells libcurl to stop.
 * - libcurl allocates by malloc(), never by palloc(): its connections outlive
 *	 every memory context.  What belongs to one transfer hangs on the memory
 *	 context that the transfer was started in, and goes with it.
 * - libcurl looks names up in a thread.  All signals are blocked while it may
 *	 start one, so that no handler of PostgreSQL runs on it.
 * - Nothing of libcurl or OpenSSL is initialised before the first request, so
 *	 never in the postmaster.
 *
 * Facts about how far a request got come from libcurl's clock marks: name
 * looked up, connected.  CURLOPT_PREREQFUNCTION is called right before the
 * request is written, and that is where it begins to be possible that the
 * service has seen it.  When a reused connection turns out to be dead, libcurl
 * posts again on a new one by itself; it calls that function a second time
 * then, and is stopped there unless no byte was written the first time.
 *
 * Connections, TLS sessions and certificates are kept for the life of the
 * process.  HTTP/1.1 is spoken, whose single write makes "no byte was written"
 * a fact.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "compat.h"
#include "core/header.h"
#include "errcodes.h"
#include "remote/http.h"
#include "remote/poll_set.h"
#include "remote/trust_store.h"

/* Enough for one endpoint and a change of settings. */
#define MAX_CONNECTIONS 4

/*
 * Alibaba Cloud's load balancers close a connection that was idle for 15
 * seconds; a request must not cross with that.
 */
#define MAX_IDLE_S 10

#define FIRST_BODY_SIZE 4096

/* A buffer that a large reply grew is given back after it. */
#define KEPT_BODY_SIZE (64 * 1024)

/* One easy handle of libcurl and what its callbacks note. */
typedef struct Slot
{
	CURL	   *easy;
	struct Slot *next_idle;
	bool		done;
	CURLcode	code;			/* once done */
	bool		uses_proxy;
	int			begun;			/* times that the request was about to be written */
	bool		repeat_stopped;
	bool		too_large;
	bool		out_of_memory;
	char	   *body;			/* malloc'ed */
	size_t		body_len;
	size_t		body_size;
	size_t		headers_len;
	int64		server_time_s;
	int64		retry_after_ms;
	char		error[CURL_ERROR_SIZE];
} Slot;

struct PnvsHttpTransfer
{
	Slot	   *slot;
	MemoryContextCallback on_reset;
};

/* The engine of this process; multi is NULL until the first request. */
static struct
{
	CURLM	   *multi;
	CURLSH	   *share;
	PnvsPollSet poll_set;
	Slot	   *idle;
	const char *system_ca_file; /* at most one of the two is not NULL */
	const char *system_ca_path;
} engine;

static void open_engine(void);
static void close_engine(void);
static void setup_failed(const char *what) pg_attribute_noreturn();
static void choose_system_ca(void);
static Slot *take_slot(void);
static Slot *create_slot(void);
static CURLcode set_fixed_options(Slot *slot);
static CURLcode set_request_options(Slot *slot, const PnvsHttpRequest *request,
									struct curl_slist *headers);
static struct curl_slist *make_header_list(const char *const *headers);
static void clear_slot(Slot *slot);
static void destroy_slot(Slot *slot);
static void release_slot(void *arg);
static void act_on_events(void);
static void note_finished(void);
static long written_len(const Slot *slot);
static PnvsStage slot_stage(const Slot *slot);
static PnvsHttpFault slot_fault(const Slot *slot);
static void copy_detail(char *detail, const Slot *slot);
static void block_signals(sigset_t *saved);
static void restore_signals(const sigset_t *saved);
static int	on_socket(CURL *easy, curl_socket_t socket, int what, void *userp,
					  void *socketp);
static int	on_timer(CURLM *multi, long timeout_ms, void *userp);
static int	on_request(void *clientp, char *remote_ip, char *local_ip,
					   int remote_port, int local_port);
static size_t on_header(char *line, size_t size, size_t nitems, void *userdata);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);
static bool grow_body(Slot *slot, size_t needed);

/*
 * Starts a request, a POST with an empty body.  The transfer is allocated in
 * the current memory context; when that is reset or deleted, the transfer is
 * taken back, whatever it is doing.  The caller keeps request->url and the rest
 * no longer than this call.  Throws where it cannot be started; then nothing
 * has been sent.
 */
PnvsHttpTransfer *
pnvs_http_start(const PnvsHttpRequest *request)
{
	PnvsHttpTransfer *transfer;
	struct curl_slist *headers;

	if (engine.multi == NULL)
		open_engine();

	transfer = palloc0(sizeof(PnvsHttpTransfer));
	headers = make_header_list(request->headers);
	transfer->slot = take_slot();
	transfer->on_reset.func = release_slot;
	transfer->on_reset.arg = transfer->slot;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->on_reset);

	if (set_request_options(transfer->slot, request, headers) != CURLE_OK ||
		curl_multi_add_handle(engine.multi, transfer->slot->easy) != CURLM_OK)
		setup_failed("could not prepare a request to the verification service");

	pnvs_http_advance();
	return transfer;
}

/* Readable whenever pnvs_http_advance() has something to do. */
int
pnvs_http_descriptor(void)
{
	return engine.poll_set.descriptor;
}

/* Moves every transfer as far as it gets without waiting.  Never throws. */
void
pnvs_http_advance(void)
{
	sigset_t	saved;

	block_signals(&saved);
	act_on_events();
	restore_signals(&saved);
	note_finished();
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
	return slot_stage(transfer->slot);
}

/*
 * Whether some of the request may have reached the service.  A write that
 * failed as a whole has not: TLS makes one record of it, of which a part is
 * worth nothing.
 */
bool
pnvs_http_maybe_sent(const PnvsHttpTransfer *transfer)
{
	const Slot *slot = transfer->slot;

	if (slot->begun == 0)
		return false;
	return !(slot->done && slot->code == CURLE_SEND_ERROR && written_len(slot) == 0);
}

/*
 * Fills in the result of a transfer that is done.  The body is the transfer's
 * and lives until its memory context goes.
 */
void
pnvs_http_result(const PnvsHttpTransfer *transfer, PnvsHttpResult *result)
{
	const Slot *slot = transfer->slot;
	long		status = 0;

	Assert(slot->done);
	curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	result->fault = slot_fault(slot);
	result->stage = slot_stage(slot);
	result->maybe_sent = pnvs_http_maybe_sent(transfer);
	result->status = (int) status;
	result->body = slot->body;
	result->body_len = slot->body_len;
	result->server_time_s = slot->server_time_s;
	result->retry_after_ms = slot->retry_after_ms;
	copy_detail(result->detail, slot);
}

/* Opens the engine of this process, or throws and leaves nothing open. */
static void
open_engine(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		setup_failed("could not initialize libcurl");
	if (!pnvs_poll_set_open(&engine.poll_set))
		setup_failed("could not create a descriptor to wait on");
	ReserveExternalFD();
	ReserveExternalFD();

	engine.multi = curl_multi_init();
	engine.share = curl_share_init();
	if (engine.multi == NULL || engine.share == NULL ||
		curl_share_setopt(engine.share, CURLSHOPT_SHARE,
						  CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK ||
		curl_multi_setopt(engine.multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
		curl_multi_setopt(engine.multi, CURLMOPT_TIMERFUNCTION, on_timer) ||
		curl_multi_setopt(engine.multi, CURLMOPT_MAXCONNECTS, (long) MAX_CONNECTIONS))
	{
		close_engine();
		setup_failed("could not set libcurl up");
	}
	choose_system_ca();
}

static void
close_engine(void)
{
	if (engine.multi)
		curl_multi_cleanup(engine.multi);
	if (engine.share)
		curl_share_cleanup(engine.share);
	engine.multi = NULL;
	engine.share = NULL;
	close(engine.poll_set.timer);
	close(engine.poll_set.descriptor);
	ReleaseExternalFD();
	ReleaseExternalFD();
}

static void
setup_failed(const char *what)
{
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_UNSENT),
			 errmsg("%s", what),
			 errdetail("sent=no stage=resolve: %m"),
			 errhint("The session has run out of memory or of file descriptors."),
			 errhidestmt(true)));
}

/*
 * Chooses between the system's folder of hashed certificates and its bundle.
 * Given both, libcurl would read the whole bundle anew for each connection.
 */
static void
choose_system_ca(void)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (pnvs_trust_store_is_hashed(info->capath))
		engine.system_ca_path = info->capath;
	else
		engine.system_ca_file = info->cainfo;
}

/* An idle slot, or a new one; cleared.  Throws where there is no memory. */
static Slot *
take_slot(void)
{
	Slot	   *slot = engine.idle;

	if (slot != NULL)
		engine.idle = slot->next_idle;
	else
		slot = create_slot();
	if (slot == NULL)
	{
		errno = ENOMEM;
		setup_failed("could not prepare a request to the verification service");
	}
	clear_slot(slot);
	return slot;
}

static Slot *
create_slot(void)
{
	Slot	   *slot = calloc(1, sizeof(Slot));

	if (slot == NULL)
		return NULL;
	slot->easy = curl_easy_init();
	if (slot->easy == NULL || set_fixed_options(slot) != CURLE_OK)
	{
		destroy_slot(slot);
		return NULL;
	}
	return slot;
}

/* Sets what is the same for every request.  The result is 0 or an error. */
static CURLcode
set_fixed_options(Slot *slot)
{
	CURL	   *easy = slot->easy;
	unsigned	failed = 0;

	failed |= curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	failed |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
	failed |= curl_easy_setopt(easy, CURLOPT_SHARE, engine.share);
	failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#ifdef PNVS_HAVE_QUICK_EXIT
	failed |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	failed |= curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long) MAX_IDLE_S);

	failed |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	failed |= curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

	failed |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);

	failed |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
	failed |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
	failed |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	failed |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	return failed ? CURLE_FAILED_INIT : CURLE_OK;
}

/* Sets what differs from request to request.  libcurl copies the texts. */
static CURLcode
set_request_options(Slot *slot, const PnvsHttpRequest *request,
					struct curl_slist *headers)
{
	CURL	   *easy = slot->easy;
	bool		own_ca = request->ca_file[0] != '\0';
	unsigned	failed = 0;

	slot->uses_proxy = request->proxy[0] != '\0';
	failed |= curl_easy_setopt(easy, CURLOPT_URL, request->url);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	failed |= curl_easy_setopt(easy, PNVS_CURLOPT_PROTOCOLS,
							   request->tls ? PNVS_PROTOCOL_HTTPS : PNVS_PROTOCOL_HTTP);
	failed |= curl_easy_setopt(easy, CURLOPT_CAINFO,
							   own_ca ? request->ca_file : engine.system_ca_file);
	failed |= curl_easy_setopt(easy, CURLOPT_CAPATH,
							   own_ca ? NULL : engine.system_ca_path);

	/* An empty text, unlike NULL, also switches the environment's proxy off. */
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY, request->proxy);
	failed |= curl_easy_setopt(easy, CURLOPT_NOPROXY, slot->uses_proxy ? "" : "*");
	failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
							   (long) request->connect_timeout_ms);
	failed |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
							   (long) request->request_timeout_ms);
	return failed ? CURLE_FAILED_INIT : CURLE_OK;
}

/*
 * Makes libcurl's list of headers in the current memory context.  libcurl only
 * reads it.
 */
static struct curl_slist *
make_header_list(const char *const *headers)
{
	struct curl_slist *first = NULL;
	struct curl_slist **next = &first;

	for (; *headers != NULL; headers++)
	{
		*next = palloc(sizeof(struct curl_slist));
		(*next)->data = pstrdup(*headers);
		(*next)->next = NULL;
		next = &(*next)->next;
	}
	return first;
}

static void
clear_slot(Slot *slot)
{
	slot->next_idle = NULL;
	slot->done = false;
	slot->code = CURLE_OK;
	slot->begun = 0;
	slot->repeat_stopped = false;
	slot->too_large = false;
	slot->out_of_memory = false;
	slot->body_len = 0;
	slot->headers_len = 0;
	slot->server_time_s = -1;
	slot->retry_after_ms = -1;
	slot->error[0] = '\0';
}

static void
destroy_slot(Slot *slot)
{
	if (slot->easy)
		curl_easy_cleanup(slot->easy);
	free(slot->body);
	free(slot);
}

/*
 * Memory context callback: takes a transfer back, whether it is done or not.  A
 * connection with a request under way is closed by libcurl.  The reply may hold
 * a one-time code and is wiped.
 */
static void
release_slot(void *arg)
{
	Slot	   *slot = arg;
	sigset_t	saved;

	block_signals(&saved);
	curl_multi_remove_handle(engine.multi, slot->easy);
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, NULL);
	restore_signals(&saved);

	if (slot->body != NULL)
		explicit_bzero(slot->body, slot->body_len);
	if (slot->body_size > KEPT_BODY_SIZE)
	{
		free(slot->body);
		slot->body = NULL;
		slot->body_size = 0;
	}
	slot->next_idle = engine.idle;
	engine.idle = slot;
}

static void
act_on_events(void)
{
	PnvsPollEvent events[16];
	int			nevents;
	int			running;

	do
	{
		nevents = pnvs_poll_set_collect(&engine.poll_set, events, lengthof(events));
		for (int i = 0; i < nevents; i++)
		{
			int			what = 0;

			if (events[i].what & PNVS_POLL_READ)
				what |= CURL_CSELECT_IN;
			if (events[i].what & PNVS_POLL_WRITE)
				what |= CURL_CSELECT_OUT;
			if (events[i].what & PNVS_POLL_ERROR)
				what |= CURL_CSELECT_ERR;
			curl_multi_socket_action(engine.multi,
									 events[i].socket == PNVS_POLL_TIMER ?
									 CURL_SOCKET_TIMEOUT : events[i].socket,
									 what, &running);
		}
	} while (engine.poll_set.timer_due);
}

static void
note_finished(void)
{
	CURLMsg    *message;
	int			remaining;

	while ((message = curl_multi_info_read(engine.multi, &remaining)) != NULL)
	{
		Slot	   *slot;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &slot);
		slot->code = message->data.result;
		slot->done = true;
	}
}

/* Bytes of the request that were handed to the connection. */
static long
written_len(const Slot *slot)
{
	long		len = 0;

	curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &len);
	return len;
}

static PnvsStage
slot_stage(const Slot *slot)
{
	curl_off_t	looked_up_us = 0;
	curl_off_t	connected_us = 0;
	long		proxy_status = 0;

	if (slot->begun > 0)
		return written_len(slot) > 0 ? PNVS_STAGE_REPLY : PNVS_STAGE_REQUEST;

	curl_easy_getinfo(slot->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us);
	curl_easy_getinfo(slot->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
	curl_easy_getinfo(slot->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
	if (connected_us > 0 && (!slot->uses_proxy || proxy_status / 100 == 2))
		return PNVS_STAGE_TLS;
	return looked_up_us > 0 ? PNVS_STAGE_CONNECT : PNVS_STAGE_RESOLVE;
}

static PnvsHttpFault
slot_fault(const Slot *slot)
{
	if (slot->repeat_stopped)
		return PNVS_HTTP_REPEAT_STOPPED;
	if (slot->too_large)
		return PNVS_HTTP_TOO_LARGE;
	if (slot->out_of_memory)
		return PNVS_HTTP_OUT_OF_MEMORY;
	switch (slot->code)
	{
		case CURLE_OK:
			return PNVS_HTTP_NO_FAULT;
		case CURLE_OPERATION_TIMEDOUT:
			return PNVS_HTTP_TIMED_OUT;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_ISSUER_ERROR:
			return PNVS_HTTP_UNTRUSTED;
		case CURLE_SSL_CACERT_BADFILE:
			return PNVS_HTTP_BAD_CA;
		case CURLE_OUT_OF_MEMORY:
			return PNVS_HTTP_OUT_OF_MEMORY;
		default:
			return PNVS_HTTP_BROKEN;
	}
}

/* libcurl's words on a fault, with anything but visible ASCII replaced. */
static void
copy_detail(char *detail, const Slot *slot)
{
	strlcpy(detail, slot->error[0] ? slot->error : curl_easy_strerror(slot->code),
			PNVS_HTTP_DETAIL_SIZE);
	for (; *detail; detail++)
	{
		if (*detail < 0x20 || *detail > 0x7E)
			*detail = '?';
	}
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* libcurl wants a socket watched, or no longer. */
static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *userp, void *socketp)
{
	int			events = 0;

	if (what == CURL_POLL_REMOVE)
	{
		pnvs_poll_set_unwatch(&engine.poll_set, socket);
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

/* libcurl is about to write the request. */
static int
on_request(void *clientp, char *remote_ip, char *local_ip, int remote_port,
		   int local_port)
{
	Slot	   *slot = clientp;

	if (slot->begun > 0 && written_len(slot) > 0)
	{
		slot->repeat_stopped = true;
		return CURL_PREREQFUNC_ABORT;
	}
	slot->begun++;
	return CURL_PREREQFUNC_OK;
}

/* A line of the reply's headers, the status line and 1xx replies included. */
static size_t
on_header(char *line, size_t size, size_t nitems, void *userdata)
{
	Slot	   *slot = userdata;
	size_t		len = size * nitems;
	char		value[64];

	slot->headers_len += len;
	if (slot->headers_len > PNVS_MAX_REPLY_HEADERS_LEN)
	{
		slot->too_large = true;
		return 0;
	}
	if (pnvs_header_value(line, len, "date", value, sizeof(value)))
		slot->server_time_s = curl_getdate(value, NULL);
	else if (pnvs_header_value(line, len, "x-acs-retry-after", value, sizeof(value)))
		slot->retry_after_ms = pnvs_header_milliseconds(value);
	return len;
}

/* A piece of the reply's body. */
static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	Slot	   *slot = userdata;
	size_t		len = size * nmemb;

	if (len > PNVS_MAX_BODY_LEN - slot->body_len)
	{
		slot->too_large = true;
		return 0;
	}
	if (!grow_body(slot, slot->body_len + len))
	{
		slot->out_of_memory = true;
		return 0;
	}
	memcpy(slot->body + slot->body_len, data, len);
	slot->body_len += len;
	return len;
}

static bool
grow_body(Slot *slot, size_t needed)
{
	size_t		size = Max(slot->body_size, FIRST_BODY_SIZE);
	char	   *body;

	while (size < needed)
		size *= 2;
	if (size == slot->body_size)
		return true;
	body = realloc(slot->body, size);
	if (body == NULL)
		return false;
	slot->body = body;
	slot->body_size = size;
	return true;
}
