/*-------------------------------------------------------------------------
 *
 * country_list.c
 *	  Reads a list of countries, and judges numbers by it.
 *
 * A region is not the whole of its calling code: "US" has neither Canada nor Jamaica, and
 * no number of +1 whose area code nobody has.  "+1" has them all.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/country_list.h"

/* Of a calling code; no code is longer. */
#define MAX_CODE_DIGITS 3

/* A word is quoted if it is no longer: longer ones may be a secret in the wrong place. */
#define MAX_QUOTED_LEN 5

static bool parse_country(const char *word, size_t len, PnvsCountry *country);
static bool parse_code(const char *digits, size_t len, PnvsCountry *country);
static bool parse_region(const char *letters, size_t len, PnvsCountry *country);
static bool is_of(const PnvsCountry *country, const PnvsCallingCode *plan, const char *region);

/*
 * False if the list is not valid: fault is a sentence that names the word and its place.
 * An empty list allows all.
 */
bool
pnvs_country_list_parse(const char *text, PnvsCountryList *list,
						char fault[PNVS_COUNTRIES_FAULT_SIZE])
{
	size_t		len;

	memset(list, 0, sizeof(*list));
	while ((len = pnvs_ascii_next_word(&text)) > 0)
	{
		int			quoted_len = len <= MAX_QUOTED_LEN ? (int) len : 0;

		if (list->ncountries == PNVS_MAX_COUNTRIES)
		{
			snprintf(fault, PNVS_COUNTRIES_FAULT_SIZE, "It has more than %d words.",
					 PNVS_MAX_COUNTRIES);
			return false;
		}
		if (!parse_country(text, len, &list->countries[list->ncountries]))
		{
			snprintf(fault, PNVS_COUNTRIES_FAULT_SIZE,
					 "Word %d%s%.*s%s is neither a country's ISO code nor a calling code such as \"+65\".",
					 list->ncountries + 1, quoted_len ? ", \"" : "", quoted_len, text,
					 quoted_len ? "\"," : "");
			return false;
		}
		list->includes |= !list->countries[list->ncountries++].excluded;
		text += len;
	}
	return true;
}

/*
 * Whether a number may be sent to: its country is not excluded, and is included if the
 * list includes any.
 */
bool
pnvs_country_list_allows(const PnvsCountryList *list, const char *digits)
{
	const PnvsCallingCode *plan;
	const char *region;
	bool		included = !list->includes;

	if (list->ncountries == 0)
		return true;
	plan = pnvs_calling_code_find(digits);
	region = pnvs_calling_code_region(digits);
	for (int i = 0; i < list->ncountries; i++)
	{
		const PnvsCountry *country = &list->countries[i];

		if (!is_of(country, plan, region))
			continue;
		if (country->excluded)
			return false;
		included = true;
	}
	return included;
}

static bool
parse_country(const char *word, size_t len, PnvsCountry *country)
{
	memset(country, 0, sizeof(*country));
	country->excluded = word[0] == '-';
	if (country->excluded)
	{
		word++;
		len--;
	}
	return len > 0 && word[0] == '+' ? parse_code(word + 1, len - 1, country) :
		parse_region(word, len, country);
}

/* False unless the table has the code: a mistyped code would include nobody. */
static bool
parse_code(const char *digits, size_t len, PnvsCountry *country)
{
	char		code[MAX_CODE_DIGITS + 1] = "";
	const PnvsCallingCode *plan;

	if (len == 0 || len > MAX_CODE_DIGITS)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!pnvs_ascii_is_digit(digits[i]))
			return false;
		code[i] = digits[i];
	}
	plan = pnvs_calling_code_find(code);
	if (plan == NULL || pnvs_calling_code_len(plan) != len)
		return false;
	country->calling_code = plan->code;
	return true;
}

static bool
parse_region(const char *letters, size_t len, PnvsCountry *country)
{
	if (len != PNVS_REGION_SIZE - 1)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = pnvs_ascii_lower(letters[i]);

		if (c < 'a' || c > 'z')
			return false;
		country->region[i] = (char) (c - 'a' + 'A');
	}
	return pnvs_calling_code_has_region(country->region);
}

/* Whether a number's plan and region, which can be NULL, are those of an entry. */
static bool
is_of(const PnvsCountry *country, const PnvsCallingCode *plan, const char *region)
{
	if (country->calling_code != 0)
		return plan != NULL && country->calling_code == plan->code;
	return region != NULL && strcmp(country->region, region) == 0;
}
