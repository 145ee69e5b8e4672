/*-------------------------------------------------------------------------
 *
 * header.c
 *	  Reads a line of a reply's headers.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/ascii.h"
#include "core/header.h"

/* A longer time is taken for a mistake. */
#define MAX_MILLISECONDS (24 * 60 * 60 * 1000)

/*
 * Whether a header line is the named header (name in lower case).  If so, its value is
 * copied to value, NUL-terminated and without surrounding white space.  The line has its
 * line break and no NUL at its end.  False, too, if the value does not fit or holds a NUL.
 */
bool
pnvs_header_value(const char *line, size_t line_len, const char *name,
				  char *value, size_t value_size)
{
	size_t		name_len = strlen(name);
	const char *end = line + line_len;

	if (line_len <= name_len || line[name_len] != ':')
		return false;
	for (size_t i = 0; i < name_len; i++)
	{
		if (pnvs_ascii_lower(line[i]) != name[i])
			return false;
	}

	line += name_len + 1;
	while (line < end && pnvs_ascii_is_space(*line))
		line++;
	while (end > line && pnvs_ascii_is_space(end[-1]))
		end--;
	if ((size_t) (end - line) >= value_size ||
		memchr(line, '\0', (size_t) (end - line)) != NULL)
		return false;
	memcpy(value, line, (size_t) (end - line));
	value[end - line] = '\0';
	return true;
}

/* A whole number of milliseconds from 0 to a day, or -1 for anything else. */
int64_t
pnvs_header_milliseconds(const char *value)
{
	int64_t		result = 0;

	if (*value == '\0')
		return -1;
	for (; *value; value++)
	{
		if (!pnvs_ascii_is_digit(*value))
			return -1;
		result = result * 10 + (*value - '0');
		if (result > MAX_MILLISECONDS)
			return -1;
	}
	return result;
}
