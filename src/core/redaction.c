/*-------------------------------------------------------------------------
 *
 * redaction.c
 *	  Hides secrets in a text of the service before it is shown or logged.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/ascii.h"
#include "core/redaction.h"

/* The shortest one-time codes have four digits. */
#define MIN_HIDDEN_DIGITS 4

/* "\u0000" */
#define ESCAPE_DIGITS 4

static bool is_escape(const char *text, size_t ndigits);
static size_t word_len(const char *text, const char *const *words, int nwords);
static size_t count_digits(const char *text);

/*
 * Overwrites with asterisks, in place, what the service may have quoted from a request:
 * every occurrence of a word (an empty word has none) and, if digits is set, every run of
 * four or more digits, for it may be a number or a code.  Text and words are in the same
 * encoding.
 */
void
pnvs_redact(char *text, const char *const *words, int nwords, bool digits)
{
	size_t		run = 0;		/* digits from here on */
	size_t		hidden = 0;		/* bytes from here on */

	/* It looks ahead before it overwrites, so that overlaps are found. */
	for (char *c = text; *c; c++)
	{
		size_t		len = word_len(c, words, nwords);

		if (run > 0)
			run--;
		else if (digits && (run = count_digits(c)) >= MIN_HIDDEN_DIGITS && run > len &&
				 !(c - text >= 2 && is_escape(c - 2, run)))
			len = run;
		if (len > hidden)
			hidden = len;
		if (hidden > 0)
		{
			*c = '*';
			hidden--;
		}
	}
}

/* Whether the digits are those of a character that JSON escapes. */
static bool
is_escape(const char *text, size_t ndigits)
{
	return text[0] == '\\' && text[1] == 'u' && ndigits == ESCAPE_DIGITS;
}

/* The length of the longest word that the text begins with. */
static size_t
word_len(const char *text, const char *const *words, int nwords)
{
	size_t		longest = 0;

	for (int i = 0; i < nwords; i++)
	{
		/* most differ in their first byte */
		if (words[i][0] == text[0])
		{
			size_t		len = strlen(words[i]);

			if (len > longest && strncmp(text, words[i], len) == 0)
				longest = len;
		}
	}
	return longest;
}

static size_t
count_digits(const char *text)
{
	const char *end = text;

	while (pnvs_ascii_is_digit(*end))
		end++;
	return (size_t) (end - text);
}
