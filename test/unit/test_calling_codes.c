/*-------------------------------------------------------------------------
 *
 * test_calling_codes.c
 *	  Numbering plans: calling codes, regions, leading zeros, lengths.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/calling_codes.h"
#include "exact.h"
#include "tap.h"

static void test_regions(void);
static void test_codes_by_zone(void);
static void test_plans(void);
static void test_lengths(void);
static void test_premium(void);

int
main(void)
{
	test_regions();
	test_codes_by_zone();
	test_plans();
	test_lengths();
	test_premium();
	return tap_done();
}

static void
test_regions(void)
{
	static const struct
	{
		const char *digits;
		const char *expected;
		const char *country;
	}			cases[] = {
		{"14155550100", "US", "the United States"},
		{"14165550100", "CA", "Canada"},
		{"12425550100", "BS", "the Bahamas"},
		{"18765550100", "JM", "Jamaica"},
		{"16585550100", "JM", "Jamaica's second area code"},
		{"17875550100", "PR", "Puerto Rico"},
		{"18095550100", "DO", "the Dominican Republic"},
		{"12115550100", NULL, "an area code of +1 that nobody has"},
		{"1999", NULL, "the beginning of one"},
		{"79161234567", "RU", "Russia"},
		{"77011234567", "KZ", "Kazakhstan"},
		{"442079460958", "GB", "the United Kingdom"},
		{"447911123456", "GG", "Guernsey among British mobile numbers"},
		{"447911023456", "GB", "the British numbers beside it"},
		{"441534123456", "JE", "Jersey"},
		{"441624123456", "IM", "the Isle of Man"},
		{"390612345678", "IT", "Italy"},
		{"390669812345", "VA", "the Vatican"},
		{"4779123456", "SJ", "Svalbard"},
		{"4741234567", "NO", "Norway"},
		{"61891621234", "CC", "the Cocos Islands"},
		{"61412345678", "AU", "Australia"},
		{"2905123", "SH", "Saint Helena"},
		{"2908123", "TA", "Tristan da Cunha"},
		{"6281234567890", "ID", "Indonesia"},
		{"6591234567", "SG", "Singapore"},
		{"85251234567", "HK", "Hong Kong"},
		{"88212345678", NULL, "a network of no country"},
		{"21012345678", NULL, "a calling code that nobody has"},
		{"", NULL, "no number"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *digits = exact_copy(cases[i].digits);
		const char *region = pnvs_calling_code_region(digits);

		tap_text(region ? region : "none", cases[i].expected ? cases[i].expected : "none",
				 "the region of %s", cases[i].country);
		free(digits);
	}
}

/*
 * Every beginning of two digits, against E.164's assignments by zone: in each
 * string, 1, 2 or 3 stands for the length of codes that begin with the zone's
 * digit and the digit of that place, and 0 for no code at all.
 */
static void
test_codes_by_zone(void)
{
	static const char *const zones[] = {
		[1] = "1111111111",
		[2] = "2333333203",
		[3] = "2222232332",
		[4] = "2232222222",
		[5] = "3222222223",
		[6] = "2222222333",
		[7] = "1111111111",
		[8] = "3220232330",
		[9] = "2222223323",
	};

	for (int zone = 1; zone <= 9; zone++)
	{
		char		lengths[] = "0000000000";

		for (int digit = 0; digit <= 9; digit++)
		{
			for (int third = 0; third <= 9; third++)
			{
				char		number[] = "???12345678";
				const PnvsCallingCode *plan;

				number[0] = (char) ('0' + zone);
				number[1] = (char) ('0' + digit);
				number[2] = (char) ('0' + third);
				plan = pnvs_calling_code_find(number);
				if (plan)
					lengths[digit] = (char) ('0' + pnvs_calling_code_len(plan));
			}
		}
		tap_text(lengths, zones[zone], "calling codes of zone %d have E.164's lengths", zone);
	}
}

static void
test_plans(void)
{
	static const struct
	{
		const char *code;
		int			leading_zeros;
		int			shortest;
		int			longest;
		PnvsPlanKind kind;
	}			cases[] = {
		{"1", 0, 7, 10, PNVS_PLAN_GEOGRAPHIC},
		{"39", 1, 6, 12, PNVS_PLAN_GEOGRAPHIC},
		{"44", 0, 7, 10, PNVS_PLAN_GEOGRAPHIC},
		{"47", 0, 5, 8, PNVS_PLAN_GEOGRAPHIC},
		{"62", 0, 7, 13, PNVS_PLAN_GEOGRAPHIC},
		{"225", 1, 10, 10, PNVS_PLAN_GEOGRAPHIC},
		{"229", 1, 8, 10, PNVS_PLAN_GEOGRAPHIC},
		{"241", 1, 7, 8, PNVS_PLAN_GEOGRAPHIC},
		{"242", 1, 9, 9, PNVS_PLAN_GEOGRAPHIC},
		{"378", 1, 8, 10, PNVS_PLAN_GEOGRAPHIC},
		{"870", 0, 9, 12, PNVS_PLAN_SATELLITE},
		{"979", 0, 9, 9, PNVS_PLAN_PREMIUM},
		{"808", 0, 8, 8, PNVS_PLAN_SERVICE},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		const PnvsCallingCode *plan = pnvs_calling_code_find(cases[i].code);

		if (!tap_ok(plan != NULL, "there is a plan of +%s", cases[i].code))
			continue;
		tap_int(plan->leading_zeros, cases[i].leading_zeros, "zeros before numbers of +%s", cases[i].code);
		tap_int(plan->shortest, cases[i].shortest, "the shortest number of +%s", cases[i].code);
		tap_int(plan->longest, cases[i].longest, "the longest number of +%s", cases[i].code);
		tap_int(plan->kind, cases[i].kind, "the kind of +%s", cases[i].code);
	}
	tap_ok(pnvs_calling_code_find("2") == NULL, "half a calling code is none");
	tap_ok(pnvs_calling_code_find("0") == NULL, "no calling code begins with 0");
}

static void
test_lengths(void)
{
	static const struct
	{
		const char *digits;
		bool		fits;
		const char *sentence;
	}			cases[] = {
		{"14155550100", true, "10 digits fit +1"},
		{"141555501000", false, "11 digits do not"},
		{"1415555", false, "nor do 6"},
		{"6591234567", true, "8 digits fit +65"},
		{"659123456", false, "7 digits do not"},
		{"6281234567890", true, "11 digits fit +62"},
		{"628123456789012", true, "13 digits are its longest number"},
		{"22997123456", true, "8 digits fit +229"},
		{"2290197123456", true, "10 digits fit +229, as Benin has them since 2024"},
		{"2451234567890", true, "10 digits fit +245, whatever the table says"},
		{"24512345678901", false, "11 digits do not"},
		{"2904567", true, "a short number fits +290"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *digits = exact_copy(cases[i].digits);

		tap_int(pnvs_calling_code_fits(pnvs_calling_code_find(digits), digits), cases[i].fits,
				"%s", cases[i].sentence);
		free(digits);
	}
	tap_int(pnvs_calling_code_has_region("ID"), 1, "the table has Indonesia");
	tap_int(pnvs_calling_code_has_region("JM"), 1, "and Jamaica, which is no main region");
	tap_int(pnvs_calling_code_has_region("UK"), 0, "but not the United Kingdom by another name");
	tap_int(pnvs_calling_code_has_region(""), 0, "an empty text is no region");
}

static void
test_premium(void)
{
	static const char *const premium[] = {"19005550100", "449012345678", "491377123456", "979123456789"};
	static const char *const others[] = {
		"14155550100", "447911123456", "4987123456789", "6281234567890", "870123456789", "4", ""
	};

	for (size_t i = 0; i < TAP_LENGTH(premium); i++)
		tap_int(pnvs_calling_code_is_premium(premium[i]), 1, "%s is a premium number", premium[i]);
	for (size_t i = 0; i < TAP_LENGTH(others); i++)
		tap_int(pnvs_calling_code_is_premium(others[i]), 0, "\"%s\" is no premium number", others[i]);
}
