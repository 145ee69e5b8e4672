/*-------------------------------------------------------------------------
 *
 * test_phone_number.c
 *	  Normalising, comparing and masking.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/phone_number.h"
#include "exact.h"
#include "spellings.h"
#include "tap.h"

static void test_spellings(void);
static void test_forms(void);
static void test_same_digits(void);
static void test_every_byte(void);
static void test_mask(void);
static void test_mask_of_others(void);

int
main(void)
{
	test_spellings();
	test_forms();
	test_same_digits();
	test_every_byte();
	test_mask();
	test_mask_of_others();
	return tap_done();
}

/* The table that test/t/025_numbers.pl shows to the SQL functions, too. */
static void
test_spellings(void)
{
	tap_ok(TAP_LENGTH(spellings) >= 37, "there are at least 37 spellings");
	for (size_t i = 0; i < TAP_LENGTH(spellings); i++)
	{
		char	   *text = exact_copy(spellings[i].text);
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);

		tap_int(pnvs_phone_number_normalise(text, out), spellings[i].fault,
				"%s: it is %s", spellings[i].what,
				spellings[i].fault == PNVS_PHONE_NUMBER_OK ? "taken" : "refused for what it is");
		tap_text(out, spellings[i].digits, "%s: its digits", spellings[i].what);
		free(text);
		free(out);
	}
}

/* Forms that nobody pastes. */
static void
test_forms(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
		PnvsPhoneNumberFault fault;
		const char *sentence;
	}			cases[] = {
		{"-6281234567890-", "6281234567890", PNVS_PHONE_NUMBER_OK, "hyphens at both ends are dropped"},
		{"(62)(81)(234567890)", "6281234567890", PNVS_PHONE_NUMBER_OK, "parentheses may be many"},
		{"2907000", "2907000", PNVS_PHONE_NUMBER_OK, "seven digits are enough"},
		{"123456789012345", "123456789012345", PNVS_PHONE_NUMBER_OK, "fifteen digits are not too many"},
		{"+1-2-3-4-5-6-7-8-9-1-1-2-3-4-5", "123456789112345", PNVS_PHONE_NUMBER_OK,
		"separators do not count as digits"},
		{"2100000000", "2100000000", PNVS_PHONE_NUMBER_OK, "zeros stay behind a code that is not assigned"},
		{"992001234567", "992001234567", PNVS_PHONE_NUMBER_OK, "two zeros belong to numbers of Tajikistan"},
		{"9920001234567", "", PNVS_PHONE_NUMBER_TRUNK_ZERO, "three belong to none"},
		{"6281.7000.0.0", "6281700000", PNVS_PHONE_NUMBER_OK, "of several dots none is a decimal point"},
		{"+", "", PNVS_PHONE_NUMBER_TOO_SHORT, "a plus sign alone is too short"},
		{"()", "", PNVS_PHONE_NUMBER_TOO_SHORT, "separators alone are too short"},
		{"tel:", "", PNVS_PHONE_NUMBER_TOO_SHORT, "a scheme alone is too short"},
		{"te", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "half a scheme is letters"},
		{"x12", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an extension of nothing is letters"},
		{"6281234567890e", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an E without digits is a letter"},
		{"6281234567890E+", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an E with a sign alone is a letter"},
		{"6281234567890E5x", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an E with digits and more is a letter"},
		{"12345678901234567890123456789012345678901234567890", "", PNVS_PHONE_NUMBER_TOO_LONG,
		"fifty digits are too long"},
		{"1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 (0)", "",
		PNVS_PHONE_NUMBER_TOO_LONG, "gaps behind the last digit that fits are counted nowhere"},
		{"0", "", PNVS_PHONE_NUMBER_LEADING_ZERO, "a zero alone is a leading zero, not short"},
		{"00", "", PNVS_PHONE_NUMBER_INTERNATIONAL_PREFIX, "two zeros are an international prefix"},
		{"+44 20 7946 (0)", "", PNVS_PHONE_NUMBER_TRUNK_PREFIX, "a trunk prefix is refused at the end too"},
		{"(0)", "", PNVS_PHONE_NUMBER_TRUNK_PREFIX, "a trunk prefix is named before what else is wrong"},
		{"6281234567890+", "", PNVS_PHONE_NUMBER_MISPLACED_PLUS, "a plus sign at the end is refused"},
		{"6281234567890\xC2", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "half a character is refused"},
		{"628123456789\xC0\xB0", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "an overlong digit is refused"},
		{"62812345678\xED\xA0\x80", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "half a surrogate pair is refused"},
		{"6281234567890\xFF", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "a byte that begins nothing is refused"},
		{"62812345678\xF4\x90\x80\x80", "", PNVS_PHONE_NUMBER_BAD_CHARACTER, "more than Unicode is refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		char	   *out = exact_alloc(PNVS_PHONE_NUMBER_SIZE);

		tap_int(pnvs_phone_number_normalise(text, out), cases[i].fault, "%s: \"%s\"",
				cases[i].sentence, cases[i].text);
		tap_text(out, cases[i].expected, "what is left of \"%s\"", cases[i].text);
		free(text);
		free(out);
	}
}

static void
test_same_digits(void)
{
	static const struct
	{
		const char *one;
		const char *other;
		bool		expected;
		const char *sentence;
	}			cases[] = {
		{"6281234567890", "+62 (812) 3456-7890", true, "separators change no digits"},
		{"6281234567890", "\xEF\xBC\x96\xEF\xBC\x92" "81234567890", true, "full-width digits are the same"},
		{"", "", true, "nothing is the same as nothing"},
		{"none", "", true, "letters are no digits"},
		{"6281234567890", "6281234567891", false, "another digit is another number"},
		{"6281234567890", "628123456789", false, "a digit less is another number"},
		{"6281234567890", "62812345678900", false, "a digit more is another number"},
		{"none", "6281234567890", false, "a number is another than none"},
		{"12", "21", false, "the order counts"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		tap_int(pnvs_phone_number_same_digits(cases[i].one, cases[i].other), cases[i].expected,
				"%s", cases[i].sentence);
		tap_int(pnvs_phone_number_same_digits(cases[i].other, cases[i].one), cases[i].expected,
				"%s, the other way round", cases[i].sentence);
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
		if (strchr("0123456789 -.()[]", byte))
			expected = PNVS_PHONE_NUMBER_OK;
		else if (byte == '+')
			expected = PNVS_PHONE_NUMBER_MISPLACED_PLUS;
		else if (strchr("xX#;", byte))
			expected = PNVS_PHONE_NUMBER_EXTENSION;
		else if (strchr("eE", byte))
			expected = PNVS_PHONE_NUMBER_DECIMAL;
		if (pnvs_phone_number_normalise(text, out) != expected)
			wrong++;
	}
	tap_int(wrong, 0, "no byte but digits and seven separators is taken between digits");
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
