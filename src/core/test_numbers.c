/*-------------------------------------------------------------------------
 *
 * test_numbers.c
 *	  Reads the list of test numbers, and finds a number in it.
 *
 * Each number has a last day, in UTC, that is near: whoever knows its code passes as its
 * owner.  A day in the past is valid, for a list must not become invalid by itself.
 *
 * No fault quotes the list, whose codes are secret.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/test_numbers.h"

#define SECONDS_PER_DAY INT64_C(86400)

#define UNTIL "until"

/* A number as people write it has no more. */
#define MAX_NUMBER_TEXT_LEN 40

static const char *parse_number(const char *text, int64_t now_s, PnvsTestNumber *number,
								const char **rest);
static const char *parse_code(const char *text, char *code, const char **rest);
static const char *parse_end(const char *text, int64_t now_s, int64_t *ends_at_s, const char **rest);
static bool parse_digits(const char **text, int ndigits, int *value);
static int64_t day_number(int year, int month, int day);
static const char *skip_spaces(const char *text);

/*
 * False if the list is not valid: fault is a sentence that names the entry's place.  An
 * empty list has no numbers.  now_s is Unix time.
 */
bool
pnvs_test_numbers_parse(const char *text, int64_t now_s, PnvsTestNumbers *numbers,
						char fault[PNVS_TEST_NUMBERS_FAULT_SIZE])
{
	memset(numbers, 0, sizeof(*numbers));
	text = skip_spaces(text);
	while (*text != '\0')
	{
		PnvsTestNumber number;
		const char *problem = parse_number(text, now_s, &number, &text);

		if (problem == NULL && numbers->nnumbers == PNVS_MAX_TEST_NUMBERS)
			problem = "is one too many";
		for (int i = 0; problem == NULL && i < numbers->nnumbers; i++)
		{
			if (strcmp(numbers->numbers[i].digits, number.digits) == 0)
				problem = "has the number of an earlier entry";
		}
		if (problem != NULL)
		{
			snprintf(fault, PNVS_TEST_NUMBERS_FAULT_SIZE, "Entry %d %s.", numbers->nnumbers + 1, problem);
			return false;
		}
		numbers->numbers[numbers->nnumbers++] = number;
	}
	return true;
}

/* The entry of a number that is a test number at a time, or NULL. */
const PnvsTestNumber *
pnvs_test_numbers_find(const PnvsTestNumbers *numbers, const char *digits, int64_t now_s)
{
	for (int i = 0; i < numbers->nnumbers; i++)
	{
		if (strcmp(numbers->numbers[i].digits, digits) == 0)
			return now_s < numbers->numbers[i].ends_at_s ? &numbers->numbers[i] : NULL;
	}
	return NULL;
}

/* The number in a test verification's ID; false if the ID is the service's. */
bool
pnvs_test_id_number(const char *verification_id, char digits[PNVS_PHONE_NUMBER_SIZE])
{
	const char *number;
	size_t		len = 0;

	if (strncmp(verification_id, PNVS_TEST_ID_PREFIX, strlen(PNVS_TEST_ID_PREFIX)) != 0)
		return false;
	number = verification_id + strlen(PNVS_TEST_ID_PREFIX);
	while (pnvs_ascii_is_digit(number[len]) && len < PNVS_PHONE_NUMBER_MAX_DIGITS)
		len++;
	if (len < PNVS_PHONE_NUMBER_MIN_DIGITS || number[len] != '-')
		return false;
	memcpy(digits, number, len);
	digits[len] = '\0';
	return true;
}

/* One entry; the problem with it, or NULL and where the next entry begins. */
static const char *
parse_number(const char *text, int64_t now_s, PnvsTestNumber *number, const char **rest)
{
	const char *sign = strpbrk(text, "=,");
	char		written[MAX_NUMBER_TEXT_LEN + 1];
	const char *problem;

	if (sign == NULL || *sign == ',')
		return "has no \"=\" between number and code";
	if (sign - text > MAX_NUMBER_TEXT_LEN)
		return "has no valid phone number";
	memcpy(written, text, sign - text);
	written[sign - text] = '\0';
	memset(number, 0, sizeof(*number));
	if (pnvs_phone_number_normalise(written, number->digits) != PNVS_PHONE_NUMBER_OK)
		return "has no valid phone number";
	problem = parse_code(sign + 1, number->code, &text);
	if (problem == NULL)
		problem = parse_end(text, now_s, &number->ends_at_s, &text);
	if (problem != NULL)
		return problem;
	text = skip_spaces(text);
	if (*text == ',')
	{
		text = skip_spaces(text + 1);
		if (*text == '\0')
			return "is followed by a comma and no other entry";
	}
	else if (*text != '\0')
		return "has more behind its last day";
	*rest = text;
	return NULL;
}

static const char *
parse_code(const char *text, char *code, const char **rest)
{
	int			len = 0;

	text = skip_spaces(text);
	while (pnvs_ascii_is_digit(text[len]) && len < PNVS_TEST_CODE_MAX_LEN)
	{
		code[len] = text[len];
		len++;
	}
	if (len < PNVS_TEST_CODE_MIN_LEN || !(text[len] == '\0' || text[len] == ',' || pnvs_ascii_is_space(text[len])))
		return "has no code of 4 to 8 digits";
	*rest = text + len;
	return NULL;
}

/* "until" and the last day, which ends when the next begins. */
static const char *
parse_end(const char *text, int64_t now_s, int64_t *ends_at_s, const char **rest)
{
	int64_t		today = now_s / SECONDS_PER_DAY;
	int64_t		last_day;
	int			year;
	int			month;
	int			day;

	text = skip_spaces(text);
	if (strncmp(text, UNTIL, strlen(UNTIL)) != 0)
		return "has no \"until\" with its last day";
	text = skip_spaces(text + strlen(UNTIL));
	if (!parse_digits(&text, 4, &year) || *text++ != '-' ||
		!parse_digits(&text, 2, &month) || *text++ != '-' ||
		!parse_digits(&text, 2, &day))
		return "has no last day of the form 2027-01-31";
	last_day = day_number(year, month, day);
	if (last_day < 0)
		return "has a last day that is in no calendar";
	if (last_day > today + PNVS_TEST_NUMBER_MAX_DAYS)
		return "has a last day more than 90 days ahead";
	*ends_at_s = (last_day + 1) * SECONDS_PER_DAY;
	*rest = text;
	return NULL;
}

static bool
parse_digits(const char **text, int ndigits, int *value)
{
	*value = 0;
	for (int i = 0; i < ndigits; i++, (*text)++)
	{
		if (!pnvs_ascii_is_digit(**text))
			return false;
		*value = *value * 10 + (**text - '0');
	}
	return true;
}

/* Days since 1970-01-01, or -1 if there is no such day from then on. */
static int64_t
day_number(int year, int month, int day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int			past = year - 1;

	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
		day > before[month] - before[month - 1] + (leap && month == 2))
		return -1;
	return INT64_C(365) * (year - 1970) + (past / 4 - past / 100 + past / 400) - 477 +
		before[month - 1] + (leap && month > 2) + day - 1;
}

static const char *
skip_spaces(const char *text)
{
	while (pnvs_ascii_is_space(*text))
		text++;
	return text;
}
