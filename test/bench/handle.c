/*-------------------------------------------------------------------------
 *
 * handle.c
 *	  An easy handle of libcurl for the anchors' requests.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "core/operation.h"
#include "core/signature.h"
#include "handle.h"
#include "request.h"

/* The headers that change stand first. */
enum
{
	AUTHORIZATION,
	DATE,
	NONCE,
	HOST,
	ACCEPT,
	CONTENT_TYPE,
	EXPECT,
	USER_AGENT,
	ACTION,
	CONTENT_SHA256,
	VERSION
};

static void link_headers(BenchHandle *handle, const char *host);
static size_t on_body(char *data, size_t size, size_t nmemb, void *userdata);

/* Opens a handle; false where libcurl fails. */
bool
bench_handle_open(BenchHandle *handle, CURLSH *sessions, const char *host,
				  const char *ca_file, const char *ca_path)
{
	CURL	   *easy = curl_easy_init();
	unsigned	failed = 0;

	if (easy == NULL)
		return false;
	handle->easy = easy;
	link_headers(handle, host);
	failed |= curl_easy_setopt(easy, CURLOPT_PRIVATE, handle);
	failed |= curl_easy_setopt(easy, CURLOPT_SHARE, sessions);
	failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, ca_path);
	failed |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	failed |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, handle->headers);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, handle);
	return failed == 0;
}

/* Signs the next request; false where that fails. */
bool
bench_handle_prepare(BenchHandle *handle, const char *url, const char *host,
					 int64_t number)
{
	BenchRequest request;
	char		to[24];
	char		full_url[512];

	snprintf(to, sizeof(to), "%lld", (long long) number);
	if (!bench_request_sign(&request, host, to))
		return false;
	snprintf(handle->texts[AUTHORIZATION], BENCH_HEADER_SIZE, "Authorization: %s",
			 request.authorization);
	snprintf(handle->texts[DATE], BENCH_HEADER_SIZE, "x-acs-date: %s", request.date);
	snprintf(handle->texts[NONCE], BENCH_HEADER_SIZE, "x-acs-signature-nonce: %s",
			 request.nonce);
	snprintf(full_url, sizeof(full_url), "%s/?%s", url, request.query);
	handle->body_len = 0;
	return curl_easy_setopt(handle->easy, CURLOPT_URL, full_url) == CURLE_OK;
}

/* Whether the reply is what the service is to send, as far as one looks. */
bool
bench_handle_has_reply(const BenchHandle *handle)
{
	long		status = 0;

	curl_easy_getinfo(handle->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200 && handle->body_len > 0;
}

int64_t
bench_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
link_headers(BenchHandle *handle, const char *host)
{
	static const char *const fixed[BENCH_HEADER_COUNT] = {
		[ACCEPT] = "Accept: application/json",
		[CONTENT_TYPE] = "Content-Type:",
		[EXPECT] = "Expect:",
		[USER_AGENT] = "User-Agent: pnvs/1.0",
		[ACTION] = "x-acs-action: StartVerification",
		[CONTENT_SHA256] = "x-acs-content-sha256: " PNVS_EMPTY_BODY_SHA256,
		[VERSION] = "x-acs-version: " PNVS_API_VERSION,
	};

	for (int i = 0; i < BENCH_HEADER_COUNT; i++)
	{
		if (fixed[i])
			snprintf(handle->texts[i], BENCH_HEADER_SIZE, "%s", fixed[i]);
		handle->headers[i].data = handle->texts[i];
		handle->headers[i].next = i + 1 < BENCH_HEADER_COUNT ? &handle->headers[i + 1] : NULL;
	}
	snprintf(handle->texts[HOST], BENCH_HEADER_SIZE, "Host: %s", host);
}

static size_t
on_body(char *data, size_t size, size_t nmemb, void *userdata)
{
	BenchHandle *handle = userdata;
	size_t		len = size * nmemb;

	if (len > sizeof(handle->body) - handle->body_len)
		return 0;
	memcpy(handle->body + handle->body_len, data, len);
	handle->body_len += len;
	return len;
}
