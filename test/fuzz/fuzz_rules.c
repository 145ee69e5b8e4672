/*-------------------------------------------------------------------------
 *
 * fuzz_rules.c
 *	  Fuzzes what the guard reads: rules that are accepted are within their bounds, and
 *	  their text is read as the same rules; a fault is a message of one line; a rate_key's
 *	  key is a key of its own.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>

#include "core/breaker.h"
#include "core/rate_key.h"
#include "core/rules.h"
#include "core/setting_text.h"
#include "fuzz.h"

#define ALL_SIZE (PNVS_MAX_RULES * (PNVS_RULE_TEXT_SIZE + 1))

static void check_rules(const char *text);
static void show(const PnvsRules *rules, char all[ALL_SIZE]);
static void check_breaker(const char *text);
static void check_rate_key(const char *text);
static void check_fault(const char *fault, size_t size, bool valid);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);

	check_rules(text);
	check_breaker(text);
	check_rate_key(text);
	free(text);
	return 0;
}

static void
check_rules(const char *text)
{
	char		shown[ALL_SIZE];
	char		again[ALL_SIZE];
	char		fault[PNVS_RULES_FAULT_SIZE];
	PnvsRules	rules;
	bool		valid = pnvs_rules_parse(text, &rules, fault);

	check_fault(fault, sizeof(fault), valid);
	FUZZ_ASSERT(valid || rules.nrules == 0);
	for (int i = 0; i < rules.nrules; i++)
	{
		const PnvsLimit *limit = &rules.rules[i].limit;

		FUZZ_ASSERT(limit->max >= 1 && limit->max <= 1000000);
		FUZZ_ASSERT(limit->interval_us >= PNVS_SECOND_US && limit->interval_us <= 31 * PNVS_DAY_US);
	}
	show(&rules, shown);
	FUZZ_ASSERT(pnvs_rules_parse(shown, &rules, fault));
	show(&rules, again);
	FUZZ_ASSERT(strcmp(shown, again) == 0);
}

/* All rules, by their texts. */
static void
show(const PnvsRules *rules, char all[ALL_SIZE])
{
	all[0] = '\0';
	for (int i = 0; i < rules->nrules; i++)
	{
		char		text[PNVS_RULE_TEXT_SIZE];

		pnvs_rule_text(&rules->rules[i], text);
		strcat(strcat(all, i > 0 ? "," : ""), text);
	}
}

static void
check_breaker(const char *text)
{
	char		fault[PNVS_BREAKER_FAULT_SIZE];
	PnvsBreakerRule rule;
	bool		valid = pnvs_breaker_parse(text, &rule, fault);

	check_fault(fault, sizeof(fault), valid);
	if (rule.min_numbers == 0)
		return;
	FUZZ_ASSERT(valid && rule.min_numbers <= 1000000);
	FUZZ_ASSERT(rule.interval_us >= PNVS_MINUTE_US && rule.interval_us <= PNVS_DAY_US);
	FUZZ_ASSERT(rule.min_percent >= 1 && rule.min_percent <= 99);
	FUZZ_ASSERT(rule.open_us >= PNVS_MINUTE_US && rule.open_us <= 31 * PNVS_DAY_US);
}

static void
check_rate_key(const char *text)
{
	char		key[PNVS_RATE_KEY_SIZE];
	char		again[PNVS_RATE_KEY_SIZE];

	if (pnvs_rate_key_normalise(text, key) != PNVS_RATE_KEY_OK)
		return;
	FUZZ_ASSERT(key[0] != '\0' && strlen(key) <= strlen(text) + 8);
	FUZZ_ASSERT(pnvs_rate_key_normalise(key, again) == PNVS_RATE_KEY_OK);
	FUZZ_ASSERT(strcmp(key, again) == 0);
}

/* A fault is there if it must be, and complete. */
static void
check_fault(const char *fault, size_t size, bool valid)
{
	FUZZ_ASSERT(valid == (fault[0] == '\0'));
	FUZZ_ASSERT(strlen(fault) < size - 1);
	for (; *fault; fault++)
		FUZZ_ASSERT((unsigned char) *fault >= ' ');
}
