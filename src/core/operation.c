/*-------------------------------------------------------------------------
 *
 * operation.c
 *	  The table of the service's operations, and of its channels.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/ascii.h"
#include "core/operation.h"

static const PnvsOperation operations[PNVS_OPERATION_COUNT] = {
	[PNVS_START_VERIFICATION] = {
		.name = "StartVerification",
		.sends_message = true,
		.nparameters = 3,
		.parameters = {
			[PNVS_START_CHANNEL] = {"Channel", true, PNVS_PLAIN},
			[PNVS_START_SERVICE_SID] = {"ServiceSid", true, PNVS_PLAIN},
			[PNVS_START_TO] = {"To", true, PNVS_PERSONAL},
		},
	},
	[PNVS_CHECK_VERIFICATION] = {
		.name = "CheckVerification",
		.nparameters = 4,
		.parameters = {
			[PNVS_CHECK_CODE] = {"Code", true, PNVS_SECRET},
			[PNVS_CHECK_SERVICE_SID] = {"ServiceSid", false, PNVS_PLAIN},
			[PNVS_CHECK_TO] = {"To", false, PNVS_PERSONAL},
			[PNVS_CHECK_VERIFICATION_ID] = {"VerificationId", true, PNVS_PLAIN},
		},
	},
	[PNVS_SEARCH_VERIFICATION] = {
		.name = "SearchVerification",
		.nparameters = 7,
		.parameters = {
			[PNVS_SEARCH_CODE] = {"Code", false, PNVS_SECRET},
			[PNVS_SEARCH_CURRENT_PAGE] = {"CurrentPage", false, PNVS_PLAIN},
			[PNVS_SEARCH_PAGE_SIZE] = {"PageSize", false, PNVS_PLAIN},
			[PNVS_SEARCH_SEND_DATE] = {"SendDate", false, PNVS_PLAIN},
			[PNVS_SEARCH_SERVICE_SID] = {"ServiceSid", false, PNVS_PLAIN},
			[PNVS_SEARCH_TO] = {"To", false, PNVS_PERSONAL},
			[PNVS_SEARCH_VERIFICATION_ID] = {"VerificationId", false, PNVS_PLAIN},
		},
	},
};

/* The channels of StartVerification. */
static const char *const channels[PNVS_CHANNEL_WORD_COUNT] = {
	[PNVS_SMS] = "SMS",
	[PNVS_VOICE] = "VOICE",
	[PNVS_WHATSAPP] = "WHATSAPP",
};

static bool equals_ignoring_case(const char *text, const char *other);

/* The table's entry of an operation; constant, never NULL. */
const PnvsOperation *
pnvs_operation_get(PnvsOperationId id)
{
	return &operations[id];
}

/* The service's spelling of a channel in any letter case, or NULL; constant. */
const char *
pnvs_operation_channel(const char *text)
{
	return channels[pnvs_operation_channel_word(text)];
}

/* A channel in any letter case, as the rules of limits know it; PNVS_ANY_CHANNEL: none. */
PnvsChannelWord
pnvs_operation_channel_word(const char *text)
{
	for (int word = PNVS_SMS; word < PNVS_CHANNEL_WORD_COUNT; word++)
	{
		if (equals_ignoring_case(text, channels[word]))
			return (PnvsChannelWord) word;
	}
	return PNVS_ANY_CHANNEL;
}

/* The service's spelling of a channel; NULL for PNVS_ANY_CHANNEL.  Constant. */
const char *
pnvs_operation_channel_text(PnvsChannelWord word)
{
	return channels[word];
}

/* Not strcasecmp(), whose answer depends on the locale (Turkish i). */
static bool
equals_ignoring_case(const char *text, const char *other)
{
	for (; *text && *other; text++, other++)
	{
		if (pnvs_ascii_lower(*text) != pnvs_ascii_lower(*other))
			return false;
	}
	return *text == *other;
}
