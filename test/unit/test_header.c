/*-------------------------------------------------------------------------
 *
 * test_header.c
 *	  Lines of a reply's headers, and the number of milliseconds in one.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/header.h"
#include "exact.h"
#include "tap.h"

static void test_found(void);
static void test_not_found(void);
static void test_room(void);
static void test_milliseconds(void);
static bool value_of(const char *line, size_t len, char *value, size_t size);

int
main(void)
{
	test_found();
	test_not_found();
	test_room();
	test_milliseconds();
	return tap_done();
}

static void
test_found(void)
{
	static const struct
	{
		const char *line;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{"date: now\r\n", "now", "a line is read"},
		{"Date: now\r\n", "now", "a name in another letter case is the same name"},
		{"DATE: now\r\n", "now", "a name in capitals is the same name"},
		{"date:now\r\n", "now", "the space behind the colon may be missing"},
		{"date: \t now\r\n", "now", "white space before the value is dropped"},
		{"date: now \t \r\n", "now", "white space behind the value is dropped"},
		{"date: right now\r\n", "right now", "white space inside the value stays"},
		{"date: now\n", "now", "a line may end in LF alone"},
		{"date: now", "now", "a line may end without a break"},
		{"date: now\r\r\n", "now", "more than one CR is dropped"},
		{"date: a:b: c\r\n", "a:b: c", "colons in the value stay"},
		{"date: Now\r\n", "Now", "the value's letter case stays"},
		{"date:\r\n", "", "a value may be empty"},
		{"date:  \t \r\n", "", "a value of white space is empty"},
		{"date:", "", "a line may end with its colon"},
		{"date:: now\r\n", ": now", "a second colon is of the value"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *value = exact_alloc(16);
		bool		found = value_of(cases[i].line, strlen(cases[i].line), value, 16);

		tap_text(found ? value : NULL, cases[i].expected, "%s: %s", cases[i].sentence,
				 cases[i].line);
		free(value);
	}
}

static void
test_not_found(void)
{
	static const struct
	{
		const char *line;
		const char *sentence;
	}			cases[] = {
		{"", "an empty line is no header"},
		{"\r\n", "a line break alone is no header"},
		{"d", "the beginning of the name is not the name"},
		{"date", "the name alone is no header"},
		{"date\r\n", "a line without a colon is no header"},
		{"date now\r\n", "a line without a colon but with a value is no header"},
		{"date : now\r\n", "a space before the colon is refused"},
		{" date: now\r\n", "a folded line is not the header that it looks like"},
		{"\tdate: now\r\n", "a line folded by a tab is not the header that it looks like"},
		{"dates: now\r\n", "a longer name is another name"},
		{"x-date: now\r\n", "a name that ends alike is another name"},
		{"dat: now\r\n", "a shorter name is another name"},
		{"dste: now\r\n", "a name of the same length is another name"},
		{"\xC4" "ate: now\r\n", "a letter outside of ASCII is another letter"},
		{": now\r\n", "a line without a name is not the header"},
		{"HTTP/1.1 200 OK\r\n", "a status line is no header"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *value = exact_alloc(16);

		tap_ok(!value_of(cases[i].line, strlen(cases[i].line), value, 16), "%s: %s",
			   cases[i].sentence, cases[i].line);
		free(value);
	}
}

static void
test_room(void)
{
	static const char line[] = "date:  12345  \r\n";
	char	   *value;

	value = exact_alloc(6);
	tap_ok(value_of(line, strlen(line), value, 6) && strcmp(value, "12345") == 0,
		   "a value that fills its room with its NUL fits");
	free(value);

	for (size_t size = 1; size < 6; size++)
	{
		value = exact_alloc(size);
		tap_ok(!value_of(line, strlen(line), value, size),
			   "a value of five bytes does not fit into %d", (int) size);
		free(value);
	}

	value = exact_alloc(1);
	tap_ok(value_of("date: \r\n", 8, value, 1) && value[0] == '\0',
		   "an empty value fits into one byte");
	tap_ok(!value_of("date: \r\n", 8, value, 0) && value[0] == '\0',
		   "nothing fits into no room");
	free(value);

	/* Only the given length counts: the line is not NUL-terminated. */
	value = exact_alloc(16);
	tap_ok(value_of("date: 12345", 9, value, 16) && strcmp(value, "123") == 0,
		   "a line ends where its length says");
	tap_ok(!value_of("date: 12345", 4, value, 16), "a line that its length cuts before the colon is no header");
	free(value);
}

static void
test_milliseconds(void)
{
	static const struct
	{
		const char *value;
		long long	expected;
		const char *sentence;
	}			cases[] = {
		{"0", 0, "zero is taken"},
		{"1", 1, "one is taken"},
		{"1500", 1500, "a second and a half is taken"},
		{"0100", 100, "leading zeros are taken"},
		{"86399999", 86399999, "almost a day is taken"},
		{"86400000", 86400000, "a day is taken"},
		{"86400001", -1, "more than a day is refused"},
		{"4294967297", -1, "a number that is 1 in 32 bits is refused"},
		{"18446744073709551617", -1, "a number that is 1 in 64 bits is refused"},
		{"999999999999999999999999999999999999999999", -1, "a number of 42 digits is refused"},
		{"", -1, "an empty value is refused"},
		{" ", -1, "a space is refused"},
		{" 5", -1, "a leading space is refused"},
		{"5 ", -1, "a trailing space is refused"},
		{"-1", -1, "a negative number is refused"},
		{"+1", -1, "a sign is refused"},
		{"1.5", -1, "a fraction is refused"},
		{"1e3", -1, "an exponent is refused"},
		{"0x10", -1, "a hexadecimal number is refused"},
		{"5ms", -1, "a unit is refused"},
		{"/", -1, "the character before the digits is refused"},
		{":", -1, "the character behind the digits is refused"},
		{"Wed, 21 Oct 2026 07:28:00 GMT", -1, "a date is refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *value = exact_copy(cases[i].value);

		tap_int(pnvs_header_milliseconds(value), cases[i].expected, "milliseconds: %s: \"%s\"",
				cases[i].sentence, value);
		free(value);
	}
}

/* Asks for the header "date" of a line in memory of exactly its length. */
static bool
value_of(const char *line, size_t len, char *value, size_t size)
{
	char	   *copy = exact_alloc(len > 0 ? len : 1);
	bool		found;

	memcpy(copy, line, len);
	found = pnvs_header_value(copy, len, "date", value, size);
	free(copy);
	return found;
}
