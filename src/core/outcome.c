/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  What became of a request.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "core/outcome.h"

typedef struct CodeRow
{
	const char *code;			/* one that begins or ends with '*' names a
								 * whole family */
	PnvsCodeGroup group;
} CodeRow;

/*
 * The service's error codes, from its help pages and those of Alibaba Cloud's
 * gateway.  The first row that fits counts, so families stand behind their
 * exceptions.
 */
static const CodeRow code_rows[] = {
	{"OK", PNVS_CODE_OK},

	{"InvalidAccessKeyId*", PNVS_CODE_CREDENTIALS},
	/* the help page has this sentence in its column of codes */
	{"Specified AccessKeyId is not found*", PNVS_CODE_CREDENTIALS},
	{"MissingSecurityToken", PNVS_CODE_CREDENTIALS},
	{"InvalidSecurityToken*", PNVS_CODE_CREDENTIALS},
	{"SignatureDoesNotMatch", PNVS_CODE_CREDENTIALS},
	{"IncompleteSignature", PNVS_CODE_CREDENTIALS},
	{"Forbidden*", PNVS_CODE_CREDENTIALS},

	{"BIZ_NOT_OPEN_STATUS", PNVS_CODE_ACCOUNT},
	{"InsufficientBalance", PNVS_CODE_ACCOUNT},
	{"RESOURCE_NOT_ENOUGH", PNVS_CODE_ACCOUNT},

	{"InvalidApi.NotFound", PNVS_CODE_ENDPOINT},
	{"InvalidProduct.NotFound", PNVS_CODE_ENDPOINT},
	{"InvalidProtocol.NeedSsl", PNVS_CODE_ENDPOINT},

	{"InvalidTimeStamp.Expired", PNVS_CODE_CLOCK},
	{"InvalidTimeStamp.*", PNVS_CODE_TIME_STAMP},

	{"Throttling", PNVS_CODE_THROTTLED},
	{"Throttling.*", PNVS_CODE_THROTTLED},
	{"SENTINEL_BLOCK_EXCEPTION", PNVS_CODE_THROTTLED},

	/*
	 * Each request has a random nonce of its own, so the service has seen
	 * this very request before: something on the way delivered it twice, and
	 * the first may have been accepted.
	 */
	{"SignatureNonceUsed", PNVS_CODE_AMBIGUOUS},
	{"InternalError*", PNVS_CODE_AMBIGUOUS},
	{"ServiceUnavailable*", PNVS_CODE_AMBIGUOUS},
	/* known are those with SMS_, VOICE_ and WHATSAPP_ before it */
	{"*SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS},
	/* and what no page mentions, but whose name says that nobody knows */
	{"*SystemError", PNVS_CODE_AMBIGUOUS},
	{"*Timeout", PNVS_CODE_AMBIGUOUS},
	{"UnknownError*", PNVS_CODE_AMBIGUOUS},

	{"INVALID_PARAMETERS", PNVS_CODE_REFUSED},
	{"Invalid.Parameters", PNVS_CODE_REFUSED},
	{"InvalidParameter*", PNVS_CODE_REFUSED},
	{"Missing*", PNVS_CODE_REFUSED},
	{"MOBILE_NUMBER_ILLEGAL", PNVS_CODE_REFUSED},
	{"NOT_SUPPORTED_CHANNEL", PNVS_CODE_REFUSED},
	{"COUNTRY_BLACKLISTED", PNVS_CODE_REFUSED},
	{"SECURITY_INTERCEPTED", PNVS_CODE_REFUSED},
	{"isp.VERIFY_SCHEME_NOT_EXIST", PNVS_CODE_REFUSED},
};

static bool code_fits(const char *code, const char *pattern);

/* The stage's name as it stands in DETAIL; constant. */
const char *
pnvs_stage_name(PnvsStage stage)
{
	static const char *const names[] = {"resolve", "connect", "tls", "request", "reply"};

	return names[stage];
}

/* The group of a Code; NULL and what no page mentions are PNVS_CODE_UNKNOWN. */
PnvsCodeGroup
pnvs_code_group(const char *code)
{
	if (code == NULL)
		return PNVS_CODE_UNKNOWN;
	for (size_t i = 0; i < sizeof(code_rows) / sizeof(code_rows[0]); i++)
	{
		if (code_fits(code, code_rows[i].code))
			return code_rows[i].group;
	}
	return PNVS_CODE_UNKNOWN;
}

/*
 * The outcome of a request without a readable reply, of which some may have
 * reached the service, or none.
 */
PnvsOutcome
pnvs_outcome_of_failure(bool maybe_sent)
{
	return maybe_sent ? PNVS_AMBIGUOUS : PNVS_UNSENT;
}

/*
 * The outcome of a request that the service answered: HTTP status, Code (or
 * NULL), and its word on success.
 *
 * Status, Code and Success must agree on a success, and one of the last two must
 * say so.  If they contradict each other nobody knows.  An unknown code is the
 * service's "no", but with a 5xx status the service does not know itself how far
 * it got.
 */
PnvsOutcome
pnvs_outcome_of_reply(int http_status, const char *code, PnvsTruth success)
{
	PnvsCodeGroup group = pnvs_code_group(code);
	bool		says_yes = success == PNVS_TRUE ||
	(success == PNVS_UNKNOWN && group == PNVS_CODE_OK);

	if (says_yes)
		return http_status / 100 == 2 && (code == NULL || group == PNVS_CODE_OK) ?
			PNVS_ACCEPTED : PNVS_AMBIGUOUS;
	switch (group)
	{
		case PNVS_CODE_REFUSED:
		case PNVS_CODE_CREDENTIALS:
		case PNVS_CODE_ACCOUNT:
		case PNVS_CODE_ENDPOINT:
		case PNVS_CODE_CLOCK:
		case PNVS_CODE_TIME_STAMP:
			return PNVS_REFUSED;
		case PNVS_CODE_THROTTLED:
			return PNVS_THROTTLED;
		case PNVS_CODE_AMBIGUOUS:
			return PNVS_AMBIGUOUS;
		case PNVS_CODE_OK:
		case PNVS_CODE_UNKNOWN:
			break;
	}
	return http_status >= 500 ? PNVS_AMBIGUOUS : PNVS_REFUSED;
}

/* What keeps all messages from being sent, if that is what a Code of this group says. */
PnvsCause
pnvs_cause_of_code(PnvsCodeGroup group)
{
	switch (group)
	{
			/* the key, or what it may do */
		case PNVS_CODE_CREDENTIALS:
			return PNVS_CAUSE_CREDENTIALS;
			/* the account may not send at all, whatever the number */
		case PNVS_CODE_ACCOUNT:
			return PNVS_CAUSE_ACCOUNT;
			/* refused before anybody has looked at the message */
		case PNVS_CODE_ENDPOINT:
			return PNVS_CAUSE_ENDPOINT;
			/* all requests are stamped by the same clock */
		case PNVS_CODE_CLOCK:
		case PNVS_CODE_TIME_STAMP:
			return PNVS_CAUSE_CLOCK;
			/* by their names the account's or the operation's limit */
		case PNVS_CODE_THROTTLED:
			return PNVS_CAUSE_THROTTLED;
		case PNVS_CODE_OK:
		case PNVS_CODE_REFUSED:
		case PNVS_CODE_AMBIGUOUS:
		case PNVS_CODE_UNKNOWN:
			break;
	}
	return PNVS_CAUSE_NONE;
}

/*
 * The same of a request that did not get through, by the stage that it ended at.  A
 * connection is refused, or its handshake fails, before it is any message's.  One
 * that was there and got lost is the bad luck of a single message.
 */
PnvsCause
pnvs_cause_of_stage(PnvsStage stage)
{
	switch (stage)
	{
		case PNVS_STAGE_RESOLVE:
			return PNVS_CAUSE_RESOLVE;
		case PNVS_STAGE_CONNECT:
			return PNVS_CAUSE_CONNECT;
		case PNVS_STAGE_TLS:
			return PNVS_CAUSE_TLS;
		case PNVS_STAGE_REQUEST:
		case PNVS_STAGE_REPLY:
			break;
	}
	return PNVS_CAUSE_NONE;
}

/*
 * Whose fault a Code of this group is.  Of throttling nobody knows whether it is for
 * the account or for this number: so it is an attempt of the message's, with a pause of
 * its own, and holds up no others, who would wait for one number's sake.  What no page
 * mentions, and what the service itself does not know, concerns the message alone as
 * far as anybody can tell, but proves nothing.
 */
PnvsFault
pnvs_fault_of_code(PnvsCodeGroup group)
{
	switch (group)
	{
		case PNVS_CODE_OK:
			return PNVS_FAULT_NOBODY;
		case PNVS_CODE_REFUSED:
			return PNVS_FAULT_ROW;
		case PNVS_CODE_CREDENTIALS:
		case PNVS_CODE_ACCOUNT:
		case PNVS_CODE_ENDPOINT:
		case PNVS_CODE_CLOCK:
		case PNVS_CODE_TIME_STAMP:
			return PNVS_FAULT_EVERYBODY;
		case PNVS_CODE_THROTTLED:
		case PNVS_CODE_AMBIGUOUS:
		case PNVS_CODE_UNKNOWN:
			break;
	}
	return PNVS_FAULT_UNCLEAR;
}

static bool
code_fits(const char *code, const char *pattern)
{
	size_t		len = strlen(pattern);
	size_t		code_len = strlen(code);

	if (pattern[len - 1] == '*')
		return strncmp(code, pattern, len - 1) == 0;
	if (pattern[0] == '*')
		return code_len >= len - 1 && strcmp(code + code_len - (len - 1), pattern + 1) == 0;
	return strcmp(code, pattern) == 0;
}
