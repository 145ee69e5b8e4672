/*-------------------------------------------------------------------------
 *
 * fuzz_number.c
 *	  Fuzzes phone numbers: whatever is accepted is 7 to 15 digits, has the
 *	  digits of its text and no trunk zero, means the same when it is read again,
 *	  and shows no more than its mask.  Cleans typed codes, too.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "core/unicode.h"
#include "fuzz.h"

static void check_cleaning(char *text);
static bool is_utf8(const char *text);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);
	char		number[PNVS_PHONE_NUMBER_SIZE];
	char		again[PNVS_PHONE_NUMBER_SIZE];
	char		mask[PNVS_PHONE_NUMBER_SIZE];
	const PnvsCallingCode *plan;

	if (pnvs_phone_number_normalise(text, number) == PNVS_PHONE_NUMBER_OK)
	{
		size_t		digits = strspn(number, "0123456789");

		FUZZ_ASSERT(number[digits] == '\0' && number[0] != '0');
		FUZZ_ASSERT(digits >= PNVS_PHONE_NUMBER_MIN_DIGITS &&
					digits <= PNVS_PHONE_NUMBER_MAX_DIGITS);
		FUZZ_ASSERT(pnvs_phone_number_normalise(number, again) == PNVS_PHONE_NUMBER_OK &&
					strcmp(number, again) == 0);
		pnvs_phone_number_mask(number, mask);
		FUZZ_ASSERT(strlen(mask) == digits && strstr(mask, "****") != NULL);

		/* However it was written, its digits are those of the text. */
		FUZZ_ASSERT(pnvs_phone_number_same_digits(text, number));
		plan = pnvs_calling_code_find(number);
		FUZZ_ASSERT(plan == NULL || strspn(number + pnvs_calling_code_len(plan), "0") <= plan->leading_zeros);
		FUZZ_ASSERT(pnvs_calling_code_region(number) == NULL || strlen(pnvs_calling_code_region(number)) == 2);
	}
	else
		FUZZ_ASSERT(number[0] == '\0');

	check_cleaning(text);
	free(text);
	return 0;
}

/* Cleaning a code leaves nothing to be cleaned, and of nothing nothing. */
static void
check_cleaning(char *text)
{
	size_t		len = strlen(text);
	bool		blank = pnvs_unicode_is_blank(text);
	bool		was_utf8 = is_utf8(text);
	char	   *cleaned;

	pnvs_unicode_clean_code(text);
	FUZZ_ASSERT(strlen(text) <= len && blank == (text[0] == '\0'));

	/* Of others, pieces of characters can come together. */
	if (!was_utf8)
		return;
	FUZZ_ASSERT(is_utf8(text));
	cleaned = fuzz_text((const unsigned char *) text, strlen(text));
	pnvs_unicode_clean_code(cleaned);
	FUZZ_ASSERT(strcmp(text, cleaned) == 0);
	free(cleaned);
}

static bool
is_utf8(const char *text)
{
	uint32_t	character;

	do
		text = pnvs_unicode_next(text, &character);
	while (character != 0 && character != PNVS_UNICODE_INVALID);
	return character == 0;
}
