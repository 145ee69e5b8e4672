/*-------------------------------------------------------------------------
 *
 * http_transfer.c
 *	  One request: what libcurl is told, and how far it got.
 *
 * How far a request got is told by facts.  libcurl notes the time at which the
 * name was looked up.  It calls CURLOPT_SSL_CTX_FUNCTION when the connection stands
 * and TLS begins.  It calls CURLOPT_PREREQFUNCTION right before it writes the
 * request; from then on the service may have seen it.  If a kept connection turns
 * out to be dead, libcurl writes the request again on a new one by itself.  It calls
 * that function a second time then, which stops it, unless no byte was written the
 * first time or the request may be repeated.
 *
 * HTTP/1.1 is spoken: its single write makes "no byte was written" a fact.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/header.h"
#include "remote/http_internal.h"

/*
 * Alibaba Cloud's load balancers close a connection that was idle for 15 seconds.  A
 * request must not cross with that.
 */
#define MAX_IDLE_S 10

#define FIRST_BODY_SIZE 4096

/* A buffer that a large reply grew is given back after it. */
#define KEPT_BODY_SIZE (64 * 1024)

/*
 * A proxy's answer to CONNECT, which libcurl reads byte by byte, may have so many
 * bytes a turn: an answer that refuses with a page has 4 kB.
 */
#define MAX_PROGRESS_A_TURN (16 * 1024)

/* libcurl's default buffers, of 16 and 64 kB, would be most of a request's memory. */
#define READ_BUFFER_SIZE 4096
#define WRITE_BUFFER_SIZE 16384 /* the least that libcurl takes */

static void set_fixed_options(PnvsHttpTransfer *transfer, PnvsHttpObstacle *obstacle);
static void set_message(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request,
						PnvsHttpObstacle *obstacle);
static struct curl_slist *make_header_list(const char *const *headers);
static bool has_tunnel(const PnvsHttpTransfer *transfer);
static int64 time_us(const PnvsHttpTransfer *transfer, CURLINFO which);
static long written_len(const PnvsHttpTransfer *transfer);
static PnvsHttpFault fault_of(const PnvsHttpTransfer *transfer);
static void describe_fault(const PnvsHttpTransfer *transfer, char *detail);
static CURLcode on_tls(CURL *easy, void *ssl_ctx, void *userdata);
static int	on_request(void *clientp, char *remote_ip, char *local_ip,
					   int remote_port, int local_port);
static int	on_progress(void *clientp, curl_off_t to_receive, curl_off_t received,
						curl_off_t to_send, curl_off_t sent);
static size_t on_header(char *line, size_t size, size_t nitems, void *userdata);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);
static bool grow_body(PnvsHttpTransfer *transfer, size_t needed);

/* A new handle, or NULL and the obstacle. */
PnvsHttpTransfer *
pnvs_http_transfer_create(PnvsHttpObstacle *obstacle)
{
	PnvsHttpTransfer *transfer = calloc(1, sizeof(PnvsHttpTransfer));

	if (transfer != NULL)
		transfer->easy = curl_easy_init();
	if (transfer == NULL || transfer->easy == NULL)
		pnvs_http_note(obstacle, "curl_easy_init", CURLE_OUT_OF_MEMORY);
	else
		set_fixed_options(transfer, obstacle);
	if (obstacle->what == NULL)
		return transfer;
	if (transfer != NULL)
		pnvs_http_transfer_destroy(transfer);
	return NULL;
}

/* Frees a handle that has no request. */
void
pnvs_http_transfer_destroy(PnvsHttpTransfer *transfer)
{
	if (transfer->easy)
		curl_easy_cleanup(transfer->easy);
	pnvs_http_forget_route(&transfer->route);
	free(transfer->body);
	free(transfer);
}

/*
 * Forgets the last request, and tells libcurl the next one.  Its headers and its
 * body are not copied, and the list of headers is made in the current memory
 * context.  The first thing that libcurl does not take is noted.
 */
void
pnvs_http_transfer_begin(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request,
						 PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = transfer->easy;

	memset(&transfer->may_repeat, 0,
		   sizeof(PnvsHttpTransfer) - offsetof(PnvsHttpTransfer, may_repeat));
	transfer->retry_after_ms = -1;
	transfer->error[0] = '\0';
	pnvs_http_set_route(transfer, request, obstacle);
	transfer->sessions = pnvs_http_trust_use_sessions();
	pnvs_http_set(obstacle, easy, CURLOPT_SHARE, transfer->sessions->share);
	pnvs_http_set(obstacle, easy, CURLOPT_MAXLIFETIME_CONN, pnvs_http_trust_connections_s());

	/*
	 * after TLS has failed the name is looked up again: it may lead elsewhere
	 * by now
	 */
	pnvs_http_set(obstacle, easy, CURLOPT_DNS_CACHE_TIMEOUT, pnvs_http_trust_cache_s());
#ifdef PNVS_HAVE_CA_CACHE
	pnvs_http_set(obstacle, easy, CURLOPT_CA_CACHE_TIMEOUT, pnvs_http_trust_cache_s());
#endif
	set_message(transfer, request, obstacle);
}

/* Wipes what may hold a code or a key, and gives back what is large or shared. */
void
pnvs_http_transfer_end(PnvsHttpTransfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_SHARE, NULL);
	if (transfer->sessions)
		pnvs_http_trust_leave_sessions(transfer->sessions);
	transfer->sessions = NULL;
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_REQUEST_TARGET, NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, NULL);
	if (transfer->body != NULL)
		explicit_bzero(transfer->body, transfer->body_len);
	if (transfer->body_size > KEPT_BODY_SIZE)
	{
		free(transfer->body);
		transfer->body = NULL;
		transfer->body_size = 0;
	}
}

/* Whether the transfer has ended, well or not. */
bool
pnvs_http_is_done(const PnvsHttpTransfer *transfer)
{
	return transfer->done;
}

/* How far the transfer has got, also while it is under way. */
PnvsStage
pnvs_http_stage(const PnvsHttpTransfer *transfer)
{
	if (transfer->begun > 0)
		return written_len(transfer) > 0 ? PNVS_STAGE_REPLY : PNVS_STAGE_REQUEST;

	if ((transfer->tls_begun || transfer->code == CURLE_SSL_CACERT_BADFILE) &&
		(!pnvs_http_has_proxy(transfer, "") || has_tunnel(transfer)))
		return PNVS_STAGE_TLS;
	return time_us(transfer, CURLINFO_NAMELOOKUP_TIME_T) > 0 ? PNVS_STAGE_CONNECT : PNVS_STAGE_RESOLVE;
}

/*
 * Whether some of the request may have reached the service.  A write that
 * failed as a whole has not: TLS makes one record of it, of which a part is
 * worth nothing.
 */
bool
pnvs_http_maybe_sent(const PnvsHttpTransfer *transfer)
{
	if (transfer->begun == 0)
		return false;
	return !(transfer->done && transfer->code == CURLE_SEND_ERROR && written_len(transfer) == 0);
}

/*
 * Fills in the result of a transfer that is done.  The body stays the transfer's,
 * and so lives as long as its memory context.
 */
void
pnvs_http_result(const PnvsHttpTransfer *transfer, PnvsHttpResult *result)
{
	long		status = 0;

	Assert(transfer->done);
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	result->fault = fault_of(transfer);
	result->stage = pnvs_http_stage(transfer);
	result->maybe_sent = pnvs_http_maybe_sent(transfer);
	result->status = (int) status;
	result->body = transfer->body;
	result->body_len = transfer->body_len;
	strlcpy(result->server_date, transfer->server_date, sizeof(result->server_date));
	result->retry_after_ms = transfer->retry_after_ms;
	result->times.looked_up_us = time_us(transfer, CURLINFO_NAMELOOKUP_TIME_T);
	result->times.connected_us = time_us(transfer, CURLINFO_CONNECT_TIME_T);
	result->times.secured_us = time_us(transfer, CURLINFO_APPCONNECT_TIME_T);
	result->times.first_byte_us = time_us(transfer, CURLINFO_STARTTRANSFER_TIME_T);
	result->times.total_us = time_us(transfer, CURLINFO_TOTAL_TIME_T);
	result->detail[0] = '\0';
	if (result->fault != PNVS_HTTP_NO_FAULT)
		describe_fault(transfer, result->detail);
}

static int64
time_us(const PnvsHttpTransfer *transfer, CURLINFO which)
{
	curl_off_t	us = 0;

	curl_easy_getinfo(transfer->easy, which, &us);
	return us;
}

/* Why a transfer that is done has failed, if it has. */
static PnvsHttpFault
fault_of(const PnvsHttpTransfer *transfer)
{
	if (transfer->repeat_stopped)
		return PNVS_HTTP_REPEAT_STOPPED;
	if (transfer->too_large || (int) transfer->code == PNVS_CURLE_TOO_LARGE)
		return PNVS_HTTP_TOO_LARGE;
	if (transfer->out_of_memory)
		return PNVS_HTTP_OUT_OF_MEMORY;
	switch (transfer->code)
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
describe_fault(const PnvsHttpTransfer *transfer, char *detail)
{
	const char *words = transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->code);

	if (transfer->repeat_stopped)
		words = "the connection was reused, and its end came unexpected";
	else if (transfer->too_large)
		words = "more than 1 MiB of body or 64 KiB of headers";
	else if (transfer->endless)
		words = "the proxy's answer does not end";

	strlcpy(detail, words, PNVS_HTTP_DETAIL_SIZE);
	for (; *detail; detail++)
	{
		if (*detail < 0x20 || *detail > 0x7E)
			*detail = '?';
	}
}

/* Tells libcurl what is the same for every request. */
static void
set_fixed_options(PnvsHttpTransfer *transfer, PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = transfer->easy;

	pnvs_http_set(obstacle, easy, CURLOPT_PRIVATE, transfer);
	pnvs_http_set(obstacle, easy, CURLOPT_ERRORBUFFER, transfer->error);
	pnvs_http_set(obstacle, easy, CURLOPT_NOSIGNAL, 1L);
	pnvs_http_set(obstacle, easy, CURLOPT_OPENSOCKETFUNCTION, pnvs_http_on_open);
	pnvs_http_set(obstacle, easy, CURLOPT_CLOSESOCKETFUNCTION, pnvs_http_on_close);
	pnvs_http_set(obstacle, easy, CURLOPT_RESOLVER_START_FUNCTION, pnvs_http_on_resolver_start);
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
	pnvs_http_set(obstacle, easy, CURLOPT_SSL_CTX_DATA, transfer);
	pnvs_http_set(obstacle, easy, CURLOPT_PREREQFUNCTION, on_request);
	pnvs_http_set(obstacle, easy, CURLOPT_PREREQDATA, transfer);
	pnvs_http_set(obstacle, easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	pnvs_http_set(obstacle, easy, CURLOPT_XFERINFODATA, transfer);
	pnvs_http_set(obstacle, easy, CURLOPT_NOPROGRESS, 0L);
	pnvs_http_set(obstacle, easy, CURLOPT_HEADERFUNCTION, on_header);
	pnvs_http_set(obstacle, easy, CURLOPT_HEADERDATA, transfer);
	pnvs_http_set(obstacle, easy, CURLOPT_WRITEFUNCTION, on_body);
	pnvs_http_set(obstacle, easy, CURLOPT_WRITEDATA, transfer);
}

/* Tells libcurl what to write. */
static void
set_message(PnvsHttpTransfer *transfer, const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle)
{
	CURL	   *easy = transfer->easy;

	transfer->may_repeat = request->may_repeat;

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

/* Whether a proxy has agreed to CONNECT. */
static bool
has_tunnel(const PnvsHttpTransfer *transfer)
{
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status / 100 == 2;
}

/* Bytes of the request that were handed to the connection. */
static long
written_len(const PnvsHttpTransfer *transfer)
{
	long		len = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &len);
	return len;
}

/* The connection stands, and TLS begins on it. */
static CURLcode
on_tls(CURL *easy, void *ssl_ctx, void *userdata)
{
	PnvsHttpTransfer *transfer = userdata;

	transfer->tls_begun = true;

	/*
	 * TLS within a proxy's TLS reads what the outer one has read already; the
	 * socket would not become readable again for that.
	 */
	if (!pnvs_http_has_proxy(transfer, "https://") || !has_tunnel(transfer))
		pnvs_http_turn_watch(ssl_ctx);
	/* libcurl has that of the environment if another extension used it first */
	SSL_CTX_set_keylog_callback(ssl_ctx, NULL);
	return CURLE_OK;
}

/* libcurl is about to write the request. */
static int
on_request(void *clientp, char *remote_ip, char *local_ip, int remote_port,
		   int local_port)
{
	PnvsHttpTransfer *transfer = clientp;

	if (!transfer->may_repeat && transfer->begun > 0 && written_len(transfer) > 0)
	{
		transfer->repeat_stopped = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->begun++;
	return CURL_PREREQFUNC_OK;
}

/* libcurl has done something; it stops only if this says so. */
static int
on_progress(void *clientp, curl_off_t to_receive, curl_off_t received,
			curl_off_t to_send, curl_off_t sent)
{
	PnvsHttpTransfer *transfer = clientp;

	if (transfer->turn != pnvs_http_turn_number())
	{
		transfer->turn = pnvs_http_turn_number();
		transfer->progress = 0;
	}
	transfer->endless = ++transfer->progress > MAX_PROGRESS_A_TURN;
	return transfer->endless;
}

/* A line of the reply's headers, the status line and 1xx replies included. */
static size_t
on_header(char *line, size_t size, size_t nitems, void *userdata)
{
	PnvsHttpTransfer *transfer = userdata;
	size_t		len = size * nitems;
	char		value[64];

	transfer->headers_len += len;
	if (transfer->headers_len > PNVS_MAX_REPLY_HEADERS_LEN)
	{
		transfer->too_large = true;
		return 0;
	}
	if (!pnvs_header_value(line, len, "date", transfer->server_date, sizeof(transfer->server_date)) &&
		pnvs_header_value(line, len, "x-acs-retry-after", value, sizeof(value)))
		transfer->retry_after_ms = pnvs_header_milliseconds(value);
	return len;
}

/* A piece of the reply's body. */
static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	PnvsHttpTransfer *transfer = userdata;
	size_t		len = size * nmemb;

	if (len > PNVS_MAX_BODY_LEN - transfer->body_len)
	{
		transfer->too_large = true;
		return 0;
	}
	if (!grow_body(transfer, transfer->body_len + len))
	{
		transfer->out_of_memory = true;
		return 0;
	}
	memcpy(transfer->body + transfer->body_len, data, len);
	transfer->body_len += len;
	return len;
}

static bool
grow_body(PnvsHttpTransfer *transfer, size_t needed)
{
	size_t		size = Max(transfer->body_size, FIRST_BODY_SIZE);
	char	   *body;

	while (size < needed)
		size *= 2;
	if (size == transfer->body_size)
		return true;
	body = realloc(transfer->body, size);
	if (body == NULL)
		return false;
	transfer->body = body;
	transfer->body_size = size;
	return true;
}
