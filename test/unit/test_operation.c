/*-------------------------------------------------------------------------
 *
 * test_operation.c
 *	  The table of operations, against a copy that was written from the
 *	  service's help pages.
 *
 *-------------------------------------------------------------------------
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "core/operation.h"
#include "tap.h"

struct expected_parameter
{
	int			index;			/* of the operation's enumeration */
	const char *name;
	bool		required;
	PnvsSensitivity sensitivity;
};

struct expected_operation
{
	PnvsOperationId id;
	const char *name;
	bool		sends_message;
	struct expected_parameter parameters[PNVS_MAX_PARAMETERS + 1];
};

static const struct expected_operation expected_operations[] = {
	{PNVS_START_VERIFICATION, "StartVerification", true, {
			{PNVS_START_CHANNEL, "Channel", true, PNVS_PLAIN},
			{PNVS_START_TO, "To", true, PNVS_PERSONAL},
			{PNVS_START_SERVICE_SID, "ServiceSid", true, PNVS_PLAIN},
	}},
	{PNVS_CHECK_VERIFICATION, "CheckVerification", false, {
			{PNVS_CHECK_CODE, "Code", true, PNVS_SECRET},
			{PNVS_CHECK_VERIFICATION_ID, "VerificationId", true, PNVS_PLAIN},
			{PNVS_CHECK_SERVICE_SID, "ServiceSid", false, PNVS_PLAIN},
			{PNVS_CHECK_TO, "To", false, PNVS_PERSONAL},
	}},
	{PNVS_SEARCH_VERIFICATION, "SearchVerification", false, {
			{PNVS_SEARCH_SERVICE_SID, "ServiceSid", false, PNVS_PLAIN},
			{PNVS_SEARCH_TO, "To", false, PNVS_PERSONAL},
			{PNVS_SEARCH_CODE, "Code", false, PNVS_SECRET},
			{PNVS_SEARCH_VERIFICATION_ID, "VerificationId", false, PNVS_PLAIN},
			{PNVS_SEARCH_SEND_DATE, "SendDate", false, PNVS_PLAIN},
			{PNVS_SEARCH_PAGE_SIZE, "PageSize", false, PNVS_PLAIN},
			{PNVS_SEARCH_CURRENT_PAGE, "CurrentPage", false, PNVS_PLAIN},
	}},
};

static void test_operation(const struct expected_operation *expected);
static void test_parameter(const PnvsOperation *operation,
						   const struct expected_parameter *expected);
static void test_order(const PnvsOperation *operation);
static void test_channels(void);
static void test_channel_locales(void);

int
main(void)
{
	tap_text(PNVS_API_VERSION, "2017-07-25", "the version of the API is the documented one");
	tap_int(PNVS_OPERATION_COUNT, (long long) TAP_LENGTH(expected_operations),
			"there are as many operations as are documented");
	for (size_t i = 0; i < TAP_LENGTH(expected_operations); i++)
		test_operation(&expected_operations[i]);
	test_channels();
	test_channel_locales();
	return tap_done();
}

static void
test_operation(const struct expected_operation *expected)
{
	const PnvsOperation *operation = pnvs_operation_get(expected->id);
	int			n = 0;

	tap_text(operation->name, expected->name, "%s has its name", expected->name);
	tap_int(operation->sends_message, expected->sends_message, "%s %s a message",
			expected->name, expected->sends_message ? "sends" : "does not send");
	for (; expected->parameters[n].name; n++)
		test_parameter(operation, &expected->parameters[n]);
	tap_int(operation->nparameters, n, "%s has %d parameters", expected->name, n);
	test_order(operation);
}

static void
test_parameter(const PnvsOperation *operation, const struct expected_parameter *expected)
{
	static const char *const words[] = {
		[PNVS_PLAIN] = "plain",[PNVS_PERSONAL] = "personal",[PNVS_SECRET] = "secret"
	};
	const PnvsParameter *parameter = &operation->parameters[expected->index];

	tap_text(parameter->name, expected->name, "%s: %s stands where its enumeration says",
			 operation->name, expected->name);
	tap_int(parameter->required, expected->required, "%s: %s is %s",
			operation->name, expected->name, expected->required ? "required" : "optional");
	tap_int(parameter->sensitivity, expected->sensitivity, "%s: %s is %s",
			operation->name, expected->name, words[expected->sensitivity]);
}

/* The order is that of the signature, so it is strict and of unsigned bytes. */
static void
test_order(const PnvsOperation *operation)
{
	bool		sorted = true;
	bool		named = true;

	for (int i = 0; i < operation->nparameters; i++)
	{
		named = named && operation->parameters[i].name != NULL;
		if (i > 0 && named)
			sorted = sorted && strcmp(operation->parameters[i - 1].name,
									  operation->parameters[i].name) < 0;
	}
	tap_ok(named, "%s: every parameter has a name", operation->name);
	tap_ok(sorted, "%s: the parameters are sorted by the bytes of their names",
		   operation->name);
}

static void
test_channels(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
	}			cases[] = {
		{"SMS", "SMS"}, {"sms", "SMS"}, {"sMs", "SMS"},
		{"VOICE", "VOICE"}, {"voice", "VOICE"},
		{"WHATSAPP", "WHATSAPP"}, {"whatsapp", "WHATSAPP"}, {"WhatsApp", "WHATSAPP"},
	};
	static const char *const refused[] = {
		"", " ", "SM", "SMSS", " SMS", "SMS ", "SMS\n", "S-S", "s\rs", "EMAIL", "VOICE,SMS",
		"VO\xC4\xB0" "CE", "vo\xC4\xB1" "ce", "what\xC5\xBF" "app", "\xFF\xFF\xFF",
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		tap_text(pnvs_operation_channel(cases[i].text), cases[i].expected,
				 "\"%s\" is the channel %s", cases[i].text, cases[i].expected);
	for (size_t i = 0; i < TAP_LENGTH(refused); i++)
		tap_text(pnvs_operation_channel(refused[i]), NULL, "\"%s\" is no channel", refused[i]);
	tap_int(pnvs_operation_channel_word("sms"), PNVS_SMS, "limits know \"sms\" as SMS");
	tap_int(pnvs_operation_channel_word("VOICE"), PNVS_VOICE, "and \"VOICE\" as VOICE");
	tap_text(pnvs_operation_channel_text(PNVS_WHATSAPP), "WHATSAPP", "whose text is the service's");
	tap_int(pnvs_operation_channel_word("WhatsApp"), PNVS_WHATSAPP, "and \"WhatsApp\" as WHATSAPP");
	tap_int(pnvs_operation_channel_word("any"), PNVS_ANY_CHANNEL, "and \"any\" as none of them");
}

/* In Turkish, a small "i" is not the small letter of "I".  Where it is installed. */
static void
test_channel_locales(void)
{
	static const char *const names[] = {"tr_TR.UTF-8", "tr_TR.ISO-8859-9", "C.UTF-8"};

	for (size_t i = 0; i < TAP_LENGTH(names); i++)
	{
		if (setlocale(LC_ALL, names[i]) != NULL)
			tap_text(pnvs_operation_channel("voice"), "VOICE",
					 "\"voice\" is a channel in the locale %s", names[i]);
	}
	setlocale(LC_ALL, "C");
}
