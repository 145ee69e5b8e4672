/*-------------------------------------------------------------------------
 *
 * test_country_list.c
 *	  Lists of countries: their grammar, and the numbers that they allow.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/country_list.h"
#include "exact.h"
#include "tap.h"

static void test_allowed(void);
static void test_faults(void);
static void test_size(void);
static bool parse(const char *text, PnvsCountryList *list, char *fault);

int
main(void)
{
	test_allowed();
	test_faults();
	test_size();
	return tap_done();
}

static void
test_allowed(void)
{
	static const struct
	{
		const char *list;
		const char *digits;
		bool		allowed;
		const char *sentence;
	}			cases[] = {
		{"", "6281234567890", true, "an empty list allows every country"},
		{"", "21012345678", true, "and a calling code that the table lacks"},
		{" , ", "6281234567890", true, "a list of separators is empty"},
		{"ID SG", "6281234567890", true, "a country of the list is allowed"},
		{"ID SG", "6591234567", true, "and so is another one"},
		{"ID SG", "60123456789", false, "one that is not in it is refused"},
		{"id,sg", "6591234567", true, "lower-case letters and commas are taken"},
		{"US", "14155550100", true, "US allows the United States"},
		{"US", "18765550100", false, "US does not allow Jamaica"},
		{"US", "14165550100", false, "nor Canada"},
		{"US", "17875550100", false, "nor Puerto Rico"},
		{"US", "12115550100", false, "nor an area code that nobody has"},
		{"+1", "14155550100", true, "+1 allows the United States"},
		{"+1", "18765550100", true, "and Jamaica"},
		{"+1", "12115550100", true, "and an area code that nobody has"},
		{"+1", "442079460958", false, "but not +44"},
		{"+1 -JM", "18765550100", false, "a region can be excluded from a calling code"},
		{"+1 -JM", "14155550100", true, "its other regions stay"},
		{"-+1 US", "14155550100", false, "what is excluded is not allowed by its region"},
		{"GB", "447911123456", false, "GB does not allow Guernsey"},
		{"GB -+44", "442079460958", false, "an excluded calling code has all of its regions"},
		{"+7", "77011234567", true, "+7 allows Kazakhstan"},
		{"RU", "77011234567", false, "RU does not"},
		{"KZ", "77011234567", true, "KZ does"},
		{"IT", "390669812345", false, "IT does not allow the Vatican"},
		{"-ID", "6281234567890", false, "an excluded country is refused"},
		{"-ID", "6591234567", true, "and all others are allowed"},
		{"-ID", "21012345678", true, "also a calling code that the table lacks"},
		{"-ID", "88212345678", true, "also a network of no country"},
		{"ID", "21012345678", false, "with included countries, a calling code that the table lacks is refused"},
		{"ID", "88212345678", false, "and so is a network of no country"},
		{"ID +882", "88212345678", true, "unless its calling code is included"},
		{"-+881 -+882", "88112345678", false, "satellites can be excluded"},
		{"SG +65", "6591234567", true, "a country may be there twice"},
		{"ID", "", false, "no number is of no country"},
	};
	char		fault[PNVS_COUNTRIES_FAULT_SIZE];

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		PnvsCountryList *list = exact_alloc(sizeof(PnvsCountryList));
		char	   *digits = exact_copy(cases[i].digits);

		tap_ok(parse(cases[i].list, list, fault), "\"%s\" is a list of countries", cases[i].list);
		tap_int(pnvs_country_list_allows(list, digits), cases[i].allowed, "%s: \"%s\", %s",
				cases[i].sentence, cases[i].list, cases[i].digits);
		free(digits);
		free(list);
	}
}

static void
test_faults(void)
{
	static const struct
	{
		const char *list;
		const char *fault;
		const char *sentence;
	}			cases[] = {
		{"ID UK", "Word 2, \"UK\", is", "the old code of a country is refused, and named"},
		{"EU", "Word 1, \"EU\", is", "what is no country is refused"},
		{"IDN", "Word 1, \"IDN\", is", "a code of three letters is refused"},
		{"I", "Word 1, \"I\", is", "one letter is refused"},
		{"-", "Word 1, \"-\", is", "a minus sign alone is refused"},
		{"+", "Word 1, \"+\", is", "a plus sign alone is refused"},
		{"-+", "Word 1, \"-+\", is", "both are refused"},
		{"--ID", "Word 1, \"--ID\", is", "two minus signs are refused"},
		{"+-1", "Word 1, \"+-1\", is", "signs in the wrong order are refused"},
		{"65", "Word 1, \"65\", is", "a calling code without its plus sign is refused"},
		{"ID, +999", "Word 2, \"+999\", is", "a calling code that nobody has is refused"},
		{"+6", "Word 1, \"+6\", is", "half a calling code is refused"},
		{"+655", "Word 1, \"+655\", is", "a calling code with a digit too many is refused"},
		{"+1876", "Word 1, \"+1876\", is", "an area code is refused"},
		{"+0", "Word 1, \"+0\", is", "a zero is refused"},
		{"+6a", "Word 1, \"+6a\", is", "a letter in a calling code is refused"},
		{"1D", "Word 1, \"1D\", is", "a digit in a country's code is refused"},
		{"ID SG Singapore", "Word 3 is", "a longer word is not quoted"},
	};
	char		fault[PNVS_COUNTRIES_FAULT_SIZE];

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		PnvsCountryList *list = exact_alloc(sizeof(PnvsCountryList));

		memset(fault, 0, sizeof(fault));
		tap_int(parse(cases[i].list, list, fault), false, "%s: \"%s\"", cases[i].sentence, cases[i].list);
		fault[strlen(cases[i].fault)] = '\0';
		tap_text(fault, cases[i].fault, "the fault of \"%s\" names its place", cases[i].list);
		free(list);
	}
}

static void
test_size(void)
{
	static char text[3 * PNVS_MAX_COUNTRIES + 8];
	PnvsCountryList *list = exact_alloc(sizeof(PnvsCountryList));
	char		fault[PNVS_COUNTRIES_FAULT_SIZE];

	for (int i = 0; i < PNVS_MAX_COUNTRIES; i++)
		strcat(text, "ID ");
	tap_ok(parse(text, list, fault), "as many words as there is room for are taken");
	strcat(text, "SG");
	tap_ok(!parse(text, list, fault), "one more is refused");
	tap_text(fault, "It has more than 512 words.", "and the fault says so");
	free(list);
}

static bool
parse(const char *text, PnvsCountryList *list, char *fault)
{
	char	   *copy = exact_copy(text);
	bool		valid = pnvs_country_list_parse(copy, list, fault);

	free(copy);
	return valid;
}
