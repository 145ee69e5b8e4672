/*-------------------------------------------------------------------------
 *
 * test_test_numbers.c
 *	  Lists of test numbers: their grammar, their last days, and the IDs of their
 *	  verifications.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/test_numbers.h"
#include "exact.h"
#include "tap.h"

#define DAY INT64_C(86400)

/* 2026-11-29 00:00:00 UTC, and noon. */
#define TODAY INT64_C(1795910400)
#define NOON (TODAY + DAY / 2)

static void test_entries(void);
static void test_faults(void);
static void test_last_day(void);
static void test_calendar(void);
static void test_size(void);
static void test_ids(void);
static bool parse(const char *text, int64_t now_s, char *fault);

static PnvsTestNumbers *numbers;

int
main(void)
{
	numbers = exact_alloc(sizeof(PnvsTestNumbers));
	test_entries();
	test_faults();
	test_last_day();
	test_calendar();
	test_size();
	test_ids();
	free(numbers);
	return tap_done();
}

static void
test_entries(void)
{
	char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE];
	const PnvsTestNumber *found;

	tap_ok(parse("", NOON, fault), "an empty list is valid");
	tap_int(numbers->nnumbers, 0, "and has no numbers");
	tap_ok(parse(" ", NOON, fault), "and so is white space");
	tap_ok(parse("6590000001=123456 until 2027-01-31, +65 9000-0002 = 87654321 until 2026-12-01 ", NOON, fault),
		   "a list of two is valid");
	tap_int(numbers->nnumbers, 2, "and has two numbers");
	found = pnvs_test_numbers_find(numbers, "6590000001", NOON);
	tap_text(found ? found->code : "none", "123456", "a number has its code");
	found = pnvs_test_numbers_find(numbers, "6590000002", NOON);
	tap_text(found ? found->code : "none", "87654321", "a number as people write it is found by its digits");
	tap_ok(pnvs_test_numbers_find(numbers, "6590000003", NOON) == NULL, "another number is not found");
	tap_ok(pnvs_test_numbers_find(numbers, "659000000", NOON) == NULL, "nor is the beginning of a number");
	tap_ok(parse("6590000001=1234 until 2026-11-29,6590000002=1234 until 2026-11-29", NOON, fault),
		   "a list needs no spaces, codes may be short, and the last day may be today");
}

static void
test_faults(void)
{
	static const struct
	{
		const char *text;
		const char *fault;
	}			cases[] = {
		{"6590000001", "Entry 1 has no \"=\" between number and code."},
		{"6590000001, 6590000002=123456 until 2026-12-01", "Entry 1 has no \"=\" between number and code."},
		{"=123456 until 2026-12-01", "Entry 1 has no valid phone number."},
		{"090000001=123456 until 2026-12-01", "Entry 1 has no valid phone number."},
		{"6590000001 6590000002 6590000003 6590000004=123456 until 2026-12-01", "Entry 1 has no valid phone number."},
		{"6590000001=", "Entry 1 has no code of 4 to 8 digits."},
		{"6590000001=123 until 2026-12-01", "Entry 1 has no code of 4 to 8 digits."},
		{"6590000001=123456789 until 2026-12-01", "Entry 1 has no code of 4 to 8 digits."},
		{"6590000001=12a456 until 2026-12-01", "Entry 1 has no code of 4 to 8 digits."},
		{"6590000001=123456", "Entry 1 has no \"until\" with its last day."},
		{"6590000001=123456, 6590000002=123456 until 2026-12-01", "Entry 1 has no \"until\" with its last day."},
		{"6590000001=123456 2026-12-01", "Entry 1 has no \"until\" with its last day."},
		{"6590000001=123456 until", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 2026-1-1", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 26-01-01", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 2026/12/01", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 2026-12", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 2026-12-0", "Entry 1 has no last day of the form 2027-01-31."},
		{"6590000001=123456 until 2026-13-01", "Entry 1 has a last day that is in no calendar."},
		{"6590000001=123456 until 2026-00-01", "Entry 1 has a last day that is in no calendar."},
		{"6590000001=123456 until 2027-02-29", "Entry 1 has a last day that is in no calendar."},
		{"6590000001=123456 until 1969-12-31", "Entry 1 has a last day that is in no calendar."},
		{"6590000001=123456 until 2027-02-28", "Entry 1 has a last day more than 90 days ahead."},
		{"6590000001=123456 until 9999-12-31", "Entry 1 has a last day more than 90 days ahead."},
		{"6590000001=123456 until 2026-12-011", "Entry 1 has more behind its last day."},
		{"6590000001=123456 until 2026-12-01 12:00", "Entry 1 has more behind its last day."},
		{"6590000001=123456 until 2026-12-01,", "Entry 1 is followed by a comma and no other entry."},
		{",", "Entry 1 has no \"=\" between number and code."},
		{"6590000001=123456 until 2026-12-01, +6590000001=123457 until 2026-12-01",
		"Entry 2 has the number of an earlier entry."},
		{"6590000001=123456 until 2026-12-01, x=123457 until 2026-12-01", "Entry 2 has no valid phone number."},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE] = "";

		tap_int(parse(cases[i].text, NOON, fault), false, "this list is refused: \"%s\"", cases[i].text);
		tap_text(fault, cases[i].fault, "and why: \"%s\"", cases[i].text);
	}
}

static void
test_last_day(void)
{
	char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE];

	tap_ok(parse("6590000001=123456 until 2026-11-29", NOON, fault), "a last day of today is valid");
	tap_ok(pnvs_test_numbers_find(numbers, "6590000001", TODAY + DAY - 1) != NULL,
		   "the last second of its last day, it is a test number");
	tap_ok(pnvs_test_numbers_find(numbers, "6590000001", TODAY + DAY) == NULL,
		   "when that day is over in UTC, it is a number like any other");
	tap_ok(parse("6590000001=123456 until 2020-02-29", NOON, fault), "a last day in the past is valid");
	tap_ok(pnvs_test_numbers_find(numbers, "6590000001", NOON) == NULL, "and its number is no test number");
	tap_ok(parse("6590000001=123456 until 2027-02-27", TODAY + DAY - 1, fault), "90 days ahead is valid");
	tap_ok(!parse("6590000001=123456 until 2027-02-28", TODAY + DAY - 1, fault), "91 days ahead is not");
	tap_ok(parse("6590000001=123456 until 2027-02-28", TODAY + DAY, fault), "until the next day begins");
}

/* Every day of some years, against the C library's calendar. */
static void
test_calendar(void)
{
	static const int years[] = {1970, 1972, 2000, 2026, 2028, 2100, 2400};
	int			wrong = 0;

	for (size_t i = 0; i < TAP_LENGTH(years); i++)
	{
		for (int month = 1; month <= 12; month++)
		{
			for (int day = 1; day <= 31; day++)
			{
				struct tm	time = {.tm_year = years[i] - 1900,.tm_mon = month - 1,.tm_mday = day};
				int64_t		begin = (int64_t) timegm(&time);
				bool		exists = time.tm_mday == day;
				char		text[64];
				char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE];

				snprintf(text, sizeof(text), "6590000001=123456 until %04d-%02d-%02d", years[i], month, day);
				if (parse(text, begin, fault) != exists ||
					(exists && numbers->numbers[0].ends_at_s != begin + DAY))
					wrong++;
			}
		}
	}
	tap_int(wrong, 0, "days are those of the calendar");
}

static void
test_size(void)
{
	static char text[(PNVS_MAX_TEST_NUMBERS + 1) * 64];
	char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE];
	size_t		len = 0;

	for (int i = 0; i < PNVS_MAX_TEST_NUMBERS; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "%s65900001%02d=123456 until 2026-12-01",
								 i == 0 ? "" : ",", i);
	tap_ok(parse(text, NOON, fault), "a list of 100 numbers is valid");
	tap_ok(pnvs_test_numbers_find(numbers, "6590000199", NOON) != NULL, "and the last one is in it");
	strcpy(text + len, ",6590000300=123456 until 2026-12-01");
	tap_ok(!parse(text, NOON, fault), "one more is refused");
	tap_text(fault, "Entry 101 is one too many.", "and the fault says so");
}

static void
test_ids(void)
{
	static const struct
	{
		const char *id;
		const char *expected;	/* or NULL */
	}			cases[] = {
		{"test-6590000001-0123456789abcdef", "6590000001"},
		{"test-659000001234567-x", "659000001234567"},
		{"test-6590000-", "6590000"},
		{"test-6590000012345678-x", NULL},
		{"test-659000-x", NULL},
		{"test-6590000001", NULL},
		{"test-", NULL},
		{"test", NULL},
		{"test--x", NULL},
		{"TEST-6590000001-x", NULL},
		{"6590000001-x", NULL},
		{"a1B2c3/d4E5f6+g7H8i9J0", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *id = exact_copy(cases[i].id);
		char	   *digits = exact_alloc(PNVS_PHONE_NUMBER_SIZE);
		bool		found = pnvs_test_id_number(id, digits);

		tap_text(found ? digits : "none", cases[i].expected ? cases[i].expected : "none",
				 "the number of \"%s\"", cases[i].id);
		free(digits);
		free(id);
	}
}

static bool
parse(const char *text, int64_t now_s, char *fault)
{
	char	   *copy = exact_copy(text);
	bool		valid = pnvs_test_numbers_parse(copy, now_s, numbers, fault);

	free(copy);
	return valid;
}
