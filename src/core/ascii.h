/*-------------------------------------------------------------------------
 *
 * ascii.h
 *	  Classes of ASCII characters.  Unlike those of <ctype.h> they do not
 *	  depend on the locale.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ASCII_H
#define PNVS_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline char
pnvs_ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static inline bool
pnvs_ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
pnvs_ascii_is_hex_digit(char c)
{
	c = pnvs_ascii_lower(c);
	return pnvs_ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

static inline bool
pnvs_ascii_is_letter_or_digit(char c)
{
	c = pnvs_ascii_lower(c);
	return pnvs_ascii_is_digit(c) || (c >= 'a' && c <= 'z');
}

static inline bool
pnvs_ascii_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether a text has at most max_len characters, all of them visible and no space. */
static inline bool
pnvs_ascii_is_visible(const char *text, int max_len)
{
	for (int len = 0; text[len] != '\0'; len++)
	{
		if (text[len] < 0x21 || text[len] > 0x7E || len == max_len)
			return false;
	}
	return true;
}

/*
 * The length of the next word of a list, to whose beginning the text is moved, or 0 at the
 * end.  Words are separated by white space and commas.
 */
static inline size_t
pnvs_ascii_next_word(const char **text)
{
	size_t		len = 0;

	while (pnvs_ascii_is_space(**text) || **text == ',')
		(*text)++;
	while ((*text)[len] != '\0' && (*text)[len] != ',' && !pnvs_ascii_is_space((*text)[len]))
		len++;
	return len;
}

#endif							/* PNVS_ASCII_H */
