/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  Converts the texts of a JSON reply to the database's encoding.
 *
 * After an accepted send its reply must not be lost for an odd character.  So no
 * text is an error: a NUL, half a surrogate pair or a character that the database's
 * encoding does not have stays in the text as its JSON escape.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "remote/json_text.h"

/* "\u" and four digits */
#define ESCAPE_LEN 6

static int	read_escape(const char *text, const char *end, pg_wchar *c);
static bool read_hex4(const char *text, const char *end, pg_wchar *value);
static void append_escape(StringInfo out, pg_wchar c);

/*
 * Copies a JSON text without the escapes that PostgreSQL's parser may refuse.  An
 * escape above ASCII becomes its character, in UTF-8; an escape of no character (NUL,
 * half a surrogate pair) gets a second backslash, which makes it plain text.
 */
char *
pnvs_json_text_plain_escapes(const char *body, size_t len, size_t *out_len)
{
	const char *end = body + len;
	char	   *out;
	char	   *to;

	if (memchr(body, '\\', len) == NULL)
	{
		*out_len = len;
		return pnstrdup(body, len);
	}

	/* the second backslash makes seven bytes of six */
	out = to = palloc(len + len / ESCAPE_LEN + 1);
	while (body < end)
	{
		pg_wchar	c;
		int			taken;

		if (*body != '\\' || end - body < 2)
		{
			*to++ = *body++;
			continue;
		}
		if (body[1] != 'u')
		{
			*to++ = *body++;
			*to++ = *body++;
			continue;
		}
		taken = read_escape(body, end, &c);
		if (taken > 0 && c > 0x7F)
		{
			unicode_to_utf8(c, (unsigned char *) to);
			to += pg_utf_mblen((unsigned char *) to);
			body += taken;
			continue;
		}
		if (taken == 0 || c == 0)
			*to++ = '\\';
		memcpy(to, body, Min(ESCAPE_LEN, end - body));
		to += Min(ESCAPE_LEN, end - body);
		body += Min(ESCAPE_LEN, end - body);
	}
	*to = '\0';
	*out_len = (size_t) (to - out);
	return out;
}

/* Takes surrounding white space off, in place. */
char *
pnvs_json_text_trim(char *text)
{
	size_t		len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	return text;
}

/*
 * A copy of a text of UTF-8 in the database's encoding, with an escape for each
 * character that it does not have; NULL for an empty text.
 */
char *
pnvs_json_text_convert(const char *text)
{
	int			len = (int) strlen(text);
	int			encoding = GetDatabaseEncoding();
	Oid			conversion;
	StringInfoData out;

	if (len == 0)
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(text, len);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	initStringInfo(&out);
	while (len > 0)
	{
		int			room = len * MAX_CONVERSION_GROWTH + 1;
		int			taken;
		int			char_len;

		enlargeStringInfo(&out, room);
		if (OidIsValid(conversion))
		{
			taken = pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
												  (unsigned char *) unconstify(char *, text), len,
												  (unsigned char *) out.data + out.len, room,
												  true);
			out.len += strlen(out.data + out.len);
		}
		else
		{
			/* none, as for MULE_INTERNAL: every encoding has ASCII */
			for (taken = 0; taken < len && !IS_HIGHBIT_SET(text[taken]); taken++)
				;
			appendBinaryStringInfo(&out, text, taken);
		}
		text += taken;
		len -= taken;
		if (len == 0)
			break;
		append_escape(&out, utf8_to_unicode((const unsigned char *) text));
		char_len = pg_utf_mblen((const unsigned char *) text);
		text += char_len;
		len -= char_len;
	}
	return out.data;
}

/*
 * Reads the escape, or the pair of escapes for a single character, at text.  Returns
 * its number of bytes, or 0 if it stands for no character.
 */
static int
read_escape(const char *text, const char *end, pg_wchar *c)
{
	pg_wchar	second;

	if (!read_hex4(text, end, c))
	{
		/* no escape: the parser will refuse it */
		*c = 1;
		return ESCAPE_LEN;
	}
	if (is_utf16_surrogate_first(*c))
	{
		if (!read_hex4(text + ESCAPE_LEN, end, &second) ||
			!is_utf16_surrogate_second(second))
			return 0;
		*c = surrogate_pair_to_codepoint(*c, second);
		return 2 * ESCAPE_LEN;
	}
	return is_utf16_surrogate_second(*c) ? 0 : ESCAPE_LEN;
}

static bool
read_hex4(const char *text, const char *end, pg_wchar *value)
{
	if (end - text < ESCAPE_LEN || text[0] != '\\' || text[1] != 'u')
		return false;
	*value = 0;
	for (int i = 2; i < ESCAPE_LEN; i++)
	{
		const char *digits = "0123456789abcdef";
		const char *digit = strchr(digits, pg_tolower((unsigned char) text[i]));

		if (digit == NULL || *digit == '\0')
			return false;
		*value = (*value << 4) | (pg_wchar) (digit - digits);
	}
	return true;
}

/* Appends the JSON escape of a character; beyond the first plane it has two halves. */
static void
append_escape(StringInfo out, pg_wchar c)
{
	if (c > 0xFFFF)
		appendStringInfo(out, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
						 0xDC00 + ((c - 0x10000) & 0x3FF));
	else
		appendStringInfo(out, "\\u%04x", c);
}
