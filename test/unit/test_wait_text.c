/*-------------------------------------------------------------------------
 *
 * test_wait_text.c
 *	  Times to wait, in words.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stddef.h>

#include "core/wait_text.h"
#include "tap.h"

int
main(void)
{
	static const struct
	{
		int			seconds;
		const char *expected;
	}			cases[] = {
		{0, "0:00"},
		{1, "0:01"},
		{59, "0:59"},
		{60, "1:00"},
		{237, "3:57"},
		{3599, "59:59"},
		{3600, "1 hour"},
		{3601, "2 hours"},
		{86400, "24 hours"},
		{86401, "25 hours"},
		{172799, "48 hours"},
		{172800, "2 days"},
		{172801, "3 days"},
		{31 * 86400, "31 days"},
		{INT_MAX, "24856 days"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char		text[PNVS_WAIT_TEXT_SIZE];

		pnvs_wait_text(cases[i].seconds, text);
		tap_text(text, cases[i].expected, "%d s in words", cases[i].seconds);
	}
	return tap_done();
}
