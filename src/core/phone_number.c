/*-------------------------------------------------------------------------
 *
 * phone_number.c
 *	  Normalising and masking phone numbers.
 *
 * A number is judged by the form that ITU-T E.164 gives it and by nothing
 * else: which ranges are in use changes from week to week, and the service
 * knows better.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <string.h>

#include "core/phone_number.h"

/* How much of a number a mask leaves in sight at its end, and what it hides. */
#define MASK_TAIL 2
#define MASK_HIDDEN 4

static bool is_digit(char c);
static bool is_separator(char c);
static PnvsPhoneNumberFault collect_digits(const char *text,
										   char out[PNVS_PHONE_NUMBER_SIZE],
										   size_t *ndigits);

/*
 * Writes the digits of a number that is given as people write it: with or
 * without a leading plus sign, with spaces, hyphens, dots and parentheses
 * between the digits.  out is a NUL-terminated string of 7 to 15 digits where
 * the result is PNVS_PHONE_NUMBER_OK, and an empty one otherwise.
 *
 * "(0)" is refused although dropping it would often be right: whoever wrote it
 * meant two numbers at once, and a guess could send a code to a stranger.
 */
PnvsPhoneNumberFault
pnvs_phone_number_normalise(const char *text, char out[PNVS_PHONE_NUMBER_SIZE])
{
	PnvsPhoneNumberFault fault;
	size_t		ndigits = 0;

	fault = collect_digits(text, out, &ndigits);
	if (fault == PNVS_PHONE_NUMBER_OK)
	{
		if (ndigits > 0 && out[0] == '0')
			fault = PNVS_PHONE_NUMBER_LEADING_ZERO;
		else if (ndigits < PNVS_PHONE_NUMBER_MIN_DIGITS)
			fault = PNVS_PHONE_NUMBER_TOO_SHORT;
	}
	out[fault == PNVS_PHONE_NUMBER_OK ? ndigits : 0] = '\0';
	return fault;
}

/*
 * Writes a number as it may be shown: "6281234567890" as "6281234****90".  The
 * argument is a normalised number; of anything shorter than one, nothing is
 * shown.
 */
void
pnvs_phone_number_mask(const char *digits, char out[PNVS_PHONE_NUMBER_SIZE])
{
	size_t		len = strlen(digits);

	if (len < PNVS_PHONE_NUMBER_MIN_DIGITS || len > PNVS_PHONE_NUMBER_MAX_DIGITS)
	{
		memcpy(out, "****", sizeof("****"));
		return;
	}
	memcpy(out, digits, len + 1);
	memset(out + len - MASK_TAIL - MASK_HIDDEN, '*', MASK_HIDDEN);
}

/* Not isdigit(), whose answer depends on the locale. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_separator(char c)
{
	return c == ' ' || c == '-' || c == '.' || c == '(' || c == ')';
}

/* Copies the digits of text to out, without a NUL. */
static PnvsPhoneNumberFault
collect_digits(const char *text, char out[PNVS_PHONE_NUMBER_SIZE], size_t *ndigits)
{
	bool		seen_plus = false;

	if (strstr(text, "(0)") != NULL)
		return PNVS_PHONE_NUMBER_TRUNK_PREFIX;

	for (; *text; text++)
	{
		if (is_digit(*text))
		{
			if (*ndigits == PNVS_PHONE_NUMBER_MAX_DIGITS)
				return PNVS_PHONE_NUMBER_TOO_LONG;
			out[(*ndigits)++] = *text;
		}
		else if (*text == '+')
		{
			if (seen_plus || *ndigits > 0)
				return PNVS_PHONE_NUMBER_MISPLACED_PLUS;
			seen_plus = true;
		}
		else if (!is_separator(*text))
			return PNVS_PHONE_NUMBER_BAD_CHARACTER;
	}
	return PNVS_PHONE_NUMBER_OK;
}
