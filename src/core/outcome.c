/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  Decides what became of a request from the HTTP status and the service's
 *	  error code.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "core/outcome.h"

typedef struct CodeRow
{
	const char *code;			/* '*' at an end stands for any characters */
	PnvsCodeGroup group;
} CodeRow;

/*
 * The service's error codes, from its help pages and those of Alibaba Cloud's
 * gateway.  The first row that fits counts, so exceptions stand before families.
 */
static const CodeRow code_rows[] = {
	{"OK", PNVS_CODE_OK},

	{"InvalidAccessKeyId*", PNVS_CODE_CREDENTIALS},
	/* this sentence is in the help page's column of codes */
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
	 * Each request has its own random nonce, so the service has received this
	 * very request before: something on the way delivered it twice, and the
	 * first copy may have been accepted.
	 */
	{"SignatureNonceUsed", PNVS_CODE_AMBIGUOUS},
	{"InternalError*", PNVS_CODE_AMBIGUOUS},
	{"ServiceUnavailable*", PNVS_CODE_AMBIGUOUS},
	/* the help pages have it with SMS_, VOICE_ and WHATSAPP_ */
	{"*SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS},
	/* undocumented, but their names say that the outcome is not known */
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

/*
 * What a group of codes means for the message and for the others.
 *
 * Throttling may be for the account or for this number, and nobody knows which: it
 * counts as an attempt of this message, which then pauses by itself, and does not
 * hold up the others.  An unknown code, and one by which the service does not know
 * itself, concerns this message alone as far as anybody can tell, but proves nothing.
 */
static const struct
{
	PnvsOutcome outcome;		/* of OK and UNKNOWN the HTTP status decides */
	PnvsCause	cause;
	PnvsFault	fault;
}			groups[] = {
	[PNVS_CODE_OK] = {PNVS_AMBIGUOUS, PNVS_CAUSE_NONE, PNVS_FAULT_NONE},
	[PNVS_CODE_REFUSED] = {PNVS_REFUSED, PNVS_CAUSE_NONE, PNVS_FAULT_MESSAGE},
	[PNVS_CODE_CREDENTIALS] = {PNVS_REFUSED, PNVS_CAUSE_CREDENTIALS, PNVS_FAULT_ALL},
	[PNVS_CODE_ACCOUNT] = {PNVS_REFUSED, PNVS_CAUSE_ACCOUNT, PNVS_FAULT_ALL},
	[PNVS_CODE_ENDPOINT] = {PNVS_REFUSED, PNVS_CAUSE_ENDPOINT, PNVS_FAULT_ALL},
	[PNVS_CODE_CLOCK] = {PNVS_REFUSED, PNVS_CAUSE_CLOCK, PNVS_FAULT_ALL},
	[PNVS_CODE_TIME_STAMP] = {PNVS_REFUSED, PNVS_CAUSE_CLOCK, PNVS_FAULT_ALL},
	[PNVS_CODE_THROTTLED] = {PNVS_THROTTLED, PNVS_CAUSE_THROTTLED, PNVS_FAULT_UNCLEAR},
	[PNVS_CODE_AMBIGUOUS] = {PNVS_AMBIGUOUS, PNVS_CAUSE_NONE, PNVS_FAULT_UNCLEAR},
	[PNVS_CODE_UNKNOWN] = {PNVS_AMBIGUOUS, PNVS_CAUSE_NONE, PNVS_FAULT_UNCLEAR},
};

static bool code_fits(const char *code, const char *pattern);

/* The stage's name for DETAIL; constant. */
const char *
pnvs_stage_name(PnvsStage stage)
{
	static const char *const names[] = {"resolve", "connect", "tls", "request", "reply"};

	return names[stage];
}

/* The group of a Code; PNVS_CODE_UNKNOWN for NULL and for undocumented codes. */
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

/* The outcome of a request without a readable reply. */
PnvsOutcome
pnvs_outcome_of_failure(bool maybe_sent)
{
	return maybe_sent ? PNVS_AMBIGUOUS : PNVS_UNSENT;
}

/*
 * The outcome of a request that the service answered with an HTTP status, a Code (or
 * NULL) and, if it said so, Success.
 *
 * Code or Success must report a success, and neither they nor the status may
 * contradict it; if they do, the outcome is ambiguous.  An unknown code is a
 * refusal, unless the status is 5xx: then the service does not know how far it got.
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
	if (group != PNVS_CODE_OK && group != PNVS_CODE_UNKNOWN)
		return groups[group].outcome;
	return http_status >= 500 ? PNVS_AMBIGUOUS : PNVS_REFUSED;
}

/*
 * Whether the service certainly has not carried a request out: it sent no message, or judged
 * no code.  A refusal with a Code that is not known proves nothing.
 */
bool
pnvs_outcome_came_to_nothing(PnvsOutcome outcome, PnvsCodeGroup group)
{
	switch (outcome)
	{
		case PNVS_UNSENT:
		case PNVS_THROTTLED:
			return true;
		case PNVS_REFUSED:
			return group != PNVS_CODE_UNKNOWN && group != PNVS_CODE_OK;
		case PNVS_ACCEPTED:
		case PNVS_AMBIGUOUS:
			break;
	}
	return false;
}

/* The reason that stops every message, if a Code of this group names one. */
PnvsCause
pnvs_cause_of_code(PnvsCodeGroup group)
{
	return groups[group].cause;
}

/*
 * The reason that stops every message, if a request that ended at this stage shows
 * one.  A connection that is refused, or whose handshake fails, fails for every
 * message; one that is lost after that concerns a single message.
 */
PnvsCause
pnvs_cause_of_stage(PnvsStage stage)
{
	static const PnvsCause causes[] = {
		[PNVS_STAGE_RESOLVE] = PNVS_CAUSE_RESOLVE,
		[PNVS_STAGE_CONNECT] = PNVS_CAUSE_CONNECT,
		[PNVS_STAGE_TLS] = PNVS_CAUSE_TLS,
		[PNVS_STAGE_REQUEST] = PNVS_CAUSE_NONE,
		[PNVS_STAGE_REPLY] = PNVS_CAUSE_NONE,
	};

	return causes[stage];
}

/* Whether a Code of this group concerns its message or all messages. */
PnvsFault
pnvs_fault_of_code(PnvsCodeGroup group)
{
	return groups[group].fault;
}

/*
 * Whether a Code says that the service never sends to this number by this channel, so that
 * another channel may reach it.  What it refuses as fraud, or for the number's or the
 * country's sake, must not go out as a dear voice call instead.
 */
bool
pnvs_code_refuses_channel(const char *code)
{
	return code != NULL && strcmp(code, "NOT_SUPPORTED_CHANNEL") == 0;
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
