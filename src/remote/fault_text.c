/*-------------------------------------------------------------------------
 *
 * fault_text.c
 *	  Calls without a readable reply, in words.
 *
 * The texts are constant, in ASCII, and hold nothing of the request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "remote/fault_text.h"

/* What went wrong with a request on its way; http.fault must be one. */
const char *
pnvs_fault_text_transport(const PnvsAnswer *answer)
{
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

	switch (answer->http.fault)
	{
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
		case PNVS_HTTP_NO_FAULT:
		case PNVS_HTTP_BROKEN:
			break;
	}
	return broken[answer->http.stage];
}

/* What is wrong with a reply that cannot be read. */
const char *
pnvs_fault_text_reply(const PnvsAnswer *answer)
{
	if (answer->http.status / 100 == 3)
		return "it is a redirect, which is not followed";
	switch (answer->reply_fault)
	{
		case PNVS_REPLY_EMPTY:
			return "it is empty";
		case PNVS_REPLY_HTML:
			return "it is an HTML page, as proxies and gateways send";
		case PNVS_REPLY_XML:
			return "it is an XML document, as gateways send";
		case PNVS_REPLY_NOT_UTF8:
			return "it is not UTF-8";
		case PNVS_REPLY_TOO_DEEP:
			return "it is nested too deeply";
		case PNVS_REPLY_NOT_ENVELOPE:
			return "it has neither a code nor a word on success";
		case PNVS_REPLY_OK:
		case PNVS_REPLY_NOT_JSON:
			break;
	}
	return "it is not JSON";
}
