/*-------------------------------------------------------------------------
 *
 * http_probe.c
 *	  A function that sends any HTTP request by src/remote/http.h, for tests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

#include "remote/http.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(http_probe);

/*
 * http_probe(origin text, method text, target text, body text, may_repeat boolean)
 *
 * Returns the status, whether the request may have been sent, and the body of the
 * reply.
 */
Datum
http_probe(PG_FUNCTION_ARGS)
{
	static const char *const headers[] = {"Content-Type: text/plain", "X-Probe: yes", NULL};
	PnvsHttpRequest request = {
		.origin = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.method = text_to_cstring(PG_GETARG_TEXT_PP(1)),
		.target = text_to_cstring(PG_GETARG_TEXT_PP(2)),
		.headers = headers,
		.body = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)),
		.may_repeat = PG_GETARG_BOOL(4),
		.ca_file = "",
		.proxy = "",
		.connect_timeout_ms = 60000,
		.request_timeout_ms = 60000,
	};
	PnvsHttpTransfer *transfer;
	PnvsHttpResult result;

	request.body_len = request.body ? strlen(request.body) : 0;
	transfer = pnvs_http_start(&request);
	while (!pnvs_http_is_done(transfer))
	{
		(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
								 pnvs_http_descriptor(), -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pnvs_http_advance();
	}
	pnvs_http_result(transfer, &result);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d %s %.*s", result.status,
											  result.maybe_sent ? "maybe" : "no",
											  (int) result.body_len,
											  result.body ? result.body : "")));
}
