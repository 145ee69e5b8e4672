/*-------------------------------------------------------------------------
 *
 * test_redaction.c
 *	  What is hidden in a text of the service, and what is not.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/redaction.h"
#include "exact.h"
#include "tap.h"

struct redaction
{
	const char *text;
	const char *key;
	const char *expected;
	const char *sentence;
};

static void test_digits(void);
static void test_key(void);
static void test_overlaps(void);
static void test_words(void);
static void test_escapes(void);
static void test_values(void);
static void test_long_run(void);
static void test_all(const struct redaction *cases, size_t n);

int
main(void)
{
	test_digits();
	test_key();
	test_overlaps();
	test_words();
	test_escapes();
	test_values();
	test_long_run();
	return tap_done();
}

static void
test_digits(void)
{
	static const struct redaction cases[] = {
		{"", "", "", "the empty text stays empty"},
		{"no number", "", "no number", "a text without digits stays"},
		{"1 12 123", "", "1 12 123", "up to three digits stay"},
		{"1234", "", "****", "a code of four digits is hidden"},
		{"code 123456 wrong", "", "code ****** wrong", "a code of six digits is hidden"},
		{"6281234567890", "", "*************", "a number is hidden whole"},
		{"+6281234567890 and 6281234567891.", "", "+************* and *************.",
		"two numbers are both hidden"},
		{"x1234y5678z", "", "x****y****z", "digits between letters are hidden"},
		{"123-4567", "", "123-****", "each run of digits is judged by itself"},
		{"12345678901234567890", "", "********************", "a long number is hidden to its end"},
		{"/1234:", "", "/****:", "the characters beside the digits stay"},
		{"caf\xC3\xA9 1234", "", "caf\xC3\xA9 ****", "bytes outside of ASCII stay"},
	};

	test_all(cases, TAP_LENGTH(cases));
}

static void
test_key(void)
{
	static const struct redaction cases[] = {
		{"key LTAIabc unknown", "LTAIabc", "key ******* unknown", "the key is hidden"},
		{"LTAIabc", "LTAIabc", "*******", "the key alone is hidden"},
		{"LTAIabc,LTAIabc", "LTAIabc", "*******,*******", "the key is hidden each time"},
		{"LTAIabcLTAIabc", "LTAIabc", "**************", "the key is hidden twice in a row"},
		{"xLTAIabcx", "LTAIabc", "x*******x", "the key is hidden inside a word"},
		{"LTAIab", "LTAIabc", "LTAIab", "the beginning of the key is not the key"},
		{"ltaiabc", "LTAIabc", "ltaiabc", "the key in another letter case is not the key"},
		{"LTAILTAIabc", "LTAIabc", "LTAI*******", "the key is found behind its own beginning"},
		{"key 12 a", "12", "key ** a", "a key of few digits is hidden"},
		{"LTAI12345abc", "LTAI12345abc", "************", "a key with digits is hidden whole"},
		{"LTAIabc and 1234", "LTAIabc", "******* and ****", "key and digits are both hidden"},
		{"abc", "", "abc", "an empty key hides nothing"},
		{"", "LTAIabc", "", "the key is not found in the empty text"},
		{"a*b", "*", "a*b", "a key of an asterisk changes nothing"},
	};

	test_all(cases, TAP_LENGTH(cases));
}

static void
test_overlaps(void)
{
	static const struct redaction cases[] = {
		{"ababab", "abab", "******", "a key that overlaps itself is hidden to its last end"},
		{"12345secret", "45secret", "***********", "a key that begins in a number is hidden whole"},
		{"secret12345", "secret12", "***********", "a number that begins in a key is hidden whole"},
	};

	test_all(cases, TAP_LENGTH(cases));
}

static void
test_words(void)
{
	static const char *const words[] = {"LTAIabc", "", "Tangerine", "Tan12345"};
	static const struct
	{
		const char *text;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{"LTAIabc typed Tangerine", "******* typed *********", "each of several words is hidden"},
		{"Tan12345", "********", "a word with a number in it is hidden whole"},
		{"TanTangerine", "Tan*********", "a word is found behind the beginning of another"},
		{"Tangerin", "Tangerin", "the beginning of a word is not the word"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);

		pnvs_redact(text, words, TAP_LENGTH(words), true);
		tap_text(text, cases[i].expected, "%s: \"%s\"", cases[i].sentence, cases[i].text);
		free(text);
	}
}

static void
test_escapes(void)
{
	static const struct redaction cases[] = {
		{"a\\u0000b", "", "a\\u0000b", "the escape of a character stays"},
		{"a\\u00001b", "", "a\\u*****b", "more digits than an escape has are hidden"},
		{"au1234b", "", "au****b", "without a backslash it is no escape"},
		{"u1234", "", "u****", "nor where the text begins with it"},
	};

	test_all(cases, TAP_LENGTH(cases));
}

/* Of what is a number, or an ID, keys alone are hidden. */
static void
test_values(void)
{
	static const char *const words[] = {"LTAIabc"};
	char	   *text = exact_copy("6281234567890 LTAIabc");

	pnvs_redact(text, words, 1, false);
	tap_text(text, "6281234567890 *******", "a value keeps its digits, but no key");
	free(text);
}

/* In a time that grows with its length alone. */
static void
test_long_run(void)
{
	enum
	{
		LEN = 1024 * 1024
	};
	char	   *text = exact_alloc(LEN + 1);
	clock_t		begun = clock();

	memset(text, '7', LEN);
	text[LEN] = '\0';
	pnvs_redact(text, NULL, 0, true);
	tap_int((long long) strspn(text, "*"), LEN, "a number of a million digits is hidden");
	tap_ok((clock() - begun) / CLOCKS_PER_SEC < 5, "and soon");
	free(text);
}

static void
test_all(const struct redaction *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		char	   *text = exact_copy(cases[i].text);
		char	   *key = exact_copy(cases[i].key);
		const char *words = key;

		pnvs_redact(text, &words, 1, true);
		tap_text(text, cases[i].expected, "%s: \"%s\"", cases[i].sentence, cases[i].text);
		free(text);
		free(key);
	}
}
