/*-------------------------------------------------------------------------
 *
 * rules.c
 *	  Reads the rules of pnvs.limits.
 *
 * The setting is a list, separated by commas, of
 *
 *		SCOPE [CHANNEL] [unapproved] N/INTERVAL ...
 *
 * such as "number unapproved 5/10min 10/1d, total 1000/1h".  Each N/INTERVAL is a rule.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/rules.h"
#include "core/setting_text.h"

/* Whoever wants to allow more needs no limit. */
#define MAX_MESSAGES 1000000

/* A span of merged places has at most 49 days, see places.h. */
#define MIN_INTERVAL_US PNVS_SECOND_US
#define MAX_INTERVAL_US (31 * PNVS_DAY_US)

static const char *const scopes[PNVS_SCOPE_COUNT] = {
	[PNVS_SCOPE_NUMBER] = "number",
	[PNVS_SCOPE_PREFIX] = "prefix",
	[PNVS_SCOPE_COUNTRY] = "country",
	[PNVS_SCOPE_KEY] = "key",
	[PNVS_SCOPE_TOTAL] = "total",
	[PNVS_SCOPE_TRIES] = "tries",
};

/* As they are read, and as they are shown. */
static const struct
{
	const char *word;
	const char *shown;
}			channels[PNVS_CHANNEL_WORD_COUNT] = {
	[PNVS_ANY_CHANNEL] = {"", ""},
	[PNVS_SMS] = {"sms", " SMS"},
	[PNVS_VOICE] = {"voice", " VOICE"},
	[PNVS_WHATSAPP] = {"whatsapp", " WHATSAPP"},
};

/* The part between two commas that is being read. */
typedef struct Reading
{
	PnvsSettingText all;
	PnvsSettingText rest;
	int			position;		/* from 1 on */
	PnvsRules  *rules;
	char	   *fault;
} Reading;

static bool read_part(Reading *reading);
static bool read_scope(Reading *reading, PnvsRule *rule);
static bool read_limit(Reading *reading, PnvsRule *rule);
static bool add_rule(Reading *reading, const PnvsRule *rule);
static bool refuse(Reading *reading, const char *format,...)
			__attribute__((format(printf, 2, 3)));
static bool refuse_next(Reading *reading, const char *expected);

/*
 * Reads a setting; an empty one has no rules.  If it is not valid the result is false, and
 * fault says why: the place of the part in question, its text, and what is wrong with it.
 */
bool
pnvs_rules_parse(const char *text, PnvsRules *rules, char fault[PNVS_RULES_FAULT_SIZE])
{
	PnvsSettingText whole = {text, text + strlen(text)};
	Reading		reading = {.rules = rules,.fault = fault};

	memset(rules, 0, sizeof(*rules));
	fault[0] = '\0';
	if (pnvs_setting_text_at_end(&whole))
		return true;
	for (;;)
	{
		reading.all.at = text;
		reading.all.end = text + strcspn(text, ",");
		reading.rest = reading.all;
		reading.position++;
		if (!read_part(&reading))
			return false;
		if (*reading.all.end == '\0')
			return true;
		text = reading.all.end + 1;
	}
}

/* A rule as it is written in the setting, in its shortest form. */
void
pnvs_rule_text(const PnvsRule *rule, char text[PNVS_RULE_TEXT_SIZE])
{
	char		interval[PNVS_INTERVAL_TEXT_SIZE];

	pnvs_interval_text(rule->limit.interval_us, interval);
	snprintf(text, PNVS_RULE_TEXT_SIZE, "%s%s%s %" PRIu32 "/%s", scopes[rule->scope],
			 channels[rule->channel].shown, rule->limit.unapproved ? " unapproved" : "",
			 rule->limit.max, interval);
}

const char *
pnvs_scope_name(PnvsScope scope)
{
	return scopes[scope];
}

/* The part between two commas. */
static bool
read_part(Reading *reading)
{
	PnvsRule	rule = {0};

	if (pnvs_setting_text_at_end(&reading->rest))
		return refuse(reading, "it is empty");
	if (!read_scope(reading, &rule))
		return false;
	for (int i = PNVS_ANY_CHANNEL + 1; i < PNVS_CHANNEL_WORD_COUNT && rule.channel == PNVS_ANY_CHANNEL; i++)
	{
		if (pnvs_setting_text_word(&reading->rest, channels[i].word))
			rule.channel = (PnvsChannelWord) i;
	}
	rule.limit.unapproved = pnvs_setting_text_word(&reading->rest, "unapproved");
	if (rule.scope == PNVS_SCOPE_TRIES && (rule.channel != PNVS_ANY_CHANNEL || rule.limit.unapproved))
		return refuse(reading, "tries are wrong codes, which have no channel and no approval");
	do
	{
		if (!read_limit(reading, &rule) || !add_rule(reading, &rule))
			return false;
	} while (!pnvs_setting_text_at_end(&reading->rest));
	return true;
}

static bool
read_scope(Reading *reading, PnvsRule *rule)
{
	for (int i = 0; i < PNVS_SCOPE_COUNT; i++)
	{
		if (pnvs_setting_text_word(&reading->rest, scopes[i]))
		{
			rule->scope = (PnvsScope) i;
			return true;
		}
	}
	return refuse_next(reading, "a scope (number, prefix, country, key, total, tries)");
}

/* N/INTERVAL */
static bool
read_limit(Reading *reading, PnvsRule *rule)
{
	if (!pnvs_setting_text_number(&reading->rest, MAX_MESSAGES, '/', &rule->limit.max))
		return refuse_next(reading, "a limit such as 5/10min (1 to 1000000)");
	if (!pnvs_setting_text_interval(&reading->rest, MIN_INTERVAL_US, MAX_INTERVAL_US,
									&rule->limit.interval_us))
		return refuse_next(reading, "an interval from 1s to 31d");
	return true;
}

/* The same rule twice would be two rows of the statistics that nobody can tell apart. */
static bool
add_rule(Reading *reading, const PnvsRule *rule)
{
	PnvsRules  *rules = reading->rules;
	char		text[PNVS_RULE_TEXT_SIZE];

	pnvs_rule_text(rule, text);
	for (int i = 0; i < rules->nrules; i++)
	{
		char		other[PNVS_RULE_TEXT_SIZE];

		pnvs_rule_text(&rules->rules[i], other);
		if (strcmp(text, other) == 0)
			return refuse(reading, "\"%s\" is there twice", text);
	}
	if (rules->nrules == PNVS_MAX_RULES)
		return refuse(reading, "\"%s\" is one more than %d limits", text, PNVS_MAX_RULES);
	rules->rules[rules->nrules++] = *rule;
	return true;
}

/* Says what is wrong with a part. */
static bool
refuse(Reading *reading, const char *format,...)
{
	char		quote[PNVS_QUOTE_SIZE];
	int			len;
	va_list		arguments;

	pnvs_setting_text_quote(reading->all, quote);
	len = snprintf(reading->fault, PNVS_RULES_FAULT_SIZE, "rule %d, \"%s\": ", reading->position, quote);
	va_start(arguments, format);
	vsnprintf(reading->fault + len, PNVS_RULES_FAULT_SIZE - (size_t) len, format, arguments);
	va_end(arguments);
	memset(reading->rules, 0, sizeof(*reading->rules));
	return false;
}

/* Says what the next word is not. */
static bool
refuse_next(Reading *reading, const char *expected)
{
	char		why[PNVS_RULES_FAULT_SIZE];

	pnvs_setting_text_fault(reading->rest, expected, why, sizeof(why));
	return refuse(reading, "%s", why);
}
