/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Raises PostgreSQL errors for calls of the service that failed.
 *
 * The message names the failure, DETAIL says whether the request may have reached the
 * service and at which stage the call ended, and HINT says what to do.  No error holds a
 * number, a code or a key.  The statement does, so no error lets it into the log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "errcodes.h"
#include "remote/failure.h"

/* Of a text of the service; a row has it whole. */
#define MAX_QUOTED_LEN 256

pg_noreturn static void throw_transport(const PnvsCallState *call);
pg_noreturn static void throw_reply(const PnvsCallState *call);
static const char *transport_hint(const PnvsAnswer *answer);
static const char *resend_hint(const PnvsOperation *operation);
static int	refusal_sqlstate(const PnvsAnswer *answer);
static const char *refusal_hint(const PnvsCallState *call);
static char *quote(const char *text);
static const char *plain_request_id(const char *id);

/*
 * Throws if the call has no readable answer: 38V01 if the request provably was not sent,
 * 38V02 if it may have been.
 */
void
pnvs_failure_throw_if_unjudged(const PnvsCallState *call)
{
	if (call->answer.http.fault != PNVS_HTTP_NO_FAULT)
		throw_transport(call);
	if (!call->answer.has_reply)
		throw_reply(call);
}

/*
 * Throws if the service refused the request: 38V05 for the credentials, 38V04 for other
 * reasons, and 38V02 if the service does not know how far it got.
 */
void
pnvs_failure_throw_if_refused(const PnvsCallState *call)
{
	const PnvsAnswer *answer = &call->answer;
	const PnvsReply *reply = &answer->reply;

	if (answer->succeeded)
		return;
	ereport(ERROR,
			(errcode(refusal_sqlstate(answer)),
			 errmsg("the verification service refused %s: %s", call->operation->name,
					reply->code ? quote(reply->code) : "no code"),
			 errdetail("sent=%s stage=reply: HTTP status %d, message \"%s\", request ID %s.",
					   answer->outcome == PNVS_AMBIGUOUS ? "maybe" : "no",
					   answer->http.status,
					   reply->message ? quote(reply->message) : "",
					   plain_request_id(reply->request_id)),
			 errhint("%s", refusal_hint(call)),
			 pnvs_errhide()));
}

/* Throws for a reply that is well-formed but makes no sense. */
void
pnvs_failure_throw_unreadable(const char *what)
{
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_MAYBE_SENT),
			 errmsg("the verification service gave no usable reply: %s", what),
			 errdetail("sent=maybe stage=reply"),
			 errhint("Narrow the search, or try again later."),
			 pnvs_errhide()));
}

/*
 * Error context callback, whose argument is the PnvsCallState, from before the request
 * until the row is built.  If memory runs out after the request may have been sent,
 * drivers must not repeat the statement, as they do after 53200.
 */
void
pnvs_failure_out_of_memory(void *call)
{
	const PnvsCallState *state = call;

	if (geterrcode() != ERRCODE_OUT_OF_MEMORY || !state->answer.http.maybe_sent)
		return;
	errcode(PNVS_ERRCODE_MAYBE_SENT);
	errmsg("the reply of the verification service does not fit into memory");
	errdetail("sent=maybe stage=reply: Out of memory");
	errhint("%s", resend_hint(state->operation));
	pnvs_errhide();
}

/* The transport of the request or of its reply failed. */
static void
throw_transport(const PnvsCallState *call)
{
	const PnvsAnswer *answer = &call->answer;
	bool		maybe_sent = answer->http.maybe_sent;

	ereport(ERROR,
			(errcode(maybe_sent ? PNVS_ERRCODE_MAYBE_SENT : PNVS_ERRCODE_UNSENT),
			 errmsg("%s", pnvs_client_fault(answer)),
			 errdetail("sent=%s stage=%s: %s", maybe_sent ? "maybe" : "no",
					   pnvs_stage_name(answer->http.stage), answer->http.detail),
			 errhint("%s", maybe_sent ? resend_hint(call->operation) : transport_hint(answer)),
			 pnvs_errhide()));
}

/* The service, or a proxy in front of it, sent a reply that cannot be read. */
static void
throw_reply(const PnvsCallState *call)
{
	const PnvsAnswer *answer = &call->answer;

	ereport(ERROR,
			(errcode(PNVS_ERRCODE_MAYBE_SENT),
			 errmsg("the verification service gave no usable reply: %s",
					pnvs_client_fault(answer)),
			 errdetail("sent=maybe stage=reply: HTTP status %d, %zu bytes.",
					   answer->http.status, answer->http.body_len),
			 errhint("%s", resend_hint(call->operation)),
			 pnvs_errhide()));
}

/* What to do about a request that was not sent. */
static const char *
transport_hint(const PnvsAnswer *answer)
{
	if (answer->http.fault == PNVS_HTTP_UNTRUSTED ||
		answer->http.fault == PNVS_HTTP_BAD_CA)
		return "Nothing was sent. Check \"pnvs.ca_file\", the system's certificates and the host in \"pnvs.endpoint\".";
	if (answer->http.fault == PNVS_HTTP_TIMED_OUT)
		return psprintf("Nothing was sent, and the call can be repeated. \"pnvs.connect_timeout\" is %d ms, \"pnvs.request_timeout\" %d ms.",
						answer->connect_timeout_ms, answer->request_timeout_ms);
	return "Nothing was sent, and the call can be repeated. Check \"pnvs.endpoint\", \"pnvs.proxy\" and the network.";
}

/* What to do about a request that may have been sent. */
static const char *
resend_hint(const PnvsOperation *operation)
{
	if (operation->sends_message)
		return "The message may have been sent. Look for it with search_verification() before sending another.";
	return "The service may have received the request. The call sends nothing and can be repeated, but each check of a code may be a try.";
}

static int
refusal_sqlstate(const PnvsAnswer *answer)
{
	if (answer->outcome == PNVS_AMBIGUOUS)
		return PNVS_ERRCODE_MAYBE_SENT;
	if (answer->code_group == PNVS_CODE_CREDENTIALS)
		return PNVS_ERRCODE_CREDENTIALS;
	return PNVS_ERRCODE_REFUSED;
}

static const char *
refusal_hint(const PnvsCallState *call)
{
	const PnvsAnswer *answer = &call->answer;

	if (answer->outcome == PNVS_AMBIGUOUS)
		return resend_hint(call->operation);
	switch (answer->code_group)
	{
		case PNVS_CODE_CREDENTIALS:
			return "Check \"pnvs.access_key_id\", \"pnvs.access_key_secret\", \"pnvs.security_token\" and the RAM policy of the key.";
		case PNVS_CODE_CLOCK:
			return "Set the clock of this server. What the service says of the time is followed for up to a day of difference.";
		case PNVS_CODE_THROTTLED:
			if (answer->http.retry_after_ms >= 0)
				return psprintf("Try again in " INT64_FORMAT " ms.",
								answer->http.retry_after_ms);
			return "Try again later.";
		default:
			return "Look the code up in the service's documentation.";
	}
}

/* A text of the service for a message: cut, and in one line. */
static char *
quote(const char *text)
{
	char	   *copy = pnstrdup(text, pg_mbcliplen(text, (int) strlen(text), MAX_QUOTED_LEN));

	for (char *c = copy; *c; c++)
	{
		if ((unsigned char) *c < ' ')
			*c = ' ';
	}
	return copy;
}

/* The request ID, which support asks for, if it looks like an ID. */
static const char *
plain_request_id(const char *id)
{
	static const char allowed[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

	return id && id[strspn(id, allowed)] == '\0' ? id : "unknown";
}
