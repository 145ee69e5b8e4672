/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  The guard in a program of its own, in virtual time.
 *
 * What decides is the product's: the rules and their grammar (core/rules), the lists of
 * places (core/places), the breaker (core/breaker) and the countries
 * (core/country_list).  Only the tables that hold lists and breakers by key are this
 * program's: they grow, and stand for shared memory with room for every key.  Messages
 * are sent at once, so no place is given back.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/calling_codes.h"
#include "core/country_list.h"

#include "chance.h"
#include "guard.h"
#include "table.h"

/* A PnvsPlaceList as long as it needs to be. */
typedef struct Places
{
	int			n;
	PnvsPlaces *items;
} Places;

/* A number and its latest message. */
typedef struct Number
{
	GuardMessage message;
	int64_t		sent_us;
	bool		has_message;
	int64_t		counted_us;		/* when its country's breaker counted it */
	bool		counted;
	bool		counted_approved;
} Number;

struct Guard
{
	PnvsRules	rules;
	PnvsBreakerRule breaker_rule;
	PnvsCountryList countries;
	bool		armed;
	Table		places;
	Table		numbers;
	Table		breakers;
};

/* The rules of a scope and a channel word that count a message share a list. */
typedef struct SharedList
{
	PnvsScope	scope;
	PnvsChannelWord channel;
	Places	   *places;
	PnvsLimit	limits[PNVS_MAX_RULES];
	int			nlimits;
} SharedList;

static int	find_lists(Guard *guard, const GuardMessage *message, SharedList *lists);
static bool rule_counts(const PnvsRule *rule, const GuardMessage *message);
static SharedList *list_of_rule(const PnvsRule *rule, SharedList *lists, int *nlists);
static uint64_t list_key(PnvsScope scope, PnvsChannelWord channel, const GuardMessage *message);
static void country_of(const char *digits, char country[8]);
static int64_t limited_until(const SharedList *lists, int nlists, int64_t now_us);
static int64_t breaker_open_until(Guard *guard, const GuardMessage *message, int64_t now_us);
static PnvsBreaker *breaker_of(Guard *guard, const char *digits);
static void count_for_breaker(Guard *guard, Number *number, int64_t now_us);
static void take(SharedList *list, int64_t now_us);
static void load(const Places *places, PnvsPlaceList *list);
static void store(Places *places, const PnvsPlaceList *list);
static uint64_t hash_text(uint64_t seed, const char *text, size_t len);
static void close_places(void *record);

Guard *
guard_open(const GuardSettings *settings)
{
	Guard	   *guard = need(calloc(1, sizeof(Guard)));
	char		rules_fault[PNVS_RULES_FAULT_SIZE];
	char		breaker_fault[PNVS_BREAKER_FAULT_SIZE];
	char		countries_fault[PNVS_COUNTRIES_FAULT_SIZE];

	if (!pnvs_rules_parse(settings->limits, &guard->rules, rules_fault) ||
		!pnvs_breaker_parse(settings->breaker, &guard->breaker_rule, breaker_fault) ||
		!pnvs_country_list_parse(settings->countries, &guard->countries, countries_fault))
	{
		fprintf(stderr, "a setting is not valid\n");
		exit(2);
	}
	table_open(&guard->places, sizeof(Places));
	table_open(&guard->numbers, sizeof(Number));
	table_open(&guard->breakers, sizeof(PnvsBreaker));
	return guard;
}

void
guard_close(Guard *guard)
{
	table_close(&guard->places, close_places);
	table_close(&guard->numbers, NULL);
	table_close(&guard->breakers, NULL);
	free(guard);
}

/* Judges a message that is to be sent now, and takes its places if it is admitted. */
GuardAnswer
guard_admit(Guard *guard, const GuardMessage *message, int64_t now_us)
{
	SharedList	lists[PNVS_MAX_RULES];
	int			nlists = find_lists(guard, message, lists);
	int64_t		until_us;
	Number	   *number;

	if (!pnvs_country_list_allows(&guard->countries, message->recipient))
		return (GuardAnswer)
	{
		false, INT64_MAX
	};
	until_us = breaker_open_until(guard, message, now_us);
	if (until_us <= now_us)
		until_us = limited_until(lists, nlists, now_us);
	if (until_us > now_us)
		return (GuardAnswer)
	{
		false, until_us - now_us
	};

	for (int i = 0; i < nlists; i++)
		take(&lists[i], now_us);
	number = table_get(&guard->numbers, hash_text(0, message->recipient, strlen(message->recipient)));
	number->message = *message;
	number->sent_us = now_us;
	number->has_message = true;
	if (!message->trusted)
		count_for_breaker(guard, number, now_us);
	return (GuardAnswer)
	{
		true, 0
	};
}

/* The service has approved a code of this number: its latest message. */
void
guard_approve(Guard *guard, const char *recipient, int64_t now_us)
{
	Number	   *number = table_get(&guard->numbers, hash_text(0, recipient, strlen(recipient)));
	SharedList	lists[PNVS_MAX_RULES];
	int			nlists;
	PnvsPlaceList list;

	(void) now_us;
	guard->armed = true;
	if (!number->has_message)
		return;
	nlists = find_lists(guard, &number->message, lists);
	for (int i = 0; i < nlists; i++)
	{
		load(lists[i].places, &list);
		(void) pnvs_places_approve(&list, number->sent_us);
		store(lists[i].places, &list);
	}
	if (number->counted && !number->counted_approved && guard->breaker_rule.min_numbers > 0)
	{
		number->counted_approved = true;
		pnvs_breaker_approved(breaker_of(guard, recipient), &guard->breaker_rule, number->counted_us);
	}
}

/* The lists in which a message has a place; their number is the result. */
static int
find_lists(Guard *guard, const GuardMessage *message, SharedList *lists)
{
	int			nlists = 0;

	for (int i = 0; i < guard->rules.nrules; i++)
	{
		const PnvsRule *rule = &guard->rules.rules[i];
		SharedList *list;

		if (!rule_counts(rule, message))
			continue;
		list = list_of_rule(rule, lists, &nlists);
		list->limits[list->nlimits++] = rule->limit;
		if (!list->places)
			list->places = table_get(&guard->places, list_key(rule->scope, rule->channel, message));
	}
	return nlists;
}

static bool
rule_counts(const PnvsRule *rule, const GuardMessage *message)
{
	if (rule->channel != PNVS_ANY_CHANNEL && rule->channel != message->channel)
		return false;
	switch (rule->scope)
	{
		case PNVS_SCOPE_PREFIX:
		case PNVS_SCOPE_COUNTRY:
			return !message->trusted;
		case PNVS_SCOPE_KEY:
			return message->key != 0;
		case PNVS_SCOPE_TRIES:
			return false;
		default:
			return true;
	}
}

static SharedList *
list_of_rule(const PnvsRule *rule, SharedList *lists, int *nlists)
{
	for (int i = 0; i < *nlists; i++)
	{
		if (lists[i].scope == rule->scope && lists[i].channel == rule->channel)
			return &lists[i];
	}
	memset(&lists[*nlists], 0, sizeof(SharedList));
	lists[*nlists].scope = rule->scope;
	lists[*nlists].channel = rule->channel;
	return &lists[(*nlists)++];
}

static uint64_t
list_key(PnvsScope scope, PnvsChannelWord channel, const GuardMessage *message)
{
	uint64_t	seed = chance_mix(1 + scope * PNVS_CHANNEL_WORD_COUNT + channel);
	size_t		len = strlen(message->recipient);
	char		country[8];

	switch (scope)
	{
		case PNVS_SCOPE_NUMBER:
			return hash_text(seed + message->trusted, message->recipient, len);
		case PNVS_SCOPE_PREFIX:
			return hash_text(seed, message->recipient, len - 4);
		case PNVS_SCOPE_COUNTRY:
			country_of(message->recipient, country);
			return hash_text(seed, country, strlen(country));
		case PNVS_SCOPE_KEY:
			return chance_mix(seed ^ message->key);
		default:
			return seed;
	}
}

/* The region of a number, or its calling code if it has none. */
static void
country_of(const char *digits, char country[8])
{
	const char *region = pnvs_calling_code_region(digits);
	const PnvsCallingCode *plan = pnvs_calling_code_find(digits);

	if (region)
		snprintf(country, 8, "%s", region);
	else
		snprintf(country, 8, "+%d", plan ? plan->code : 0);
}

/* When all limits admit the message: now_us, or later. */
static int64_t
limited_until(const SharedList *lists, int nlists, int64_t now_us)
{
	int64_t		until_us = now_us;
	PnvsPlaceList list;

	for (int i = 0; i < nlists; i++)
	{
		load(lists[i].places, &list);
		for (int j = 0; j < lists[i].nlimits; j++)
		{
			int64_t		at_us = pnvs_places_admitted_at(&list, &lists[i].limits[j], now_us);

			if (at_us > until_us)
				until_us = at_us;
		}
	}
	return until_us;
}

static int64_t
breaker_open_until(Guard *guard, const GuardMessage *message, int64_t now_us)
{
	PnvsBreaker *breaker;

	if (guard->breaker_rule.min_numbers == 0 || !guard->armed || message->trusted)
		return now_us;
	breaker = breaker_of(guard, message->recipient);
	(void) pnvs_breaker_opens(breaker, &guard->breaker_rule, now_us);
	return breaker->open_until_us;
}

static PnvsBreaker *
breaker_of(Guard *guard, const char *digits)
{
	char		country[8];

	country_of(digits, country);
	return table_get(&guard->breakers, hash_text(0, country, strlen(country)));
}

/* A number counts once in an interval of the breaker, after the first approval. */
static void
count_for_breaker(Guard *guard, Number *number, int64_t now_us)
{
	if (guard->breaker_rule.min_numbers == 0 || !guard->armed ||
		(number->counted && now_us - number->counted_us < guard->breaker_rule.interval_us))
		return;
	number->counted = true;
	number->counted_approved = false;
	number->counted_us = now_us;
	pnvs_breaker_sent(breaker_of(guard, number->message.recipient), &guard->breaker_rule, now_us, now_us);
}

static void
take(SharedList *shared, int64_t now_us)
{
	PnvsPlaceList list;

	load(shared->places, &list);
	pnvs_places_forget(&list, now_us, shared->limits, shared->nlimits);
	pnvs_places_take(&list, now_us, now_us, shared->limits, shared->nlimits);
	store(shared->places, &list);
}

static void
load(const Places *places, PnvsPlaceList *list)
{
	list->n = places->n;
	if (places->n > 0)
		memcpy(list->items, places->items, (size_t) places->n * sizeof(PnvsPlaces));
}

static void
store(Places *places, const PnvsPlaceList *list)
{
	if (list->n > places->n)
		places->items = need(realloc(places->items, (size_t) list->n * sizeof(PnvsPlaces)));
	if (list->n > 0)
		memcpy(places->items, list->items, (size_t) list->n * sizeof(PnvsPlaces));
	places->n = list->n;
}

/* FNV-1a, mixed. */
static uint64_t
hash_text(uint64_t seed, const char *text, size_t len)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325) ^ seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) text[i]) * UINT64_C(0x100000001b3);
	return chance_mix(hash);
}

static void
close_places(void *record)
{
	free(((Places *) record)->items);
}
