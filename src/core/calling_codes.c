/*-------------------------------------------------------------------------
 *
 * calling_codes.c
 *	  Finds the numbering plan of a phone number, and its region.
 *
 * Numbers are normalised: the digits of the calling code and the national number.  The
 * table is a snapshot: plans change, and a number that is not in it may exist.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/calling_codes.h"
#include "core/calling_codes_table.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/*
 * Plans with shorter numbers grow: those of Ivory Coast and Benin had 8 digits and now have
 * 10, which is enough for any country.
 */
#define ENOUGH_DIGITS 10

static const PnvsRegionPrefix *find_region(uint32_t prefix);
static bool has_premium(uint32_t prefix);
static int	compare_prefixes(const void *key, const void *row);
static uint32_t leading_digits(const char *digits, size_t len);

/*
 * The plan of the calling code that a number begins with, or NULL if the table has none.
 * No code is a prefix of another one (E.164, section 6.2.1).
 */
const PnvsCallingCode *
pnvs_calling_code_find(const char *digits)
{
	size_t		len = strnlen(digits, 3);
	uint32_t	first = leading_digits(digits, len) * (len == 3 ? 1 : len == 2 ? 10 : 100);
	uint8_t		row = code_rows[first];

	if (row == 0 || len < pnvs_calling_code_len(&calling_codes[row - 1]))
		return NULL;
	return &calling_codes[row - 1];
}

/* The number of digits of a calling code. */
size_t
pnvs_calling_code_len(const PnvsCallingCode *plan)
{
	return plan->code < 10 ? 1 : plan->code < 100 ? 2 : 3;
}

/*
 * Whether a number of a plan can exist, by the length of the national number.  No plan gets
 * shorter numbers, but the table may not know yet that a plan has longer ones.
 */
bool
pnvs_calling_code_fits(const PnvsCallingCode *plan, const char *digits)
{
	size_t		len = strlen(digits) - pnvs_calling_code_len(plan);

	return len >= plan->shortest && (len <= plan->longest || len <= ENOUGH_DIGITS);
}

/* The region of a number by ISO 3166, or NULL if the table has none. */
const char *
pnvs_calling_code_region(const char *digits)
{
	const PnvsCallingCode *plan = pnvs_calling_code_find(digits);

	if (plan == NULL)
		return NULL;
	for (size_t len = plan->region_digits; len > pnvs_calling_code_len(plan); len--)
	{
		const PnvsRegionPrefix *found = find_region(leading_digits(digits, len));

		if (found)
			return found->region;
	}
	return plan->region[0] ? plan->region : NULL;
}

/* Whether the table has numbers of a region. */
bool
pnvs_calling_code_has_region(const char *region)
{
	for (size_t i = 0; i < LENGTH(calling_codes); i++)
	{
		if (strcmp(calling_codes[i].region, region) == 0)
			return region[0] != '\0';
	}
	for (size_t i = 0; i < LENGTH(region_prefixes); i++)
	{
		if (strcmp(region_prefixes[i].region, region) == 0)
			return true;
	}
	return false;
}

/* Whether a number is in a range of premium-rate numbers alone. */
bool
pnvs_calling_code_is_premium(const char *digits)
{
	const PnvsCallingCode *plan = pnvs_calling_code_find(digits);

	if (plan == NULL)
		return false;
	for (size_t len = plan->premium_digits; len > pnvs_calling_code_len(plan); len--)
	{
		if (has_premium(leading_digits(digits, len)))
			return true;
	}
	return plan->kind == PNVS_PLAN_PREMIUM;
}

static const PnvsRegionPrefix *
find_region(uint32_t prefix)
{
	return bsearch(&prefix, region_prefixes, LENGTH(region_prefixes),
				   sizeof(region_prefixes[0]), compare_prefixes);
}

static bool
has_premium(uint32_t prefix)
{
	return bsearch(&prefix, premium_prefixes, LENGTH(premium_prefixes),
				   sizeof(premium_prefixes[0]), compare_prefixes) != NULL;
}

/* For bsearch(): rows of both tables begin with their prefix. */
static int
compare_prefixes(const void *key, const void *row)
{
	uint32_t	wanted = *(const uint32_t *) key;
	uint32_t	prefix = *(const uint32_t *) row;

	return (wanted > prefix) - (wanted < prefix);
}

/* The first digits of a number; 0, which no number begins with, if it has fewer. */
static uint32_t
leading_digits(const char *digits, size_t len)
{
	uint32_t	value = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (digits[i] == '\0')
			return 0;
		value = value * 10 + (uint32_t) (digits[i] - '0');
	}
	return value;
}
