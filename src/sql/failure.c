/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Calls that did not succeed, as PostgreSQL errors.
 *
 * Every message says what happened, its DETAIL whether the request may have
 * reached the service and at which stage the call ended, its HINT what to do.
 * None holds a number, a code or a key, and none lets the statement, which
 * does, into the log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "errcodes.h"
#include "remote/fault_text.h"
#include "sql/failure.h"

/* The row has more of them. */
#define MAX_QUOTED_LEN 256

pg_noreturn static void throw_transport(const PnvsOperation *operation, const PnvsAnswer *answer);
pg_noreturn static void throw_reply(const PnvsOperation *operation, const PnvsAnswer *answer);
static const char *transport_hint(const PnvsAnswer *answer);
static void tell_of_call(void *arg);
static const char *resend_hint(const PnvsOperation *operation);
static int	refusal_sqlstate(const PnvsAnswer *answer);
static const char *refusal_hint(const PnvsOperation *operation,
								const PnvsAnswer *answer);
static char *quote(const char *text);
static const char *plain_request_id(const char *id);

/*
 * From here on, an error of PostgreSQL's about memory says that the request may
 * have been sent, once it has been: the code that it comes with by itself is
 * one after which drivers repeat the statement.  answer is cleared, for
 * pnvs_client_call() to fill in.
 */
void
pnvs_failure_watch(PnvsWatch *watch, const PnvsOperation *operation, PnvsAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	watch->operation = operation;
	watch->answer = answer;
	watch->context.callback = tell_of_call;
	watch->context.arg = watch;
	watch->context.previous = error_context_stack;
	error_context_stack = &watch->context;
}

/* No longer; an error that is thrown does the same. */
void
pnvs_failure_unwatch(const PnvsWatch *watch)
{
	error_context_stack = watch->context.previous;
}

/*
 * Throws where the call has no answer that can be judged: 38V01 where the
 * request provably was not sent, 38V02 where it may have been.
 */
void
pnvs_failure_throw_if_unjudged(const PnvsOperation *operation, const PnvsAnswer *answer)
{
	if (answer->http.fault != PNVS_HTTP_NO_FAULT)
		throw_transport(operation, answer);
	if (!answer->has_reply)
		throw_reply(operation, answer);
}

/*
 * Throws where the service did not do what it was asked: 38V04, 38V05 for the
 * credentials, and 38V02 where it does not know itself how far it got.
 */
void
pnvs_failure_throw_if_refused(const PnvsOperation *operation,
							  const PnvsAnswer *answer)
{
	const PnvsReply *reply = &answer->reply;

	if (answer->succeeded)
		return;
	ereport(ERROR,
			(errcode(refusal_sqlstate(answer)),
			 errmsg("the verification service refused %s: %s", operation->name,
					reply->code ? quote(reply->code) : "no code"),
			 errdetail("sent=%s stage=reply: HTTP status %d, message \"%s\", request ID %s.",
					   answer->outcome == PNVS_AMBIGUOUS ? "maybe" : "no",
					   answer->http.status,
					   reply->message ? quote(reply->message) : "",
					   plain_request_id(reply->request_id)),
			 errhint("%s", refusal_hint(operation, answer)),
			 pnvs_errhide()));
}

/* Throws for a reply that can be read by itself but makes no sense. */
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

/* The request failed on its way, or its reply did. */
static void
throw_transport(const PnvsOperation *operation, const PnvsAnswer *answer)
{
	bool		maybe_sent = answer->http.maybe_sent;

	ereport(ERROR,
			(errcode(maybe_sent ? PNVS_ERRCODE_MAYBE_SENT : PNVS_ERRCODE_UNSENT),
			 errmsg("%s", pnvs_fault_text_transport(answer)),
			 errdetail("sent=%s stage=%s: %s", maybe_sent ? "maybe" : "no",
					   pnvs_stage_name(answer->http.stage), answer->http.detail),
			 errhint("%s", maybe_sent ? resend_hint(operation) : transport_hint(answer)),
			 pnvs_errhide()));
}

/* The service, or something before it, answered with something else. */
static void
throw_reply(const PnvsOperation *operation, const PnvsAnswer *answer)
{
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_MAYBE_SENT),
			 errmsg("the verification service gave no usable reply: %s",
					pnvs_fault_text_reply(answer)),
			 errdetail("sent=maybe stage=reply: HTTP status %d, %zu bytes.",
					   answer->http.status, answer->http.body_len),
			 errhint("%s", resend_hint(operation)),
			 pnvs_errhide()));
}

/* Error context callback: gives an error about memory other words. */
static void
tell_of_call(void *arg)
{
	const PnvsWatch *watch = arg;

	if (geterrcode() != ERRCODE_OUT_OF_MEMORY || !watch->answer->http.maybe_sent)
		return;
	errcode(PNVS_ERRCODE_MAYBE_SENT);
	errmsg("the reply of the verification service does not fit into memory");
	errdetail("sent=maybe stage=reply: Out of memory");
	errhint("%s", resend_hint(watch->operation));
	pnvs_errhide();
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
	return "The service may have received the request.";
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
refusal_hint(const PnvsOperation *operation, const PnvsAnswer *answer)
{
	if (answer->outcome == PNVS_AMBIGUOUS)
		return resend_hint(operation);
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

/* What the service said, as it may stand in a message: in one line, and cut. */
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

/* A request ID, which support asks for, where it looks like one. */
static const char *
plain_request_id(const char *id)
{
	static const char allowed[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

	return id && id[strspn(id, allowed)] == '\0' ? id : "unknown";
}
