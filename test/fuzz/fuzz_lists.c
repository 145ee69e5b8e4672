/*-------------------------------------------------------------------------
 *
 * fuzz_lists.c
 *	  Fuzzes the lists of channels, countries and test numbers: what is accepted keeps its
 *	  promises, and a fault never quotes more than a few characters.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/channel_list.h"
#include "core/country_list.h"
#include "core/test_numbers.h"
#include "fuzz.h"

/* 2026-11-29 12:00:00 UTC. */
#define NOW_S INT64_C(1795953600)
#define DAY_S INT64_C(86400)

static void check_channels(const char *text);
static void check_countries(const char *text);
static void check_test_numbers(const char *text);
static bool is_digits(const char *text, size_t min, size_t max);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);
	char		digits[PNVS_PHONE_NUMBER_SIZE];

	check_channels(text);
	check_countries(text);
	check_test_numbers(text);
	if (pnvs_test_id_number(text, digits))
		FUZZ_ASSERT(is_digits(digits, PNVS_PHONE_NUMBER_MIN_DIGITS, PNVS_PHONE_NUMBER_MAX_DIGITS));
	free(text);
	return 0;
}

static void
check_channels(const char *text)
{
	uint32_t	channels;

	if (pnvs_channel_list_parse(text, &channels))
		FUZZ_ASSERT(channels != 0 && (channels & ~(PNVS_CHANNEL_BIT(PNVS_SMS) |
												   PNVS_CHANNEL_BIT(PNVS_VOICE) |
												   PNVS_CHANNEL_BIT(PNVS_WHATSAPP))) == 0);
}

static void
check_countries(const char *text)
{
	static const char *const numbers[] = {"14155550100", "18765550100", "6281234567890", "21012345678", ""};
	PnvsCountryList *list = malloc(sizeof(PnvsCountryList));
	char		fault[PNVS_COUNTRIES_FAULT_SIZE] = "";

	if (pnvs_country_list_parse(text, list, fault))
	{
		bool		all_excluded = true;

		FUZZ_ASSERT(list->ncountries >= 0 && list->ncountries <= PNVS_MAX_COUNTRIES);
		for (int i = 0; i < list->ncountries; i++)
		{
			const PnvsCountry *country = &list->countries[i];

			FUZZ_ASSERT((country->region[0] != '\0') != (country->calling_code != 0));
			all_excluded = all_excluded && country->excluded;
		}
		FUZZ_ASSERT(list->includes == !all_excluded);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
			FUZZ_ASSERT(list->ncountries > 0 || pnvs_country_list_allows(list, numbers[i]));
	}
	else
		FUZZ_ASSERT(fault[0] != '\0' && strlen(fault) < sizeof(fault));
	free(list);
}

static void
check_test_numbers(const char *text)
{
	PnvsTestNumbers *numbers = malloc(sizeof(PnvsTestNumbers));
	char		fault[PNVS_TEST_NUMBERS_FAULT_SIZE] = "";

	if (pnvs_test_numbers_parse(text, NOW_S, numbers, fault))
	{
		FUZZ_ASSERT(numbers->nnumbers >= 0 && numbers->nnumbers <= PNVS_MAX_TEST_NUMBERS);
		for (int i = 0; i < numbers->nnumbers; i++)
		{
			const PnvsTestNumber *number = &numbers->numbers[i];

			FUZZ_ASSERT(is_digits(number->digits, PNVS_PHONE_NUMBER_MIN_DIGITS, PNVS_PHONE_NUMBER_MAX_DIGITS));
			FUZZ_ASSERT(is_digits(number->code, PNVS_TEST_CODE_MIN_LEN, PNVS_TEST_CODE_MAX_LEN));
			FUZZ_ASSERT(number->ends_at_s % DAY_S == 0);
			FUZZ_ASSERT(number->ends_at_s <= NOW_S + (PNVS_TEST_NUMBER_MAX_DAYS + 1) * DAY_S);
			FUZZ_ASSERT((pnvs_test_numbers_find(numbers, number->digits, NOW_S) == number) ==
						(NOW_S < number->ends_at_s));
		}
	}
	else
		FUZZ_ASSERT(fault[0] != '\0' && strlen(fault) < sizeof(fault));
	free(numbers);
}

static bool
is_digits(const char *text, size_t min, size_t max)
{
	size_t		len = strlen(text);

	return len >= min && len <= max && strspn(text, "0123456789") == len;
}
