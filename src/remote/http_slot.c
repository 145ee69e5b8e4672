/*-------------------------------------------------------------------------
 *
 * http_slot.c
 *	  One easy handle of libcurl, what it is told and what it reports.
 *
 * Facts about how far a request got: libcurl marks the time at which the name
 * was looked up; it calls CURLOPT_SSL_CTX_FUNCTION when the connection stands
 * and TLS begins; and it calls CURLOPT_PREREQFUNCTION right before the request
 * is written, which is where it begins to be possible that the service has
 * seen it.  When a reused connection turns out to be dead, libcurl
 * sends again on a new one by itself; it calls that function a second time
 * then, and is stopped there unless no byte was written the first time or the
 * request may be repeated.
 *
 * HTTP/1.1 is spoken, whose single write makes "no byte was written" a fact.
 *
 * Nothing throws here, for the callbacks run inside libcurl: they note the
 * reason in the slot and tell libcurl to stop.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "compat.h"
#include "core/header.h"
#include "remote/http_slot.h"
#include "remote/http_turn.h"

/*
 * Alibaba Cloud's load balancers close a connection that was idle for 15
 * seconds; a request must not cross with that.
 */
#define MAX_IDLE_S 10

#define FIRST_BODY_SIZE 4096

/* A buffer that a large reply grew is given back after it. */
#define KEPT_BODY_SIZE (64 * 1024)

/*
 * What libcurl may read byte by byte at a time, which is a proxy's answer to
 * CONNECT: one that refuses with a page has 4 kB.
 */
#define MAX_PROGRESS_A_TURN (16 * 1024)

/* libcurl's own, of 16 and 64 kB, would be most of what a request under way takes. */
#define READ_BUFFER_SIZE 4096
#define WRITE_BUFFER_SIZE 16384 /* the least that libcurl takes */

static void set_fixed_options(PnvsHttpSlot *slot, const PnvsHttpShared *shared,
							  PnvsHttpObstacle *obstacle);
static int64 time_us(const PnvsHttpSlot *slot, CURLINFO which);
static PnvsHttpFault fault_of(const PnvsHttpSlot *slot);
static void describe_fault(const PnvsHttpSlot *slot, char detail[PNVS_HTTP_DETAIL_SIZE]);
static void set_message(PnvsHttpSlot *slot, const PnvsHttpRequest *request,
						PnvsHttpObstacle *obstacle);
static struct curl_slist *make_header_list(const char *const *headers);
static long written_len(const PnvsHttpSlot *slot);
static CURLcode on_tls(CURL *easy, void *ssl_ctx, void *userdata);
static int	on_request(void *clientp, char *remote_ip, char *local_ip,
					   int remote_port, int local_port);
static int	on_progress(void *clientp, curl_off_t to_receive, curl_off_t received,
						curl_off_t to_send, curl_off_t sent);
static size_t on_header(char *line, size_t size, size_t nitems, void *userdata);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);
static bool grow_body(PnvsHttpSlot *slot, size_t needed);

/* A new slot, or NULL and what keeps it from being made. */
PnvsHttpSlot *
pnvs_http_slot_create(const PnvsHttpShared *shared, PnvsHttpObstacle *obstacle)
{
	PnvsHttpSlot *slot = calloc(1, sizeof(PnvsHttpSlot));

	if (slot != NULL)
		slot->easy = curl_easy_init();
	if (slot == NULL || slot->easy == NULL)
		pnvs_http_setup_note_memory(obstacle, "curl_easy_init");
	else
		set_fixed_options(slot, shared, obstacle);
	if (obstacle->what == NULL)
		return slot;
	if (slot != NULL)
		pnvs_http_slot_destroy(slot);
	return NULL;
}

/* Frees a slot that has no transfer under way. */
void
pnvs_http_slot_destroy(PnvsHttpSlot *slot)
{
	if (slot->easy)
		curl_easy_cleanup(slot->easy);
	pnvs_http_route_forget(&slot->route);
	free(slot->body);
	free(slot);
}

/* Forgets the last transfer. */
void
pnvs_http_slot_clear(PnvsHttpSlot *slot)
{
	slot->next_idle = NULL;
	slot->done = false;
	slot->code = CURLE_OK;
	slot->tls_begun = false;
	slot->begun = 0;
	slot->repeat_stopped = false;
	slot->too_large = false;
	slot->endless = false;
	slot->out_of_memory = false;
	slot->body_len = 0;
	slot->headers_len = 0;
	slot->server_date[0] = '\0';
	slot->retry_after_ms = -1;
	slot->error[0] = '\0';
}

/*
 * Tells libcurl what differs from request to request.  The headers and the body
 * are not copied, and the list of headers is made in the current memory context.
 * The first thing that libcurl does not take is noted.
 */
void
pnvs_http_slot_prepare(PnvsHttpSlot *slot, const PnvsHttpRequest *request,
					   PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = slot->easy;

	if (!pnvs_http_route_is_of(&slot->route, request))
		pnvs_http_route_set(&slot->route, easy, pnvs_http_trust_authorities(), request,
							obstacle);
	slot->sessions = pnvs_http_trust_use_sessions();
	pnvs_http_set(obstacle, easy, CURLOPT_SHARE, slot->sessions->share);
	pnvs_http_set(obstacle, easy, CURLOPT_MAXLIFETIME_CONN, pnvs_http_trust_connections_s());
#ifdef PNVS_HAVE_CA_CACHE
	pnvs_http_set(obstacle, easy, CURLOPT_CA_CACHE_TIMEOUT, pnvs_http_trust_cache_s());
#endif
	set_message(slot, request, obstacle);
}

/* How far the transfer has got, also while it is under way. */
PnvsStage
pnvs_http_slot_stage(const PnvsHttpSlot *slot)
{
	long		proxy_status = 0;

	if (slot->begun > 0)
		return written_len(slot) > 0 ? PNVS_STAGE_REPLY : PNVS_STAGE_REQUEST;

	curl_easy_getinfo(slot->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
	if ((slot->tls_begun || slot->code == CURLE_SSL_CACERT_BADFILE) &&
		(!pnvs_http_route_has_proxy(&slot->route) || proxy_status / 100 == 2))
		return PNVS_STAGE_TLS;
	return time_us(slot, CURLINFO_NAMELOOKUP_TIME_T) > 0 ? PNVS_STAGE_CONNECT : PNVS_STAGE_RESOLVE;
}

/*
 * Whether some of the request may have reached the service.  A write that
 * failed as a whole has not: TLS makes one record of it, of which a part is
 * worth nothing.
 */
bool
pnvs_http_slot_maybe_sent(const PnvsHttpSlot *slot)
{
	if (slot->begun == 0)
		return false;
	return !(slot->done && slot->code == CURLE_SEND_ERROR && written_len(slot) == 0);
}

/* Fills in the result of a transfer that is done; the body stays the slot's. */
void
pnvs_http_slot_result(const PnvsHttpSlot *slot, PnvsHttpResult *result)
{
	long		status = 0;

	curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	result->fault = fault_of(slot);
	result->stage = pnvs_http_slot_stage(slot);
	result->maybe_sent = pnvs_http_slot_maybe_sent(slot);
	result->status = (int) status;
	result->body = slot->body;
	result->body_len = slot->body_len;
	strlcpy(result->server_date, slot->server_date, sizeof(result->server_date));
	result->retry_after_ms = slot->retry_after_ms;
	result->times.looked_up_us = time_us(slot, CURLINFO_NAMELOOKUP_TIME_T);
	result->times.connected_us = time_us(slot, CURLINFO_CONNECT_TIME_T);
	result->times.secured_us = time_us(slot, CURLINFO_APPCONNECT_TIME_T);
	result->times.first_byte_us = time_us(slot, CURLINFO_STARTTRANSFER_TIME_T);
	result->times.total_us = time_us(slot, CURLINFO_TOTAL_TIME_T);
	result->detail[0] = '\0';
	if (result->fault != PNVS_HTTP_NO_FAULT)
		describe_fault(slot, result->detail);
}

static int64
time_us(const PnvsHttpSlot *slot, CURLINFO which)
{
	curl_off_t	us = 0;

	curl_easy_getinfo(slot->easy, which, &us);
	return us;
}

/* Why a transfer that is done has failed, if it has. */
static PnvsHttpFault
fault_of(const PnvsHttpSlot *slot)
{
	if (slot->repeat_stopped)
		return PNVS_HTTP_REPEAT_STOPPED;
	if (slot->too_large || (int) slot->code == PNVS_CURLE_TOO_LARGE)
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
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_WEIRD_SERVER_REPLY:
			return PNVS_HTTP_MALFORMED;
		case CURLE_OUT_OF_MEMORY:
			return PNVS_HTTP_OUT_OF_MEMORY;
		default:
			return PNVS_HTTP_BROKEN;
	}
}

/* Words on a fault: libcurl's, with anything but visible ASCII replaced. */
static void
describe_fault(const PnvsHttpSlot *slot, char detail[PNVS_HTTP_DETAIL_SIZE])
{
	const char *words = slot->error[0] ? slot->error : curl_easy_strerror(slot->code);

	if (slot->repeat_stopped)
		words = "the connection was reused, and its end came unexpected";
	else if (slot->too_large)
		words = "more than 1 MiB of body or 64 KiB of headers";
	else if (slot->endless)
		words = "the proxy's answer does not end";

	strlcpy(detail, words, PNVS_HTTP_DETAIL_SIZE);
	for (; *detail; detail++)
	{
		if (*detail < 0x20 || *detail > 0x7E)
			*detail = '?';
	}
}

/* Wipes what may hold a code, and gives back what was large or others'. */
void
pnvs_http_slot_wipe(PnvsHttpSlot *slot)
{
	curl_easy_setopt(slot->easy, CURLOPT_SHARE, NULL);
	if (slot->sessions)
		pnvs_http_trust_leave_sessions(slot->sessions);
	slot->sessions = NULL;
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(slot->easy, CURLOPT_REQUEST_TARGET, NULL);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, NULL);
	if (slot->body != NULL)
		explicit_bzero(slot->body, slot->body_len);
	if (slot->body_size > KEPT_BODY_SIZE)
	{
		free(slot->body);
		slot->body = NULL;
		slot->body_size = 0;
	}
}

/* Tells libcurl what is the same for every request. */
static void
set_fixed_options(PnvsHttpSlot *slot, const PnvsHttpShared *shared,
				  PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = slot->easy;

	pnvs_http_set(obstacle, easy, CURLOPT_PRIVATE, slot);
	pnvs_http_set(obstacle, easy, CURLOPT_ERRORBUFFER, slot->error);
	pnvs_http_set(obstacle, easy, CURLOPT_NOSIGNAL, 1L);
	pnvs_http_set(obstacle, easy, CURLOPT_OPENSOCKETFUNCTION, shared->on_open);
	pnvs_http_set(obstacle, easy, CURLOPT_CLOSESOCKETFUNCTION, shared->on_close);
	pnvs_http_set(obstacle, easy, CURLOPT_RESOLVER_START_FUNCTION,
				  shared->on_resolver_start);
	pnvs_http_set(obstacle, easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
#ifdef PNVS_HAVE_QUICK_EXIT
	pnvs_http_set(obstacle, easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	pnvs_http_set(obstacle, easy, CURLOPT_MAXAGE_CONN, (long) MAX_IDLE_S);
	pnvs_http_set(obstacle, easy, CURLOPT_BUFFERSIZE, (long) READ_BUFFER_SIZE);
	pnvs_http_set(obstacle, easy, CURLOPT_UPLOAD_BUFFERSIZE, (long) WRITE_BUFFER_SIZE);

	/*
	 * A refusal can come before libcurl has noted that all is sent, and it
	 * would close the connection for that.
	 */
	pnvs_http_set(obstacle, easy, CURLOPT_KEEP_SENDING_ON_ERROR, 1L);
	pnvs_http_set(obstacle, easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	pnvs_http_set(obstacle, easy, CURLOPT_FOLLOWLOCATION, 0L);
	pnvs_http_set(obstacle, easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	pnvs_http_set(obstacle, easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

	pnvs_http_set(obstacle, easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	pnvs_http_set(obstacle, easy, CURLOPT_SSL_VERIFYPEER, 1L);
	pnvs_http_set(obstacle, easy, CURLOPT_SSL_VERIFYHOST, 2L);

	pnvs_http_set(obstacle, easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	pnvs_http_set(obstacle, easy, CURLOPT_SSL_CTX_DATA, slot);
	pnvs_http_set(obstacle, easy, CURLOPT_PREREQFUNCTION, on_request);
	pnvs_http_set(obstacle, easy, CURLOPT_PREREQDATA, slot);
	pnvs_http_set(obstacle, easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	pnvs_http_set(obstacle, easy, CURLOPT_XFERINFODATA, slot);
	pnvs_http_set(obstacle, easy, CURLOPT_NOPROGRESS, 0L);
	pnvs_http_set(obstacle, easy, CURLOPT_HEADERFUNCTION, on_header);
	pnvs_http_set(obstacle, easy, CURLOPT_HEADERDATA, slot);
	pnvs_http_set(obstacle, easy, CURLOPT_WRITEFUNCTION, on_body);
	pnvs_http_set(obstacle, easy, CURLOPT_WRITEDATA, slot);
}

/* Tells libcurl what to write. */
static void
set_message(PnvsHttpSlot *slot, const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = slot->easy;

	slot->may_repeat = request->may_repeat;

	/*
	 * libcurl would take a target within the URL apart and put it together
	 * again
	 */
	pnvs_http_set(obstacle, easy, CURLOPT_REQUEST_TARGET, request->target);
	if (request->body != NULL)
	{
		pnvs_http_set(obstacle, easy, CURLOPT_POSTFIELDS, request->body);
		pnvs_http_set(obstacle, easy, CURLOPT_POSTFIELDSIZE, (long) request->body_len);
	}
	else
		pnvs_http_set(obstacle, easy, CURLOPT_HTTPGET, 1L);
	/* after these, which set a method each */
	pnvs_http_set(obstacle, easy, CURLOPT_CUSTOMREQUEST, request->method);
	pnvs_http_set(obstacle, easy, CURLOPT_HTTPHEADER, make_header_list(request->headers));
}

/*
 * Makes libcurl's list of headers in the current memory context.  libcurl only
 * reads it.
 */
static struct curl_slist *
make_header_list(const char *const *headers)
{
	struct curl_slist *list;
	int			n = 0;

	while (headers[n] != NULL)
		n++;
	list = palloc(n * sizeof(struct curl_slist));
	for (int i = 0; i < n; i++)
	{
		list[i].data = unconstify(char *, headers[i]);
		list[i].next = i + 1 < n ? &list[i + 1] : NULL;
	}
	return n > 0 ? list : NULL;
}

/* Bytes of the request that were handed to the connection. */
static long
written_len(const PnvsHttpSlot *slot)
{
	long		len = 0;

	curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &len);
	return len;
}

/* The connection stands, and TLS begins on it. */
static CURLcode
on_tls(CURL *easy, void *ssl_ctx, void *userdata)
{
	PnvsHttpSlot *slot = userdata;
	long		proxy_status = 0;

	slot->tls_begun = true;

	/*
	 * TLS within that of a proxy reads what the outer one has read already,
	 * for which the socket would not become readable again
	 */
	curl_easy_getinfo(slot->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
	if (!pnvs_http_route_has_tls_proxy(&slot->route) || proxy_status / 100 != 2)
		pnvs_http_turn_watch(ssl_ctx);
	/* libcurl has the environment's where another extension used it before us */
	SSL_CTX_set_keylog_callback(ssl_ctx, NULL);
	return CURLE_OK;
}

/* libcurl is about to write the request. */
static int
on_request(void *clientp, char *remote_ip, char *local_ip, int remote_port,
		   int local_port)
{
	PnvsHttpSlot *slot = clientp;

	if (!slot->may_repeat && slot->begun > 0 && written_len(slot) > 0)
	{
		slot->repeat_stopped = true;
		return CURL_PREREQFUNC_ABORT;
	}
	slot->begun++;
	return CURL_PREREQFUNC_OK;
}

/* libcurl has done something, and goes on to the next without asking anybody else. */
static int
on_progress(void *clientp, curl_off_t to_receive, curl_off_t received,
			curl_off_t to_send, curl_off_t sent)
{
	PnvsHttpSlot *slot = clientp;

	if (slot->turn != pnvs_http_turn_number())
	{
		slot->turn = pnvs_http_turn_number();
		slot->progress = 0;
	}
	slot->endless = ++slot->progress > MAX_PROGRESS_A_TURN;
	return slot->endless;
}

/* A line of the reply's headers, the status line and 1xx replies included. */
static size_t
on_header(char *line, size_t size, size_t nitems, void *userdata)
{
	PnvsHttpSlot *slot = userdata;
	size_t		len = size * nitems;
	char		value[64];

	slot->headers_len += len;
	if (slot->headers_len > PNVS_MAX_REPLY_HEADERS_LEN)
	{
		slot->too_large = true;
		return 0;
	}
	if (!pnvs_header_value(line, len, "date", slot->server_date, sizeof(slot->server_date)) &&
		pnvs_header_value(line, len, "x-acs-retry-after", value, sizeof(value)))
		slot->retry_after_ms = pnvs_header_milliseconds(value);
	return len;
}

/* A piece of the reply's body. */
static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	PnvsHttpSlot *slot = userdata;
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
grow_body(PnvsHttpSlot *slot, size_t needed)
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
