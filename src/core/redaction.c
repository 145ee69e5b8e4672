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

static size_t count_digits(const char *text);

/*
 * Overwrites, in place and with asterisks, what the service may have quoted of
 * a request: every occurrence of key (where it is not empty), and every run of
 * four digits or more, which is how numbers and codes look.
 */
void
pnvs_redact(char *text, const char *key)
{
	size_t		key_len = strlen(key);
	size_t		hidden = 0;

	/* Looks ahead before it overwrites, so that what overlaps is found. */
	for (; *text; text++)
	{
		size_t		ndigits = count_digits(text);

		if (ndigits >= MIN_HIDDEN_DIGITS && ndigits > hidden)
			hidden = ndigits;
		if (key_len > hidden && strncmp(text, key, key_len) == 0)
			hidden = key_len;
		if (hidden > 0)
		{
			*text = '*';
			hidden--;
		}
	}
}

static size_t
count_digits(const char *text)
{
	return strspn(text, "0123456789");
}
