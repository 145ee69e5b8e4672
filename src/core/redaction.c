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

	while (*text)
	{
		size_t		hidden = 0;

		if (key_len > 0 && strncmp(text, key, key_len) == 0)
			hidden = key_len;
		else if (count_digits(text) >= MIN_HIDDEN_DIGITS)
			hidden = count_digits(text);

		if (hidden > 0)
			memset(text, '*', hidden);
		text += hidden > 0 ? hidden : 1;
	}
}

static size_t
count_digits(const char *text)
{
	return strspn(text, "0123456789");
}
