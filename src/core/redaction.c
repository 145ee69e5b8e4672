/*-------------------------------------------------------------------------
 *
 * redaction.c
 *	  Texts of the service, made fit for a message or a log.
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
 * Overwrites, in place and with asterisks, what the service may have quoted of a
 * request: every occurrence of a word (an empty one is none), and, where digits are
 * to be hidden, every run of four or more, which is how numbers and codes look.
 * Texts and words are in the same encoding.
 */
void
pnvs_redact(char *text, const char *const *words, int nwords, bool digits)
{
	size_t		run = 0;		/* digits from here on */
	size_t		hidden = 0;		/* bytes from here on */

	/* Looks ahead before it overwrites, so that what overlaps is found. */
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

/* A character that the database does not have, as JSON escapes it. */
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
