/*-------------------------------------------------------------------------
 *
 * redaction.c
 *	  Texts of the service, made fit for a message or a log.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/redaction.h"

/* The shortest one-time codes have four digits. */
#define MIN_HIDDEN_DIGITS 4

static size_t hidden_len(const char *text, const char *const *words, int nwords);
static size_t count_digits(const char *text);

/*
 * Overwrites, in place and with asterisks, what the service may have quoted of
 * a request: every occurrence of key (where it is not empty), and every run of
 * four digits or more, which is how numbers and codes look.
 */
void
pnvs_redact(char *text, const char *key)
{
	pnvs_redact_words(text, &key, 1);
}

/* The same for any number of words. */
void
pnvs_redact_words(char *text, const char *const *words, int nwords)
{
	size_t		hidden = 0;

	/* Looks ahead before it overwrites, so that what overlaps is found. */
	for (; *text; text++)
	{
		size_t		len = hidden_len(text, words, nwords);

		if (len > hidden)
			hidden = len;
		if (hidden > 0)
		{
			*text = '*';
			hidden--;
		}
	}
}

/* How much of the beginning of text is to be hidden. */
static size_t
hidden_len(const char *text, const char *const *words, int nwords)
{
	size_t		ndigits = count_digits(text);
	size_t		len = ndigits >= MIN_HIDDEN_DIGITS ? ndigits : 0;

	for (int i = 0; i < nwords; i++)
	{
		size_t		word_len = strlen(words[i]);

		if (word_len > len && strncmp(text, words[i], word_len) == 0)
			len = word_len;
	}
	return len;
}

static size_t
count_digits(const char *text)
{
	return strspn(text, "0123456789");
}
