/*-------------------------------------------------------------------------
 *
 * test_phone_number.c
 *	  Normalising and masking.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/phone_number.h"
#include "exact.h"
#include "tap.h"

static void test_accepted(void);
static void test_refused(void);
static void test_every_byte(void);
static void test_mask(void);
static void test_mask_of_others(void);

int
main(void)
{
	test_accepted();
	test_refused();
	test_every_byte();
	test_mask();
	test_mask_of_others();
	return tap_done();
}

static void
test_accepted(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{"6281234567890", "6281234567890", "bare digits stay"},
		{"+6281234567890", "6281234567890", "a leading plus sign is dropped"},
		{"+62 812-3456-7890", "6281234567890", "spaces and hyphens are dropped"},
		{"+1 (415) 555.0100", "14155550100", "parentheses and dots are dropped"},
		{"  +62 812 34567890  ", "6281234567890", "spaces at both ends are dropped"},
		{"(+62) 81234567890", "6281234567890", "a plus sign may stand in parentheses"},
		{"-6281234567890-", "6281234567890", "hyphens at both ends are dropped"},
		{"(62)(81)(234567890)", "6281234567890", "parentheses may be many"},
		{"2907000", "2907000", "seven digits are enough"},
		{"123456789012345", "123456789012345", "fifteen digits are not too many"},
		{"+1-2-3-4-5-6-7-8-9-0-1-2-3-4-5", "123456789012345", "separators do not count as digits"},
		{"+62 (01) 2345678", "62012345678", "a zero that is not alone in parentheses stays"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);
		PnvsPhoneNumberFault fault = pnvs_phone_number_normalise(cases[i].text, out);

		tap_int(fault, PNVS_PHONE_NUMBER_OK, "\"%s\" is taken", cases[i].text);
		tap_text(out, cases[i].expected, "%s: \"%s\"", cases[i].sentence, cases[i].text);
		free(out);
	}
}

static void
test_refused(void)
{
	static const struct
	{
		const char *text;
		PnvsPhoneNumberFault expected;
		const char *sentence;
	}			cases[] = {
		{"", PNVS_PHONE_NUMBER_TOO_SHORT, "an empty text is too short"},
		{"   ", PNVS_PHONE_NUMBER_TOO_SHORT, "spaces alone are too short"},
		{"+", PNVS_PHONE_NUMBER_TOO_SHORT, "a plus sign alone is too short"},
		{"()", PNVS_PHONE_NUMBER_TOO_SHORT, "separators alone are too short"},
		{"123456", PNVS_PHONE_NUMBER_TOO_SHORT, "six digits are too short"},
		{"1234567890123456", PNVS_PHONE_NUMBER_TOO_LONG, "sixteen digits are too long"},
		{"12345678901234567890123456789012345678901234567890", PNVS_PHONE_NUMBER_TOO_LONG,
		"fifty digits are too long"},
		{"0812345678", PNVS_PHONE_NUMBER_LEADING_ZERO, "a calling code with a leading zero is refused"},
		{"+0812345678", PNVS_PHONE_NUMBER_LEADING_ZERO, "a leading zero is refused behind a plus sign"},
		{"00 62 812345678", PNVS_PHONE_NUMBER_LEADING_ZERO, "an international prefix is refused"},
		{"0", PNVS_PHONE_NUMBER_LEADING_ZERO, "a zero alone is a leading zero, not short"},
		{"+44 (0)20 7946 0958", PNVS_PHONE_NUMBER_TRUNK_PREFIX, "a trunk prefix is refused"},
		{"+44 20 7946 (0)", PNVS_PHONE_NUMBER_TRUNK_PREFIX, "a trunk prefix is refused at the end too"},
		{"(0)", PNVS_PHONE_NUMBER_TRUNK_PREFIX, "a trunk prefix is named before what else is wrong"},
		{"++6281234567890", PNVS_PHONE_NUMBER_MISPLACED_PLUS, "a second plus sign is refused"},
		{"+ +6281234567890", PNVS_PHONE_NUMBER_MISPLACED_PLUS, "a second plus sign is refused behind a space"},
		{"62+81234567890", PNVS_PHONE_NUMBER_MISPLACED_PLUS, "a plus sign between digits is refused"},
		{"6281234567890+", PNVS_PHONE_NUMBER_MISPLACED_PLUS, "a plus sign at the end is refused"},
		{"6281234567890x12", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an extension is refused"},
		{"6281234567890,6281234567891", PNVS_PHONE_NUMBER_BAD_CHARACTER, "two numbers are refused"},
		{"628123****890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a masked number is refused"},
		{"1-800-FLOWERS", PNVS_PHONE_NUMBER_BAD_CHARACTER, "letters are refused"},
		{"62\t81234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a tab is refused"},
		{"6281234567890\n", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a line break is refused"},
		{"tel:+6281234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a URI is refused"},
		{"6281\xE2\x80\x91" "234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a hyphen of Unicode is refused"},
		{"62\xC2\xA0" "81234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a space of Unicode is refused"},
		{"\xEF\xBC\x96\xEF\xBC\x92" "81234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER,
		"full-width digits are refused"},
		{"\xD9\xA6\xD9\xA2" "81234567890", PNVS_PHONE_NUMBER_BAD_CHARACTER, "Arabic-Indic digits are refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);

		tap_int(pnvs_phone_number_normalise(cases[i].text, out), cases[i].expected,
				"%s: \"%s\"", cases[i].sentence, cases[i].text);
		tap_text(out, "", "nothing is left of \"%s\"", cases[i].text);
		free(out);
	}
}

static void
test_every_byte(void)
{
	int			wrong = 0;

	for (int byte = 1; byte < 256; byte++)
	{
		char		text[] = "628?1234567";
		char		out[PNVS_PHONE_NUMBER_SIZE];
		PnvsPhoneNumberFault expected = PNVS_PHONE_NUMBER_BAD_CHARACTER;

		text[3] = (char) byte;
		if (strchr("0123456789 -.()", byte))
			expected = PNVS_PHONE_NUMBER_OK;
		else if (byte == '+')
			expected = PNVS_PHONE_NUMBER_MISPLACED_PLUS;
		if (pnvs_phone_number_normalise(text, out) != expected)
			wrong++;
	}
	tap_int(wrong, 0, "no byte but digits and five separators is taken between digits");
}

static void
test_mask(void)
{
	static const struct
	{
		const char *digits;
		const char *expected;
	}			cases[] = {
		{"1234567", "1****67"},
		{"12345678", "12****78"},
		{"123456789", "123****89"},
		{"1234567890", "1234****90"},
		{"12345678901", "12345****01"},
		{"123456789012", "123456****12"},
		{"6281234567890", "6281234****90"},
		{"12345678901234", "12345678****34"},
		{"123456789012345", "123456789****45"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *digits = exact_copy(cases[i].digits);
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);

		pnvs_phone_number_mask(digits, out);
		tap_text(out, cases[i].expected, "a number of %d digits hides four and shows the last two",
				 (int) strlen(digits));
		free(digits);
		free(out);
	}
}

static void
test_mask_of_others(void)
{
	static const char *const cases[] = {
		"", "1", "12", "123", "1234", "12345", "123456",
		"1234567890123456", "12345678901234567890123456789012345678901234567890"
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);

		pnvs_phone_number_mask(cases[i], out);
		tap_text(out, "****", "of a text of %d bytes, which is no number, nothing is shown",
				 (int) strlen(cases[i]));
		free(out);
	}
}
