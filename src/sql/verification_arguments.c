/*-------------------------------------------------------------------------
 *
 * verification_arguments.c
 *	  Checks the arguments of the functions for verifications from beginning to end.
 *
 * As in arguments.c: n is the argument's position, from 0, and no message holds the
 * argument.  Texts that pnvs keeps are in the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/calling_codes.h"
#include "core/channel_list.h"
#include "core/phone_number.h"
#include "core/verification.h"
#include "errcodes.h"
#include "sql/sql.h"

/* Purposes and references are words; a key is longer, and fits an index's page with room to spare. */
#define MAX_KEY_LEN 512

/* Fewer bytes, even random ones, can be guessed, and a counter or a number can, too. */
#define MIN_SESSION_KEY_LEN 16

/* Nobody types a code sooner, or, after PNVS_LONGEST_VALID_US, remembers what it was for. */
#define SHORTEST_VALID_US (60 * USECS_PER_SEC)

/* The ID of a verification, required. */
const pg_uuid_t *
pnvs_argument_phone_verification(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		(void) pnvs_argument_required(NULL, "id");
	return PG_GETARG_UUID_P(n);
}

/*
 * What a person has typed as the number that a message is to be sent to, required; as
 * digits, or NULL if it is no number that a message could reach.
 */
const char *
pnvs_argument_possible_recipient(FunctionCallInfo fcinfo, int n)
{
	char		digits[PNVS_PHONE_NUMBER_SIZE];
	const PnvsCallingCode *plan;
	const char *typed;

	if (PG_ARGISNULL(n))
		(void) pnvs_argument_required(NULL, "to");
	typed = pnvs_argument_utf8(text_to_cstring(PG_GETARG_TEXT_PP(n)));
	if (typed == NULL || pnvs_phone_number_normalise(typed, digits) != PNVS_PHONE_NUMBER_OK)
		return NULL;
	plan = pnvs_calling_code_find(digits);
	if (plan != NULL && (!pnvs_calling_code_fits(plan, digits) || pnvs_calling_code_is_premium(digits)))
		return NULL;
	return pstrdup(digits);
}

/* Different channels, required: one to three; their number. */
int
pnvs_argument_channels(FunctionCallInfo fcinfo, int n, PnvsChannelWord *channels, int max)
{
	ArrayType  *array;
	Datum	   *words;
	bool	   *nulls;
	int			nwords;
	uint32		seen = 0;
	bool		fits;

	if (PG_ARGISNULL(n))
		(void) pnvs_argument_required(NULL, "channels");
	array = PG_GETARG_ARRAYTYPE_P(n);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &words, &nulls, &nwords);
	fits = nwords >= 1 && nwords <= max;
	for (int i = 0; fits && i < nwords; i++)
	{
		channels[i] = nulls[i] ? PNVS_ANY_CHANNEL :
			pnvs_operation_channel_word(TextDatumGetCString(words[i]));
		fits = channels[i] != PNVS_ANY_CHANNEL && (seen & PNVS_CHANNEL_BIT(channels[i])) == 0;
		seen |= PNVS_CHANNEL_BIT(channels[i]);
	}
	if (!fits)
		pnvs_argument_refuse("invalid channels", "Pass one to three different channels: SMS, VOICE and WHATSAPP.");
	return nwords;
}

/* A text that is kept beside a verification or a message, such as a purpose, or NULL. */
const char *
pnvs_argument_kept_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	const char *value = PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (value != NULL && (value[0] == '\0' || strlen(value) > MAX_KEY_LEN))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s", name),
				 errhint("It must have 1 to 512 bytes; NULL means none."),
				 pnvs_errhide()));
	return value;
}

/* A key of the person's session, which nobody else can guess, or NULL. */
const char *
pnvs_argument_session_key(FunctionCallInfo fcinfo, int n)
{
	const char *key = pnvs_argument_kept_text(fcinfo, n, "session_key");

	if (key != NULL && strlen(key) < MIN_SESSION_KEY_LEN)
		pnvs_argument_refuse("invalid session_key",
							 "It must have at least 16 bytes, and be a secret that nobody can guess: whoever knows it continues the verification. NULL means none.");
	return key;
}

/* For how long a verification lives, required; in us. */
int64
pnvs_argument_valid_for(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		valid_for_us = pnvs_argument_end(fcinfo, n, "valid_for", now) - now;

	if (valid_for_us < SHORTEST_VALID_US || valid_for_us > PNVS_LONGEST_VALID_US)
		pnvs_argument_refuse("invalid valid_for", "Pass an interval from 1 minute to 1 hour.");
	return valid_for_us;
}
