/*-------------------------------------------------------------------------
 *
 * setting_text.c
 *	  Reads the words, numbers and intervals of a setting.
 *
 * White space may be anywhere between them, and letters are of any case.  What cannot be
 * read is left, so that a message can quote it.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/setting_text.h"

/* The longest first. */
static const struct
{
	const char *name;
	int64_t		us;
}			units[] = {
	{"d", PNVS_DAY_US},
	{"h", PNVS_HOUR_US},
	{"min", PNVS_MINUTE_US},
	{"s", PNVS_SECOND_US},
};

#define NUNITS (sizeof(units) / sizeof(units[0]))

static void skip_space(PnvsSettingText *text);
static bool read_digits(PnvsSettingText *text, uint64_t max, uint64_t *value);
static void quote(const char *from, const char *end, char out[PNVS_QUOTE_SIZE]);

/* Whether nothing but white space is left. */
bool
pnvs_setting_text_at_end(PnvsSettingText *text)
{
	skip_space(text);
	return text->at == text->end;
}

/* Reads a word of letters, given in lower case; false if something else follows. */
bool
pnvs_setting_text_word(PnvsSettingText *text, const char *word)
{
	size_t		len = strlen(word);

	skip_space(text);
	if ((size_t) (text->end - text->at) < len)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (pnvs_ascii_lower(text->at[i]) != word[i])
			return false;
	}
	if (text->at + len < text->end && !pnvs_ascii_is_space(text->at[len]))
		return false;
	text->at += len;
	return true;
}

/* Reads a number from 1 to max and the sign behind it; false if something else follows. */
bool
pnvs_setting_text_number(PnvsSettingText *text, uint32_t max, char sign, uint32_t *number)
{
	PnvsSettingText rest = *text;
	uint64_t	value;

	if (!read_digits(&rest, max, &value) || value < 1)
		return false;
	skip_space(&rest);
	if (rest.at == rest.end || *rest.at != sign)
		return false;
	rest.at++;
	*number = (uint32_t) value;
	*text = rest;
	return true;
}

/* Reads an interval such as "10min" within its bounds; false if something else follows. */
bool
pnvs_setting_text_interval(PnvsSettingText *text, int64_t min_us, int64_t max_us,
						   int64_t *interval_us)
{
	PnvsSettingText rest = *text;
	uint64_t	value;

	if (!read_digits(&rest, (uint64_t) (max_us / PNVS_SECOND_US), &value))
		return false;
	for (size_t i = 0; i < NUNITS; i++)
	{
		if (pnvs_setting_text_word(&rest, units[i].name))
		{
			if (value > (uint64_t) (max_us / units[i].us) || (int64_t) value * units[i].us < min_us)
				return false;
			*interval_us = (int64_t) value * units[i].us;
			*text = rest;
			return true;
		}
	}
	return false;
}

/* Quotes all of a text, without the white space around. */
void
pnvs_setting_text_quote(PnvsSettingText text, char out[PNVS_QUOTE_SIZE])
{
	skip_space(&text);
	while (text.end > text.at && pnvs_ascii_is_space(text.end[-1]))
		text.end--;
	quote(text.at, text.end, out);
}

/* Says that what follows, up to white space, is not what is expected, or that it is missing. */
void
pnvs_setting_text_fault(PnvsSettingText text, const char *expected, char *fault, size_t size)
{
	char		word[PNVS_QUOTE_SIZE];
	const char *end;

	skip_space(&text);
	end = text.at;
	while (end < text.end && !pnvs_ascii_is_space(*end))
		end++;
	quote(text.at, end, word);
	if (end > text.at)
		snprintf(fault, size, "\"%s\" is not %s", word, expected);
	else
		snprintf(fault, size, "%s is missing", expected);
}

/* An interval of whole seconds in the longest unit that it is a multiple of. */
void
pnvs_interval_text(int64_t interval_us, char text[PNVS_INTERVAL_TEXT_SIZE])
{
	size_t		i = 0;

	while (i + 1 < NUNITS && interval_us % units[i].us != 0)
		i++;
	snprintf(text, PNVS_INTERVAL_TEXT_SIZE, "%" PRId64 "%s", interval_us / units[i].us, units[i].name);
}

static void
skip_space(PnvsSettingText *text)
{
	while (text->at < text->end && pnvs_ascii_is_space(*text->at))
		text->at++;
}

/* Digits, for a value of up to max. */
static bool
read_digits(PnvsSettingText *text, uint64_t max, uint64_t *value)
{
	const char *start;

	skip_space(text);
	start = text->at;
	*value = 0;
	for (; text->at < text->end && pnvs_ascii_is_digit(*text->at); text->at++)
	{
		*value = *value * 10 + (uint64_t) (*text->at - '0');
		if (*value > max)
			return false;
	}
	return text->at > start;
}

/* A text of one line: long ones are cut, but within no character of UTF-8. */
static void
quote(const char *from, const char *end, char out[PNVS_QUOTE_SIZE])
{
	static const char dots[] = "...";
	size_t		len = (size_t) (end - from);
	bool		cut = len >= PNVS_QUOTE_SIZE;

	if (cut)
	{
		len = PNVS_QUOTE_SIZE - sizeof(dots);
		while (len > 0 && ((unsigned char) from[len] & 0xC0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char) from[i] < ' ' ? ' ' : from[i];
	strcpy(out + len, cut ? dots : "");
}
