/*-------------------------------------------------------------------------
 *
 * tap.c
 *	  Assertions that print TAP.
 *
 * The plan is printed at the end: a program that dies before has none, which
 * prove(1) reports as a failure.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static int	asserted = 0;
static int	failed = 0;

static void report(bool passed, const char *sentence, va_list arguments)
			__attribute__((format(printf, 2, 0)));
static void note_text(const char *what, const char *text);

/* A sentence that holds where passed is true. */
bool
tap_ok(bool passed, const char *sentence,...)
{
	va_list		arguments;

	va_start(arguments, sentence);
	report(passed, sentence, arguments);
	va_end(arguments);
	return passed;
}

/* A sentence that holds where the two numbers are equal. */
bool
tap_int(long long actual, long long expected, const char *sentence,...)
{
	va_list		arguments;

	va_start(arguments, sentence);
	report(actual == expected, sentence, arguments);
	va_end(arguments);
	if (actual != expected)
		printf("#      got: %lld\n# expected: %lld\n", actual, expected);
	return actual == expected;
}

/* A sentence that holds where the two texts are equal; NULL equals NULL. */
bool
tap_text(const char *actual, const char *expected, const char *sentence,...)
{
	va_list		arguments;
	bool		equal = actual == expected ||
	(actual != NULL && expected != NULL && strcmp(actual, expected) == 0);

	va_start(arguments, sentence);
	report(equal, sentence, arguments);
	va_end(arguments);
	if (!equal)
	{
		note_text("     got", actual);
		note_text("expected", expected);
	}
	return equal;
}

int
tap_done(void)
{
	printf("1..%d\n", asserted);
	return failed > 0 || asserted == 0 ? 1 : 0;
}

/* TAP gives a number sign in a description a meaning, and lines are lines. */
static void
report(bool passed, const char *sentence, va_list arguments)
{
	char		text[1024];

	vsnprintf(text, sizeof(text), sentence, arguments);
	for (char *c = text; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '#')
			*c = '?';
	}
	asserted++;
	if (!passed)
		failed++;
	printf("%sok %d - %s\n", passed ? "" : "not ", asserted, text);
	fflush(stdout);
}

static void
note_text(const char *what, const char *text)
{
	if (text == NULL)
	{
		printf("# %s: NULL\n", what);
		return;
	}
	printf("# %s: \"", what);
	for (; *text; text++)
	{
		if ((unsigned char) *text < ' ')
			printf("\\x%02x", (unsigned int) *text);
		else
			putchar(*text);
	}
	printf("\"\n");
}
