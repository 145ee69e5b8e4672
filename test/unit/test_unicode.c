/*-------------------------------------------------------------------------
 *
 * test_unicode.c
 *	  Digits, white space and invisible characters; typed codes.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/unicode.h"
#include "exact.h"
#include "tap.h"

static void test_next(void);
static void test_digits(void);
static void test_blank(void);
static void test_codes(void);

int
main(void)
{
	test_next();
	test_digits();
	test_blank();
	test_codes();
	return tap_done();
}

static void
test_next(void)
{
	static const struct
	{
		const char *text;
		uint32_t	expected;
		int			length;
		const char *sentence;
	}			cases[] = {
		{"", 0, 0, "the end is not passed"},
		{"a", 'a', 1, "ASCII is itself"},
		{"\xC2\x80", 0x80, 2, "two bytes"},
		{"\xE2\x80\x8E", 0x200E, 3, "three bytes"},
		{"\xF0\x9D\x9F\x8E", 0x1D7CE, 4, "four bytes"},
		{"\xF4\x8F\xBF\xBF", 0x10FFFF, 4, "the last one"},
		{"\x80", PNVS_UNICODE_INVALID, 1, "a byte that continues nothing"},
		{"\xC2", PNVS_UNICODE_INVALID, 1, "the first of two bytes"},
		{"\xE2\x80", PNVS_UNICODE_INVALID, 1, "two of three bytes"},
		{"\xF0\x9D\x9F", PNVS_UNICODE_INVALID, 1, "three of four bytes"},
		{"\xC1\xBF", PNVS_UNICODE_INVALID, 1, "two bytes for what has one"},
		{"\xE0\x9F\xBF", PNVS_UNICODE_INVALID, 1, "three bytes for what has two"},
		{"\xF0\x8F\xBF\xBF", PNVS_UNICODE_INVALID, 1, "four bytes for what has three"},
		{"\xED\xA0\x80", PNVS_UNICODE_INVALID, 1, "half a surrogate pair"},
		{"\xF4\x90\x80\x80", PNVS_UNICODE_INVALID, 1, "more than the last one"},
		{"\xF8\x88\x80\x80\x80", PNVS_UNICODE_INVALID, 1, "five bytes"},
		{"\xFF", PNVS_UNICODE_INVALID, 1, "a byte that begins nothing"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		uint32_t	character;

		tap_int(pnvs_unicode_next(text, &character) - text, cases[i].length, "%s: how far it reads",
				cases[i].sentence);
		tap_int(character, cases[i].expected, "%s: what it reads", cases[i].sentence);
		free(text);
	}
}

static void
test_digits(void)
{
	static const uint32_t zeros[] = {'0', 0x660, 0x6F0, 0x966, 0xE50, 0xFF10, 0x1D7CE, 0x1D7F6, 0x1FBF0};
	int			count = 0;

	for (size_t i = 0; i < TAP_LENGTH(zeros); i++)
	{
		tap_int(pnvs_unicode_digit(zeros[i]), 0, "U+%04X is a zero", (unsigned int) zeros[i]);
		tap_int(pnvs_unicode_digit(zeros[i] + 9), 9, "U+%04X is a nine", (unsigned int) zeros[i] + 9);
	}
	for (uint32_t character = 0; character <= 0x10FFFF; character++)
		count += pnvs_unicode_digit(character) >= 0;
	tap_int(count, 680, "Unicode 15 has 680 decimal digits");
	tap_int(pnvs_unicode_digit(0xB2), -1, "a superscript is no decimal digit");
	tap_int(pnvs_unicode_digit(0x2460), -1, "a digit in a circle is no decimal digit");
	tap_int(pnvs_unicode_digit('a'), -1, "a letter is no digit");
}

static void
test_blank(void)
{
	static const char *const blank[] = {
		"", " ", "\t\r\n", "\xC2\xA0", "\xE2\x80\x8B\xE2\x81\xA0", "\xE3\x80\x80 \xEF\xBB\xBF"
	};
	static const char *const visible[] = {"0", " .", "\xC2\xA0x", "-", "\xFF", " \xE2\x80"};

	for (size_t i = 0; i < TAP_LENGTH(blank); i++)
		tap_ok(pnvs_unicode_is_blank(blank[i]), "white space and marks are blank (%d)", (int) i);
	for (size_t i = 0; i < TAP_LENGTH(visible); i++)
		tap_ok(!pnvs_unicode_is_blank(visible[i]), "what can be seen is not blank (%d)", (int) i);
}

static void
test_codes(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{"123456", "123456", "digits stay"},
		{" 123 456\r\n", "123456", "white space is dropped"},
		{"123\xC2\xA0" "456\xE3\x80\x80", "123456", "spaces of Unicode are dropped"},
		{"\xE2\x80\xAA" "123456\xE2\x80\xAC", "123456", "marks of direction are dropped"},
		{"\xEF\xBB\xBF" "123\xE2\x80\x8B" "456", "123456", "what nobody sees is dropped"},
		{"\xEF\xBC\x91\xEF\xBC\x92\xEF\xBC\x93", "123", "full-width digits become ASCII"},
		{"\xD9\xA1\xDB\xB2\xE0\xA5\xA9", "123", "Arabic, Persian and Indian digits become ASCII"},
		{"\xF0\x9D\x9F\x8F", "1", "mathematical digits become ASCII"},
		{"ab-\xC3\xA9/+", "ab-\xC3\xA9/+", "all else stays"},
		{"\xEF\xBC\xA1", "\xEF\xBC\xA1", "full-width letters stay"},
		{"1\xFF\xE2\x80", "1\xFF\xE2\x80", "bytes that are no UTF-8 stay"},
		{" \t\xE2\x80\x8B", "", "of nothing nothing is left"},
		{"", "", "of an empty text nothing is left"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);

		pnvs_unicode_clean_code(text);
		tap_text(text, cases[i].expected, "%s", cases[i].sentence);
		free(text);
	}
}
