/*-------------------------------------------------------------------------
 *
 * count.c
 *	  Counts what was sent by the rules, in a slow and obvious way.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/calling_codes.h"

#include "simulation.h"
#include "table.h"

/* A sent message that a rule counts. */
typedef struct Counted
{
	char		key[32];		/* of the rule's scope */
	int64_t		at_us;
	int64_t		approved_us;
} Counted;

static int	over_rule(const Outcome *outcome, const PnvsRule *rule);
static bool count_message(const PnvsRule *rule, const Sent *sent, Counted *counted);
static int	over_limit(const Counted *counted, int n, const PnvsLimit *limit);
static int	compare_counted(const void *a, const void *b);

int
count_over_settings(const Outcome *outcome, const GuardSettings *settings)
{
	PnvsRules	rules;
	char		fault[PNVS_RULES_FAULT_SIZE];
	int			over = 0;

	(void) pnvs_rules_parse(settings->limits, &rules, fault);
	for (int i = 0; i < rules.nrules; i++)
		over += over_rule(outcome, &rules.rules[i]);
	return over;
}

static int
over_rule(const Outcome *outcome, const PnvsRule *rule)
{
	Counted    *counted = need(malloc(((size_t) outcome->nsent + 1) * sizeof(Counted)));
	int			n = 0;
	int			over;

	for (int i = 0; i < outcome->nsent; i++)
		n += count_message(rule, &outcome->sent[i], &counted[n]);
	qsort(counted, (size_t) n, sizeof(Counted), compare_counted);
	over = over_limit(counted, n, &rule->limit);
	free(counted);
	return over;
}

/* Whether the rule counts the message, and under which key. */
static bool
count_message(const PnvsRule *rule, const Sent *sent, Counted *counted)
{
	const GuardMessage *message = &sent->message;
	const char *region = pnvs_calling_code_region(message->recipient);
	char	   *key = counted->key;
	size_t		size = sizeof(counted->key);

	counted->at_us = sent->at_us;
	counted->approved_us = sent->approved_us;
	if (rule->channel != PNVS_ANY_CHANNEL && rule->channel != message->channel)
		return false;
	switch (rule->scope)
	{
		case PNVS_SCOPE_NUMBER:
			snprintf(key, size, "%s %d", message->recipient, message->trusted);
			return true;
		case PNVS_SCOPE_PREFIX:
			snprintf(key, size, "%.*s", (int) strlen(message->recipient) - 4, message->recipient);
			return !message->trusted;
		case PNVS_SCOPE_COUNTRY:
			snprintf(key, size, "%s", region ? region : "");
			return !message->trusted;
		case PNVS_SCOPE_KEY:
			snprintf(key, size, "%llx", (unsigned long long) message->key);
			return message->key != 0;
		case PNVS_SCOPE_TOTAL:
			key[0] = '\0';
			return true;
		default:
			return false;
	}
}

/* At each message: those of its interval that count at that time, with itself. */
static int
over_limit(const Counted *counted, int n, const PnvsLimit *limit)
{
	int			over = 0;

	for (int i = 0; i < n; i++)
	{
		uint32_t	count = 0;

		for (int j = i; j >= 0 && strcmp(counted[j].key, counted[i].key) == 0; j--)
		{
			if (counted[i].at_us - counted[j].at_us >= limit->interval_us)
				break;
			count += !limit->unapproved || counted[j].approved_us > counted[i].at_us;
		}
		over += count > limit->max;
	}
	return over;
}

static int
compare_counted(const void *a, const void *b)
{
	const Counted *first = a;
	const Counted *second = b;
	int			by_key = strcmp(first->key, second->key);

	return by_key != 0 ? by_key : (first->at_us > second->at_us) - (first->at_us < second->at_us);
}
