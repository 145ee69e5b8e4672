/*-------------------------------------------------------------------------
 *
 * test_outcome.c
 *	  What became of a request, for every documented code and every stage.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "core/outcome.h"
#include "tap.h"

static const char *const outcome_names[] = {
	[PNVS_ACCEPTED] = "accepted",[PNVS_REFUSED] = "refused",[PNVS_THROTTLED] = "throttled",
	[PNVS_UNSENT] = "unsent",[PNVS_AMBIGUOUS] = "ambiguous"
};

static void test_codes(void);
static void test_unknown_codes(void);
static void test_success(void);
static void test_stages(void);
static void test_faults(void);
static void test_channels(void);

int
main(void)
{
	test_codes();
	test_unknown_codes();
	test_success();
	test_stages();
	test_faults();
	test_channels();
	return tap_done();
}

/* The service's codes and the gateway's, with an HTTP status of any kind. */
static void
test_codes(void)
{
	static const struct
	{
		const char *code;
		PnvsCodeGroup group;
		PnvsOutcome outcome;
	}			cases[] = {
		{"INVALID_PARAMETERS", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"Invalid.Parameters", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"MOBILE_NUMBER_ILLEGAL", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"NOT_SUPPORTED_CHANNEL", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"COUNTRY_BLACKLISTED", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"BIZ_NOT_OPEN_STATUS", PNVS_CODE_ACCOUNT, PNVS_REFUSED},
		{"SECURITY_INTERCEPTED", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"RESOURCE_NOT_ENOUGH", PNVS_CODE_ACCOUNT, PNVS_REFUSED},
		{"isp.VERIFY_SCHEME_NOT_EXIST", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"MissingParameter", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"MissingTo", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"MissingSecurityToken", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"Specified AccessKeyId is not found", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"Specified AccessKeyId is not found.", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"Missing", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"InvalidParameter", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"InvalidParameter.To", PNVS_CODE_REFUSED, PNVS_REFUSED},
		{"InvalidApi.NotFound", PNVS_CODE_ENDPOINT, PNVS_REFUSED},
		{"InvalidProduct.NotFound", PNVS_CODE_ENDPOINT, PNVS_REFUSED},
		{"InvalidProtocol.NeedSsl", PNVS_CODE_ENDPOINT, PNVS_REFUSED},
		{"InsufficientBalance", PNVS_CODE_ACCOUNT, PNVS_REFUSED},

		{"InvalidAccessKeyId.NotFound", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"InvalidAccessKeyId.Inactive", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"InvalidSecurityToken.Expired", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"InvalidSecurityToken.Malformed", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"InvalidSecurityToken.MismatchWithAccessKey", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"SignatureDoesNotMatch", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"IncompleteSignature", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"Forbidden.RAM", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},
		{"Forbidden.RiskControl", PNVS_CODE_CREDENTIALS, PNVS_REFUSED},

		{"InvalidTimeStamp.Expired", PNVS_CODE_CLOCK, PNVS_REFUSED},
		{"InvalidTimeStamp.Format", PNVS_CODE_TIME_STAMP, PNVS_REFUSED},
		{"SignatureNonceUsed", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},

		{"Throttling", PNVS_CODE_THROTTLED, PNVS_THROTTLED},
		{"Throttling.User", PNVS_CODE_THROTTLED, PNVS_THROTTLED},
		{"Throttling.Api", PNVS_CODE_THROTTLED, PNVS_THROTTLED},
		{"SENTINEL_BLOCK_EXCEPTION", PNVS_CODE_THROTTLED, PNVS_THROTTLED},

		{"InternalError", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"InternalError.Unknown", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"ServiceUnavailable", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"ServiceUnavailable.Backend", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"SMS_SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"VOICE_SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"WHATSAPP_SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"isp.SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"SYSTEM_ERROR", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"ServiceUnavailableTemporary", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"Backend.SystemError", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"ServiceTimeout", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
		{"UnknownError", PNVS_CODE_AMBIGUOUS, PNVS_AMBIGUOUS},
	};
	static const int statuses[] = {200, 400, 403, 404, 429, 500, 503};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		int			other = 0;

		tap_int(pnvs_code_group(cases[i].code), cases[i].group, "%s is in its group",
				cases[i].code);
		for (size_t j = 0; j < TAP_LENGTH(statuses); j++)
			other += pnvs_outcome_of_reply(statuses[j], cases[i].code, PNVS_FALSE) !=
				cases[i].outcome;
		tap_int(other, 0, "%s is %s, whatever the HTTP status", cases[i].code,
				outcome_names[cases[i].outcome]);
	}
}

static void
test_unknown_codes(void)
{
	static const char *const codes[] = {
		"", "NoSuchCode", "OKAY", "ok", "O", "Throttlin", "ThrottlingX", "throttling",
		"SENTINEL_BLOCK_EXCEPTION2", "InternalErro", "XInternalError", "InvalidTimeStamp",
		"InvalidAccessKey", "InvalidSecurity", "Forbid", "SignatureNonceUse",
		"Invalid", "isp.", "*", "missing", "InvalidParamete",
	};

	for (size_t i = 0; i < TAP_LENGTH(codes); i++)
	{
		tap_int(pnvs_code_group(codes[i]), PNVS_CODE_UNKNOWN, "\"%s\" is unknown", codes[i]);
		tap_int(pnvs_outcome_of_reply(400, codes[i], PNVS_FALSE), PNVS_REFUSED,
				"\"%s\" with a 4xx status is refused", codes[i]);
		tap_int(pnvs_outcome_of_reply(502, codes[i], PNVS_FALSE), PNVS_AMBIGUOUS,
				"\"%s\" with a 5xx status is ambiguous", codes[i]);
	}
	tap_int(pnvs_outcome_of_reply(200, "NoSuchCode", PNVS_FALSE), PNVS_REFUSED,
			"an unknown code with status 200 is refused");
	tap_int(pnvs_outcome_of_reply(499, "NoSuchCode", PNVS_FALSE), PNVS_REFUSED,
			"an unknown code with the last 4xx status is refused");
	tap_int(pnvs_outcome_of_reply(500, "NoSuchCode", PNVS_FALSE), PNVS_AMBIGUOUS,
			"an unknown code with the first 5xx status is ambiguous");
	tap_int(pnvs_code_group(NULL), PNVS_CODE_UNKNOWN, "no code at all is unknown");
	tap_int(pnvs_outcome_of_reply(503, NULL, PNVS_FALSE), PNVS_AMBIGUOUS,
			"no code with a 5xx status is ambiguous");
}

static void
test_success(void)
{
	tap_int(pnvs_code_group("OK"), PNVS_CODE_OK, "OK is in its group");
	tap_int(pnvs_outcome_of_reply(200, "OK", PNVS_TRUE), PNVS_ACCEPTED, "a success is accepted");
	tap_int(pnvs_outcome_of_reply(200, NULL, PNVS_TRUE), PNVS_ACCEPTED,
			"a success without a code is accepted");
	tap_int(pnvs_outcome_of_reply(200, "OK", PNVS_FALSE), PNVS_REFUSED,
			"a failure whose code is OK is refused");
	tap_int(pnvs_outcome_of_reply(500, "OK", PNVS_FALSE), PNVS_AMBIGUOUS,
			"a failure whose code is OK is ambiguous with a 5xx status");
	tap_int(pnvs_outcome_of_reply(200, "OK", PNVS_UNKNOWN), PNVS_ACCEPTED,
			"OK without a word on success is accepted");
	tap_int(pnvs_outcome_of_reply(404, "OK", PNVS_UNKNOWN), PNVS_AMBIGUOUS,
			"OK with a 4xx status is ambiguous");
	tap_int(pnvs_outcome_of_reply(404, "OK", PNVS_TRUE), PNVS_AMBIGUOUS,
			"a success with a 4xx status is ambiguous");
	tap_int(pnvs_outcome_of_reply(200, "MOBILE_NUMBER_ILLEGAL", PNVS_TRUE),
			PNVS_AMBIGUOUS, "a success with another code than OK is ambiguous");
	tap_int(pnvs_outcome_of_reply(200, "NoSuchCode", PNVS_TRUE), PNVS_AMBIGUOUS,
			"a success with an unknown code is ambiguous");
	tap_int(pnvs_outcome_of_reply(400, "MOBILE_NUMBER_ILLEGAL", PNVS_UNKNOWN),
			PNVS_REFUSED, "a gateway's refusal has no word on success");
}

static void
test_stages(void)
{
	static const struct
	{
		PnvsStage	stage;
		const char *name;
	}			cases[] = {
		{PNVS_STAGE_RESOLVE, "resolve"},
		{PNVS_STAGE_CONNECT, "connect"},
		{PNVS_STAGE_TLS, "tls"},
		{PNVS_STAGE_REQUEST, "request"},
		{PNVS_STAGE_REPLY, "reply"},
	};

	tap_int(pnvs_outcome_of_failure(false), PNVS_UNSENT,
			"a failure before anything can have arrived is unsent");
	tap_int(pnvs_outcome_of_failure(true), PNVS_AMBIGUOUS,
			"a failure after something may have arrived is ambiguous");

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		tap_text(pnvs_stage_name(cases[i].stage), cases[i].name, "the stage %s has its name",
				 cases[i].name);
		if (i > 0)
			tap_ok(cases[i - 1].stage < cases[i].stage, "the stage %s follows %s",
				   cases[i].name, cases[i - 1].name);
	}
}

/* Whose fault it was, and what has to be mended. */
static void
test_faults(void)
{
	static const struct
	{
		const char *code;
		PnvsFault	fault;
		PnvsCause	cause;
	}			cases[] = {
		{"OK", PNVS_FAULT_NONE, PNVS_CAUSE_NONE},
		{"MOBILE_NUMBER_ILLEGAL", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"COUNTRY_BLACKLISTED", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"SECURITY_INTERCEPTED", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"NOT_SUPPORTED_CHANNEL", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"isp.VERIFY_SCHEME_NOT_EXIST", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"INVALID_PARAMETERS", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"MissingTo", PNVS_FAULT_MESSAGE, PNVS_CAUSE_NONE},
		{"SignatureDoesNotMatch", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"IncompleteSignature", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"InvalidSecurityToken.Expired", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"InvalidAccessKeyId.NotFound", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"InvalidAccessKeyId.Inactive", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"Specified AccessKeyId is not found", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"Forbidden.RAM", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"Forbidden.RiskControl", PNVS_FAULT_ALL, PNVS_CAUSE_CREDENTIALS},
		{"BIZ_NOT_OPEN_STATUS", PNVS_FAULT_ALL, PNVS_CAUSE_ACCOUNT},
		{"InsufficientBalance", PNVS_FAULT_ALL, PNVS_CAUSE_ACCOUNT},
		{"RESOURCE_NOT_ENOUGH", PNVS_FAULT_ALL, PNVS_CAUSE_ACCOUNT},
		{"InvalidApi.NotFound", PNVS_FAULT_ALL, PNVS_CAUSE_ENDPOINT},
		{"InvalidProduct.NotFound", PNVS_FAULT_ALL, PNVS_CAUSE_ENDPOINT},
		{"InvalidProtocol.NeedSsl", PNVS_FAULT_ALL, PNVS_CAUSE_ENDPOINT},
		{"InvalidTimeStamp.Expired", PNVS_FAULT_ALL, PNVS_CAUSE_CLOCK},
		{"InvalidTimeStamp.Format", PNVS_FAULT_ALL, PNVS_CAUSE_CLOCK},
		{"Throttling.User", PNVS_FAULT_UNCLEAR, PNVS_CAUSE_THROTTLED},
		{"SENTINEL_BLOCK_EXCEPTION", PNVS_FAULT_UNCLEAR, PNVS_CAUSE_THROTTLED},
		{"SignatureNonceUsed", PNVS_FAULT_UNCLEAR, PNVS_CAUSE_NONE},
		{"SMS_SYSTEM_ERROR", PNVS_FAULT_UNCLEAR, PNVS_CAUSE_NONE},
		{"NoSuchCode", PNVS_FAULT_UNCLEAR, PNVS_CAUSE_NONE},
	};
	static const PnvsCause of_stages[] = {
		[PNVS_STAGE_RESOLVE] = PNVS_CAUSE_RESOLVE,[PNVS_STAGE_CONNECT] = PNVS_CAUSE_CONNECT,
		[PNVS_STAGE_TLS] = PNVS_CAUSE_TLS,[PNVS_STAGE_REQUEST] = PNVS_CAUSE_NONE,
		[PNVS_STAGE_REPLY] = PNVS_CAUSE_NONE,
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		PnvsCodeGroup group = pnvs_code_group(cases[i].code);

		tap_int(pnvs_fault_of_code(group), cases[i].fault, "%s is whose fault it should be",
				cases[i].code);
		tap_int(pnvs_cause_of_code(group), cases[i].cause, "%s has its cause", cases[i].code);
	}
	for (size_t i = 0; i < TAP_LENGTH(of_stages); i++)
		tap_int(pnvs_cause_of_stage((PnvsStage) i), of_stages[i], "what ends at the stage %s has its cause",
				pnvs_stage_name((PnvsStage) i));
}

static void
test_channels(void)
{
	static const char *const others[] = {
		"OK", "MOBILE_NUMBER_ILLEGAL", "COUNTRY_BLACKLISTED", "SECURITY_INTERCEPTED",
		"isp.VERIFY_SCHEME_NOT_EXIST", "RESOURCE_NOT_ENOUGH", "Throttling.User",
		"SMS_SYSTEM_ERROR", "Forbidden.RAM", "NOT_SUPPORTED_CHANNEL2", "not_supported_channel", "",
		"Local.ChannelNotAllowed",
	};

	tap_ok(pnvs_code_refuses_channel("NOT_SUPPORTED_CHANNEL"),
		   "NOT_SUPPORTED_CHANNEL refuses the channel for good");
	for (size_t i = 0; i < TAP_LENGTH(others); i++)
		tap_ok(!pnvs_code_refuses_channel(others[i]), "\"%s\" does not", others[i]);
	tap_ok(!pnvs_code_refuses_channel(NULL), "no Code does not, either");
}
