/*-------------------------------------------------------------------------
 *
 * unicode.c
 *	  Reads UTF-8, and recognises digits, white space and hyphens of all scripts.
 *
 * The properties are those of Unicode 15 (UnicodeData.txt): general categories
 * Nd, Zs and Pd, and the format characters (Cf) that come with pasted texts.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "core/unicode.h"

typedef struct Range
{
	uint32_t	first;
	uint32_t	last;
} Range;

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Each script's zero; the other nine digits follow it. */
static const uint32_t zeros[] = {
	0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6,
	0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0,
	0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620,
	0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066,
	0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730,
	0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50,
	0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950,
	0x1FBF0
};

static const Range spaces[] = {
	{0x0020, 0x0020}, {0x00A0, 0x00A0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x202F, 0x202F},
	{0x205F, 0x205F}, {0x3000, 0x3000}
};

static const Range line_breaks[] = {
	{0x0009, 0x000D}, {0x0085, 0x0085}, {0x2028, 0x2029}
};

/* Joiners, marks of direction, variation selectors, the byte order mark. */
static const Range invisible[] = {
	{0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C}, {0x180E, 0x180E}, {0x200B, 0x200F},
	{0x202A, 0x202E}, {0x2060, 0x2064}, {0x2066, 0x206F}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}
};

/* With the minus sign, and the long-vowel mark that Japanese keyboards produce instead. */
static const Range hyphens[] = {
	{0x002D, 0x002D}, {0x2010, 0x2015}, {0x2043, 0x2043}, {0x2212, 0x2212}, {0x30FC, 0x30FC},
	{0xFE58, 0xFE58}, {0xFE63, 0xFE63}, {0xFF0D, 0xFF0D}, {0xFF70, 0xFF70}
};

static bool is_within(uint32_t character, const Range *ranges, size_t nranges);
static int	sequence_length(unsigned char lead);

/*
 * Reads a character of a text in UTF-8, and returns where the next one begins.  The NUL at
 * the end is read as 0, again and again.  A byte that is not UTF-8 is read as
 * PNVS_UNICODE_INVALID.
 */
const char *
pnvs_unicode_next(const char *text, uint32_t *character)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *bytes = (const unsigned char *) text;
	int			length = sequence_length(bytes[0]);
	uint32_t	value = bytes[0] & (length == 1 ? 0x7F : 0x7F >> length);

	for (int i = 1; i < length; i++)
	{
		/* A NUL ends the sequence here, too. */
		if ((bytes[i] & 0xC0) != 0x80)
		{
			length = 0;
			break;
		}
		value = value << 6 | (bytes[i] & 0x3F);
	}
	if (length == 0 || value < smallest[length] || value > 0x10FFFF ||
		(value >= 0xD800 && value <= 0xDFFF))
	{
		*character = PNVS_UNICODE_INVALID;
		return text + 1;
	}
	*character = value;
	return text + (value == 0 ? 0 : length);
}

/* The value of a decimal digit of any script, or -1. */
int
pnvs_unicode_digit(uint32_t character)
{
	for (size_t i = 0; i < LENGTH(zeros) && zeros[i] <= character; i++)
	{
		if (character - zeros[i] <= 9)
			return (int) (character - zeros[i]);
	}
	return -1;
}

/* Spaces within a line, even no-break ones. */
bool
pnvs_unicode_is_space(uint32_t character)
{
	return is_within(character, spaces, LENGTH(spaces));
}

/* Ends of lines and of cells: line breaks and tabs. */
bool
pnvs_unicode_is_line_break(uint32_t character)
{
	return is_within(character, line_breaks, LENGTH(line_breaks));
}

bool
pnvs_unicode_is_invisible(uint32_t character)
{
	return is_within(character, invisible, LENGTH(invisible));
}

/* White space of any kind, and invisible characters. */
bool
pnvs_unicode_is_ignorable(uint32_t character)
{
	return pnvs_unicode_is_space(character) || pnvs_unicode_is_line_break(character) ||
		pnvs_unicode_is_invisible(character);
}

bool
pnvs_unicode_is_hyphen(uint32_t character)
{
	return is_within(character, hyphens, LENGTH(hyphens));
}

/* A full-width character as ASCII; others stay. */
uint32_t
pnvs_unicode_narrow(uint32_t character)
{
	return character >= 0xFF01 && character <= 0xFF5E ? character - 0xFEE0 : character;
}

/* Whether a text has nothing but ignorable characters. */
bool
pnvs_unicode_is_blank(const char *text)
{
	uint32_t	character;

	do
		text = pnvs_unicode_next(text, &character);
	while (pnvs_unicode_is_ignorable(character));
	return character == 0;
}

/*
 * Cleans a typed code, in place: ignorable characters are dropped, decimal digits become ASCII,
 * and other characters stay.
 */
void
pnvs_unicode_clean_code(char *text)
{
	char	   *out = text;
	const char *in = text;

	while (*in)
	{
		uint32_t	character;
		const char *next = pnvs_unicode_next(in, &character);
		int			digit = pnvs_unicode_digit(character);

		if (digit >= 0)
			*out++ = (char) ('0' + digit);
		else if (!pnvs_unicode_is_ignorable(character))
		{
			while (in < next)
				*out++ = *in++;
		}
		in = next;
	}
	*out = '\0';
}

/* The ranges are in ascending order. */
static bool
is_within(uint32_t character, const Range *ranges, size_t nranges)
{
	for (size_t i = 0; i < nranges && ranges[i].first <= character; i++)
	{
		if (character <= ranges[i].last)
			return true;
	}
	return false;
}

/* The length of the sequence that begins with a byte, or 0. */
static int
sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >> 5 == 0x06)
		return 2;
	if (lead >> 4 == 0x0E)
		return 3;
	return lead >> 3 == 0x1E ? 4 : 0;
}
