/*-------------------------------------------------------------------------
 *
 * test_rules.c
 *	  Reading and writing the rules of pnvs.limits.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rules.h"
#include "core/setting_text.h"
#include "exact.h"
#include "tap.h"

/* The setting's default. */
static const char defaults[] = "number 1/30s, number unapproved 5/10min 10/1d, number VOICE 1/2min 3/1d, "
"prefix unapproved 20/1h 60/1d, key unapproved 10/10min, key 100/1h, "
"total 1000/1h 5000/1d, tries 10/1h 20/1d";

static PnvsRules rules;
static char fault[PNVS_RULES_FAULT_SIZE];

static bool
parse(const char *text)
{
	char	   *copy = exact_copy(text);
	bool		valid = pnvs_rules_parse(copy, &rules, fault);

	free(copy);
	return valid;
}

/* All rules, each by its text, separated by commas. */
static const char *
shown(void)
{
	static char all[PNVS_MAX_RULES * (PNVS_RULE_TEXT_SIZE + 2)];

	all[0] = '\0';
	for (int i = 0; i < rules.nrules; i++)
	{
		char	   *text = exact_alloc(PNVS_RULE_TEXT_SIZE);

		pnvs_rule_text(&rules.rules[i], text);
		strcat(strcat(all, i > 0 ? ", " : ""), text);
		free(text);
	}
	return all;
}

static void
test_defaults(void)
{
	static const char *const texts[] = {
		"number 1/30s", "number unapproved 5/10min", "number unapproved 10/1d",
		"number VOICE 1/2min", "number VOICE 3/1d", "prefix unapproved 20/1h",
		"prefix unapproved 60/1d", "key unapproved 10/10min", "key 100/1h",
		"total 1000/1h", "total 5000/1d", "tries 10/1h", "tries 20/1d",
	};

	tap_ok(parse(defaults), "the default is valid: %s", fault);
	tap_int(rules.nrules, TAP_LENGTH(texts), "each limit is a rule");
	for (int i = 0; i < rules.nrules; i++)
	{
		char		text[PNVS_RULE_TEXT_SIZE];

		pnvs_rule_text(&rules.rules[i], text);
		tap_text(text, texts[i], "rule %d of the default", i + 1);
	}
	tap_int(rules.rules[3].scope, PNVS_SCOPE_NUMBER, "the scope of a rule");
	tap_int(rules.rules[3].channel, PNVS_VOICE, "its channel");
	tap_int(rules.rules[3].limit.interval_us, 120 * PNVS_SECOND_US, "its interval");
	tap_int(rules.rules[3].limit.unapproved, false, "the next part of the setting does not inherit \"unapproved\"");
	tap_int(rules.rules[2].limit.max, 10, "the number of a limit");
	tap_int(rules.rules[2].limit.unapproved, true, "\"unapproved\" is for all limits of its part");
	tap_int(rules.rules[9].channel, PNVS_ANY_CHANNEL, "without a channel all are counted");
}

static void
test_spellings(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
	}			cases[] = {
		{"", ""},
		{" \t\r\n ", ""},
		{"number 1/30s", "number 1/30s"},
		{"NUMBER Sms UNAPPROVED 1/30S", "number SMS unapproved 1/30s"},
		{"\n number\tvoice  1 / 30 s \n,\ttotal 5/1 D ", "number VOICE 1/30s, total 5/1d"},
		{"number 1/30s,total 5/1d", "number 1/30s, total 5/1d"},
		{"country whatsapp 7/1h 8/2h", "country WHATSAPP 7/1h, country WHATSAPP 8/2h"},
		{"total 1/60s 2/120s 3/3600s 4/60min", "total 1/1min, total 2/2min, total 3/1h, total 4/1h"},
		{"total 1/24h 2/86400s 3/36h 4/90min 5/90s", "total 1/1d, total 2/1d, total 3/36h, total 4/90min, total 5/90s"},
		{"total 1000000/31d 1/1s", "total 1000000/31d, total 1/1s"},
		{"total 2/2678400s 2/44640min 3/744h", NULL},
		{"total 2/2678400s 3/44640min 4/744h", "total 2/31d, total 3/31d, total 4/31d"},
		{"total 0007/01h", "total 7/1h"},
		{"number 5/1h, number 3/1h", "number 5/1h, number 3/1h"},
		{"number 5/1h, number unapproved 5/1h, number SMS 5/1h", "number 5/1h, number unapproved 5/1h, number SMS 5/1h"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		bool		valid = parse(cases[i].text);

		tap_int(valid, cases[i].expected != NULL, "whether \"%s\" is valid: %s", cases[i].text, fault);
		tap_text(shown(), cases[i].expected ? cases[i].expected : "", "the rules of \"%s\"", cases[i].text);
		if (!valid)
			continue;
		tap_text(fault, "", "a valid setting has no fault");
		tap_ok(parse(shown()), "its rules are a setting");
		tap_text(shown(), cases[i].expected, "of the same rules");
	}
}

static void
test_faults(void)
{
	static const struct
	{
		const char *text;
		const char *fault;
	}			cases[] = {
		{"number 1/30s, total 5/1d, prefix 20/1y", "rule 3, \"prefix 20/1y\": \"1y\" is not an interval from 1s to 31d"},
		{"numbers 1/30s", "rule 1, \"numbers 1/30s\": \"numbers\" is not a scope (number, prefix, country, key, total, tries)"},
		{"num 1/30s", "rule 1, \"num 1/30s\": \"num\" is not a scope (number, prefix, country, key, total, tries)"},
		{"1/30s", "rule 1, \"1/30s\": \"1/30s\" is not a scope (number, prefix, country, key, total, tries)"},
		{"number", "rule 1, \"number\": a limit such as 5/10min (1 to 1000000) is missing"},
		{"number sms", "rule 1, \"number sms\": a limit such as 5/10min (1 to 1000000) is missing"},
		{"number fax 1/30s", "rule 1, \"number fax 1/30s\": \"fax\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number unapproved sms 1/30s", "rule 1, \"number unapproved sms 1/30s\": \"sms\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 0/30s", "rule 1, \"number 0/30s\": \"0/30s\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 1000001/30s", "rule 1, \"number 1000001/30s\": \"1000001/30s\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 18446744073709551617/30s", "rule 1, \"number 18446744073709551617/30s\": \"18446744073709551617/30s\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number -1/30s", "rule 1, \"number -1/30s\": \"-1/30s\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 5", "rule 1, \"number 5\": \"5\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 5/", "rule 1, \"number 5/\": an interval from 1s to 31d is missing"},
		{"number 5/h", "rule 1, \"number 5/h\": \"h\" is not an interval from 1s to 31d"},
		{"number 5/0s", "rule 1, \"number 5/0s\": \"0s\" is not an interval from 1s to 31d"},
		{"number 5/32d", "rule 1, \"number 5/32d\": \"32d\" is not an interval from 1s to 31d"},
		{"number 5/2678401s", "rule 1, \"number 5/2678401s\": \"2678401s\" is not an interval from 1s to 31d"},
		{"number 5/745h", "rule 1, \"number 5/745h\": \"745h\" is not an interval from 1s to 31d"},
		{"number 5/500ms", "rule 1, \"number 5/500ms\": \"500ms\" is not an interval from 1s to 31d"},
		{"number 5/1.5h", "rule 1, \"number 5/1.5h\": \"1.5h\" is not an interval from 1s to 31d"},
		{"number 5/10min/3", "rule 1, \"number 5/10min/3\": \"10min/3\" is not an interval from 1s to 31d"},
		{"number 5/10min6/1d", "rule 1, \"number 5/10min6/1d\": \"10min6/1d\" is not an interval from 1s to 31d"},
		{"number 5/10min unapproved", "rule 1, \"number 5/10min unapproved\": \"unapproved\" is not a limit such as 5/10min (1 to 1000000)"},
		{"total 1,000/1h", "rule 1, \"total 1\": \"1\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 5/1h number 6/1h", "rule 1, \"number 5/1h number 6/1h\": \"number\" is not a limit such as 5/10min (1 to 1000000)"},
		{"number 5/1h,", "rule 2, \"\": it is empty"},
		{",number 5/1h", "rule 1, \"\": it is empty"},
		{"number 5/1h, ,total 5/1h", "rule 2, \"\": it is empty"},
		{"tries sms 5/1h", "rule 1, \"tries sms 5/1h\": tries are wrong codes, which have no channel and no approval"},
		{"tries unapproved 5/1h", "rule 1, \"tries unapproved 5/1h\": tries are wrong codes, which have no channel and no approval"},
		{"number 1/1min, Number 1/60s", "rule 2, \"Number 1/60s\": \"number 1/1min\" is there twice"},
		{"number 1/1min 1/1min", "rule 1, \"number 1/1min 1/1min\": \"number 1/1min\" is there twice"},
		{"n\xC3\xBCmber\n5/1h", "rule 1, \"n\xC3\xBCmber 5/1h\": \"n\xC3\xBCmber\" is not a scope (number, prefix, country, key, total, tries)"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		tap_ok(!parse(cases[i].text), "\"%s\" is refused", cases[i].text);
		tap_text(fault, cases[i].fault, "the message says why");
		tap_int(rules.nrules, 0, "no rule is left");
	}
}

static void
test_many(void)
{
	char		text[1024] = "total";

	for (int i = 1; i <= PNVS_MAX_RULES; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %d/1h", i);
	tap_ok(parse(text), "32 limits are accepted");
	tap_int(rules.nrules, 32, "and there are 32 rules");
	strcat(text, ", key 7/1d");
	tap_ok(!parse(text), "a 33rd is refused");
	tap_text(fault, "rule 2, \"key 7/1d\": \"key 7/1d\" is one more than 32 limits", "by its name");
}

/* Long parts are cut in the message, and never within a character. */
static void
test_long(void)
{
	for (int before = 0; before < 4; before++)
	{
		char		text[2000];
		const char *quote;

		memset(text, 'x', sizeof(text));
		for (size_t i = (size_t) before; i + 2 < sizeof(text); i += 2)
			memcpy(text + i, "\xC3\xBC", 2);
		text[1998] = text[1999] = '\0';
		tap_ok(!parse(text), "a long word is no scope");
		tap_ok(strlen(fault) < PNVS_RULES_FAULT_SIZE - 1, "the message has room");
		quote = strstr(fault, "...\": \"");
		tap_ok(quote != NULL && (unsigned char) quote[-1] == 0xBC, "%d bytes before: it is cut behind a character", before);
		tap_ok(strstr(fault, "is not a scope (number, prefix, country, key, total, tries)") != NULL, "and is complete");
	}
}

static void
test_names(void)
{
	static const char *const names[] = {"number", "prefix", "country", "key", "total", "tries"};

	for (int i = 0; i < PNVS_SCOPE_COUNT; i++)
		tap_text(pnvs_scope_name((PnvsScope) i), names[i], "the name of scope %d", i);
}

int
main(void)
{
	test_defaults();
	test_spellings();
	test_faults();
	test_many();
	test_long();
	test_names();
	return tap_done();
}
