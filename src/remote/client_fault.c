/*-------------------------------------------------------------------------
 *
 * client_fault.c
 *	  Says in words why a call has no reply that can be judged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "remote/client.h"

static const char *const broken[] = {
	[PNVS_STAGE_RESOLVE] = "could not look up the host of the verification service",
	[PNVS_STAGE_CONNECT] = "could not connect to the verification service",
	[PNVS_STAGE_TLS] = "could not establish a secure connection to the verification service",
	[PNVS_STAGE_REQUEST] = "could not send a request to the verification service",
	[PNVS_STAGE_REPLY] = "lost the connection to the verification service before its reply was complete",
};

static const char *const timed_out[] = {
	[PNVS_STAGE_RESOLVE] = "timed out while looking up the host of the verification service",
	[PNVS_STAGE_CONNECT] = "timed out while connecting to the verification service",
	[PNVS_STAGE_TLS] = "timed out in the TLS handshake with the verification service",
	[PNVS_STAGE_REQUEST] = "timed out while sending a request to the verification service",
	[PNVS_STAGE_REPLY] = "timed out while waiting for the reply of the verification service",
};

static const char *const unreadable[] = {
	[PNVS_REPLY_OK] = "it is not JSON",
	[PNVS_REPLY_EMPTY] = "it is empty",
	[PNVS_REPLY_HTML] = "it is an HTML page, as proxies and gateways send",
	[PNVS_REPLY_XML] = "it is an XML document, as gateways send",
	[PNVS_REPLY_NOT_UTF8] = "it is not UTF-8",
	[PNVS_REPLY_TOO_DEEP] = "it is nested too deeply",
	[PNVS_REPLY_NOT_JSON] = "it is not JSON",
	[PNVS_REPLY_NOT_ENVELOPE] = "it has neither a code nor a word on success",
};

/*
 * What went wrong with the request, or what is wrong with the reply.  The text is
 * constant, in ASCII, and holds nothing of the request.
 */
const char *
pnvs_client_fault(const PnvsAnswer *answer)
{
	switch (answer->http.fault)
	{
		case PNVS_HTTP_NO_FAULT:
			if (answer->http.status / 100 == 3)
				return "it is a redirect, which is not followed";
			return unreadable[answer->reply_fault];
		case PNVS_HTTP_TIMED_OUT:
			return timed_out[answer->http.stage];
		case PNVS_HTTP_UNTRUSTED:
			return "could not verify the certificate of the verification service";
		case PNVS_HTTP_BAD_CA:
			return "could not read the trusted certificates";
		case PNVS_HTTP_TOO_LARGE:
			return "the reply of the verification service is too large";
		case PNVS_HTTP_REPEAT_STOPPED:
			return "the verification service ended the connection without a reply";
		case PNVS_HTTP_MALFORMED:
			return "the reply of the verification service is not valid HTTP";
		case PNVS_HTTP_OUT_OF_MEMORY:
			/* libcurl also says so of a header line of more than 100 kB */
			if (answer->http.stage == PNVS_STAGE_REPLY)
				return "the reply of the verification service does not fit into memory";
			return "out of memory in a call of the verification service";
		case PNVS_HTTP_BROKEN:
			break;
	}
	return broken[answer->http.stage];
}
