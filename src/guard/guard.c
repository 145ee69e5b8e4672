/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  The guard: admits messages, and knows of their places.
 *
 * A message counts in up to two lists of each scope: for all channels, and for its own.
 * All of their partitions are locked, the lists are judged, and the places are taken in
 * all of them or in none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "errcodes.h"
#include "guard/breakers.h"
#include "guard/counters.h"
#include "guard/door.h"
#include "guard/guard.h"
#include "guard/hash.h"
#include "guard/keeper.h"
#include "guard/report.h"
#include "guard/transaction.h"

/* Those of each scope of messages, of all channels and of one. */
#define MAX_LISTS ((PNVS_SCOPE_COUNT - 1) * 2)

/* A message that is due later than this is no number's latest message while there is another. */
#define LATEST_US (INT64CONST(60) * USECS_PER_SEC)

/* A WARNING comes at this part of a limit for the total. */
#define NEARLY_FULL_PERCENT 80

/* How often a time to wait is looked for; rules of five scopes hardly ever need more than two. */
#define MAX_ROUNDS 100

/* What a message has to do with shared memory, during one call. */
typedef struct Counted
{
	const PnvsAdmission *admission;
	const PnvsPolicy *policy;
	PnvsPartition *number;		/* the partition of its number */
	PnvsPartition *partitions[PNVS_SHARE_COUNT];	/* all that are locked */
	int			npartitions;
	uint64		number_key;
	uint64		country;
	bool		has_breaker;
	PnvsGuardList *lists;
	int			nlists;
} Counted;

static void collect(const PnvsAdmission *admission, Counted *counted);
static void add_lists(Counted *counted, PnvsShareId share, uint64 key);
static void lock(const Counted *counted, bool sweep, TimestampTz now);
static void unlock(const Counted *counted);
static bool judge(const Counted *counted, TimestampTz now, PnvsGuardReport *report,
				  TimestampTz *open_until);
static void count_rules(const Counted *counted, const PnvsGuardReport *report);
static void take(const Counted *counted, TimestampTz now, PnvsGuardReport *report);
static void note_message(const Counted *counted, const PnvsGuardReport *report, bool taken,
						 TimestampTz now);
static void set_refusal(const Counted *counted, TimestampTz open_until, TimestampTz now,
						PnvsRefusal *refusal);
static int	find_nearly_full(const Counted *counted);
static void approve(const PnvsAdmission *admission, TimestampTz now);
static void approve_places(const Counted *counted, bool is_latest, TimestampTz now);
static void drop_lists(PnvsShareId share, uint64 key);
static void count_observed(const Counted *counted, PnvsGuardNote *note);

/* To be called while shared_preload_libraries are loaded. */
void
pnvs_guard_init(void)
{
	pnvs_shares_init(pnvs_keeper_begin);
	pnvs_keeper_register();
}

/* Whether there is shared memory: the library is preloaded. */
bool
pnvs_guard_is_shared(void)
{
	return pnvs_guard_head != NULL;
}

/*
 * Admits a message and takes its places, or says why not.  Throws if somebody has set
 * limits and the library is not preloaded.
 */
PnvsRefusal
pnvs_guard_admit(const PnvsGuardMessage *message, TimestampTz now, PnvsAdmission *admission)
{
	PnvsRefusal refusal;
	PnvsGuardReport report = {.nearly_full = -1};
	TimestampTz open_until = 0;
	Counted		counted;
	bool		admitted;

	memset(admission, 0, sizeof(*admission));
	if (!pnvs_guard_allows(message, &refusal))
	{
		pnvs_report_setting(refusal.reason);
		return refusal;
	}
	strlcpy(admission->recipient, message->recipient, sizeof(admission->recipient));
	admission->channel = message->channel;
	admission->trusted = message->trusted;
	if (pnvs_guard_is_test(message) || !pnvs_policy_has_memory())
		return refusal;
	pnvs_hash_prepare();
	pnvs_guard_reserve_entry();
	pnvs_gaps_note_promotion(now);
	admission->due = message->due;
	admission->taken_at = now;
	admission->by_this_process = true;
	admission->key = message->rate_key != NULL ? pnvs_hash_rate_key(message->rate_key) : 0;

	collect(admission, &counted);
	lock(&counted, true, now);
	admitted = judge(&counted, now, &report, &open_until);
	count_rules(&counted, &report);
	if (admitted)
		take(&counted, now, &report);
	if (admitted || counted.policy->observe)
		note_message(&counted, &report, admitted, now);
	unlock(&counted);
	pnvs_shares_note_change();

	if (!admitted && !counted.policy->observe)
		set_refusal(&counted, open_until, now, &refusal);
	if (admitted)
		report.nearly_full = find_nearly_full(&counted);
	else
		admission->due = 0;
	pnvs_report(&report, counted.policy);
	return refusal;
}

/* Finds out which lists count a message, and which partitions they are in. */
static void
collect(const PnvsAdmission *admission, Counted *counted)
{
	static PnvsGuardList lists[MAX_LISTS];
	const PnvsPolicy *policy = pnvs_policy();
	bool		trusted = admission->trusted;

	counted->admission = admission;
	counted->policy = policy;
	counted->lists = lists;
	counted->nlists = counted->npartitions = 0;
	counted->number_key = pnvs_hash_number(admission->recipient);
	counted->has_breaker = policy->breaker.min_numbers > 0 && !trusted;
	counted->number = pnvs_partition(PNVS_SHARE_NUMBER, counted->number_key);

	/* in the order in which they are locked */
	add_lists(counted, PNVS_SHARE_NUMBER, counted->number_key);
	if (!trusted && policy->has[PNVS_SCOPE_PREFIX])
		add_lists(counted, PNVS_SHARE_PREFIX, pnvs_hash_prefix(admission->recipient));
	if (admission->key != 0 && policy->has[PNVS_SCOPE_KEY])
		add_lists(counted, PNVS_SHARE_KEY, admission->key);
	if (counted->has_breaker || (!trusted && policy->has[PNVS_SCOPE_COUNTRY]))
	{
		counted->country = pnvs_country_key(admission->recipient);
		add_lists(counted, PNVS_SHARE_COUNTRY, counted->country);
	}
	if (policy->has[PNVS_SCOPE_TOTAL])
		add_lists(counted, PNVS_SHARE_TOTAL, 1);
}

static void
add_lists(Counted *counted, PnvsShareId share, uint64 key)
{
	PnvsChannelWord words[] = {PNVS_ANY_CHANNEL, counted->admission->channel};
	PnvsPartition *partition = pnvs_partition(share, key);

	counted->partitions[counted->npartitions++] = partition;
	for (int i = 0; i < lengthof(words); i++)
	{
		const PnvsRuleGroup *group = &counted->policy->groups[pnvs_share_scope(share)][words[i]];
		PnvsGuardList *list = &counted->lists[counted->nlists];

		if (group->n == 0)
			continue;
		list->partition = partition;
		list->key = key;
		list->kind = words[i];
		if (share == PNVS_SHARE_NUMBER && counted->admission->trusted)
			list->kind |= PNVS_KIND_TRUSTED;
		list->group = group;
		counted->nlists++;
	}
}

/* Locks all partitions and copies the lists. */
static void
lock(const Counted *counted, bool sweep, TimestampTz now)
{
	for (int i = 0; i < counted->npartitions; i++)
		pnvs_partition_lock(counted->partitions[i], LW_EXCLUSIVE);
	for (int i = 0; sweep && i < counted->npartitions; i++)
		pnvs_partition_sweep(counted->partitions[i], counted->policy, now);
	for (int i = 0; i < counted->nlists; i++)
		pnvs_list_load(&counted->lists[i], now);
}

static void
unlock(const Counted *counted)
{
	for (int i = counted->npartitions - 1; i >= 0; i--)
		pnvs_partition_unlock(counted->partitions[i]);
}

/* Whether all rules and the breaker admit the message.  Notes those that do not. */
static bool
judge(const Counted *counted, TimestampTz now, PnvsGuardReport *report, TimestampTz *open_until)
{
	TimestampTz due = counted->admission->due;

	for (int i = 0; i < counted->nlists; i++)
	{
		const PnvsGuardList *list = &counted->lists[i];

		for (int j = 0; j < list->group->n; j++)
		{
			if (pnvs_places_admitted_at(&list->places, &list->group->limits[j], due) > due)
				report->refusing |= UINT32_C(1) << list->group->rules[j];
		}
	}
	if (counted->has_breaker)
	{
		PnvsGuardBreaker *breaker = pnvs_breaker_of(counted->country);

		report->country = counted->country;
		report->breaker_refused = pnvs_breaker_refuses(breaker, counted->policy, due, now,
													   &report->event);
		report->judged_sent = breaker->breaker.judged_sent;
		report->judged_approved = breaker->breaker.judged_approved;
		if (report->breaker_refused)
		{
			*open_until = breaker->breaker.open_until_us;
			if (counted->policy->observe)
				breaker->observed++;
			else
				breaker->refused++;
		}
	}
	return report->refusing == 0 && !report->breaker_refused;
}

/* A rule has admitted a message only if all others have, too. */
static void
count_rules(const Counted *counted, const PnvsGuardReport *report)
{
	PnvsRuleCounters *counters = pnvs_partition_counters(counted->number);
	bool		admitted = report->refusing == 0 && !report->breaker_refused;

	for (int i = 0; i < counted->nlists; i++)
	{
		const PnvsRuleGroup *group = counted->lists[i].group;

		for (int j = 0; j < group->n; j++)
		{
			PnvsRuleCounters *rule = &counters[counted->policy->slots[group->rules[j]]];

			if (admitted)
				rule->admitted++;
			else if ((report->refusing & (UINT32_C(1) << group->rules[j])) == 0)
				continue;
			else if (counted->policy->observe)
				rule->observed++;
			else
				rule->refused++;
		}
	}
}

static void
take(const Counted *counted, TimestampTz now, PnvsGuardReport *report)
{
	for (int i = 0; i < counted->nlists; i++)
	{
		PnvsGuardList *list = &counted->lists[i];

		pnvs_places_take(&list->places, counted->admission->due, now,
						 list->group->limits, list->group->n);
		pnvs_list_store(list, now);
		if (list->is_bucket)
		{
			list->partition->stat.shared[list->kind]++;
			report->memory_full = true;
		}
	}
}

/*
 * Remembers a message as the number's latest.  One that is due much later is not sent yet,
 * so no code of it can be approved.
 */
static void
note_message(const Counted *counted, const PnvsGuardReport *report, bool taken, TimestampTz now)
{
	const PnvsAdmission *admission = counted->admission;
	PnvsGuardNote *note = NULL;

	if (counted->policy->needs_notes)
		note = pnvs_note_add(counted->number, counted->number_key);
	if (taken && counted->has_breaker)
		pnvs_breaker_count(pnvs_breaker_of(counted->country), counted->policy, note,
						   admission->due, now);
	if (note == NULL || (note->latest != 0 && admission->due > now + LATEST_US))
		return;
	note->latest = admission->due;
	note->latest_key = admission->key;
	note->channel = admission->channel;
	note->trusted = admission->trusted;
	note->has_places = taken;
	note->approved = false;
	note->observed = 0;
	for (int i = 0; !taken && i < counted->policy->rules.nrules; i++)
	{
		if ((report->refusing & (UINT32_C(1) << i)) != 0)
			note->observed |= UINT64CONST(1) << counted->policy->slots[i];
	}
}

/* From the copies of the lists: when the message will be admitted, and what is waited for longest. */
static void
set_refusal(const Counted *counted, TimestampTz open_until, TimestampTz now, PnvsRefusal *refusal)
{
	TimestampTz due = counted->admission->due;
	TimestampTz at = Max(due, open_until);
	TimestampTz longest = at;
	TimestampTz before;
	int			rounds = 0;

	refusal->reason = open_until > due ? PNVS_REFUSED_BREAKER : PNVS_REFUSED_LIMIT;
	do
	{
		before = at;
		for (int i = 0; i < counted->nlists; i++)
		{
			const PnvsGuardList *list = &counted->lists[i];

			for (int j = 0; j < list->group->n; j++)
			{
				TimestampTz admitted_at;

				at = pnvs_places_admitted_at(&list->places, &list->group->limits[j], at);
				if (rounds > 0)
					continue;
				admitted_at = pnvs_places_admitted_at(&list->places, &list->group->limits[j], due);
				if (admitted_at <= longest)
					continue;
				longest = admitted_at;
				refusal->reason = PNVS_REFUSED_LIMIT;
				refusal->scope = pnvs_share_scope(list->partition->share);
			}
		}
	} while (at != before && ++rounds < MAX_ROUNDS);
	if (at != PNVS_PLACES_NEVER)
		refusal->retry_after_s = (int) Min((at - now + USECS_PER_SEC - 1) / USECS_PER_SEC, PG_INT32_MAX);
}

/* A rule for the total that has little room, or -1. */
static int
find_nearly_full(const Counted *counted)
{
	for (int i = 0; i < counted->nlists; i++)
	{
		const PnvsGuardList *list = &counted->lists[i];
		uint64		sum = 0;

		if (list->partition->share != PNVS_SHARE_TOTAL)
			continue;
		for (int j = 0; j < list->places.n; j++)
			sum += list->places.items[j].count;
		for (int j = 0; j < list->group->n; j++)
		{
			const PnvsLimit *limit = &list->group->limits[j];
			uint64		mark = (uint64) limit->max * NEARLY_FULL_PERCENT;

			/* the sum is no less than the count, and is known sooner */
			if (sum * 100 >= mark &&
				(uint64) pnvs_places_count(&list->places, limit, counted->admission->due) * 100 >= mark)
				return list->group->rules[j];
		}
	}
	return -1;
}

/* Gives an admission's places back.  Never throws. */
void
pnvs_guard_give_back(const PnvsAdmission *admission, TimestampTz now)
{
	TimestampTz due = admission->due;
	Counted		counted;
	PnvsGuardNote *note;

	if (pnvs_guard_head == NULL || due == 0 || !pnvs_hash_is_ready() || !pnvs_policy()->valid)
		return;
	collect(admission, &counted);
	lock(&counted, false, now);
	for (int i = 0; i < counted.nlists; i++)
	{
		PnvsGuardList *list = &counted.lists[i];

		if (pnvs_remembers(list->partition->share, admission->taken_at, admission->by_this_process) &&
			pnvs_places_give_back(&list->places, due))
			pnvs_list_store(list, now);
	}
	note = pnvs_note_find(counted.number, counted.number_key);
	if (counted.has_breaker && pnvs_remembers(PNVS_SHARE_COUNTRY, admission->taken_at, admission->by_this_process))
		pnvs_breaker_give_back(pnvs_breaker_of(counted.country), counted.policy, note, due);
	if (note != NULL && note->latest == due && note->latest_key == admission->key)
		note->latest = 0;
	unlock(&counted);
	pnvs_shares_note_change();
}

/* The service has approved a verification of this number: its latest message. */
void
pnvs_guard_approve_latest(const char *number, TimestampTz now)
{
	PnvsAdmission admission = {.channel = PNVS_SMS, .taken_at = now, .by_this_process = true};
	PnvsPartition *partition;
	const PnvsGuardNote *note;
	uint64		key;

	if (pnvs_guard_head == NULL || !pnvs_policy()->valid)
		return;
	pnvs_hash_prepare();
	strlcpy(admission.recipient, number, sizeof(admission.recipient));
	key = pnvs_hash_number(number);
	partition = pnvs_partition(PNVS_SHARE_NUMBER, key);
	pnvs_partition_lock(partition, LW_SHARED);
	note = pnvs_note_find(partition, key);
	if (note != NULL && note->latest != 0)
	{
		admission.due = note->latest;
		admission.key = note->latest_key;
		admission.channel = note->channel;
		admission.trusted = note->trusted;
	}
	pnvs_partition_unlock(partition);
	approve(&admission, now);
}

/* The same of a message whose admission is known. */
void
pnvs_guard_approve(const PnvsAdmission *admission, TimestampTz now)
{
	if (pnvs_guard_head == NULL || !pnvs_policy()->valid)
		return;
	/* of a message that was only observed nothing but its number is known */
	if (admission->due == 0)
		pnvs_guard_approve_latest(admission->recipient, now);
	else
	{
		pnvs_hash_prepare();
		approve(admission, now);
	}
}

static void
approve(const PnvsAdmission *admission, TimestampTz now)
{
	PnvsGuardReport report = {.nearly_full = -1};
	Counted		counted;
	PnvsGuardNote *note;

	collect(admission, &counted);
	lock(&counted, false, now);
	note = pnvs_note_find(counted.number, counted.number_key);
	if (counted.has_breaker)
	{
		if (!pnvs_guard_head->armed)
			report.event = PNVS_BREAKER_ARMED;
		pnvs_guard_head->armed = true;
		pnvs_breaker_approve(pnvs_breaker_of(counted.country), counted.policy, note, admission->due);
	}
	if (admission->due != 0 && note != NULL && note->latest == admission->due)
	{
		if (note->has_places && !note->approved)
			approve_places(&counted, true, now);
		count_observed(&counted, note);
		note->approved = true;
	}
	else if (admission->due != 0)
		approve_places(&counted, false, now);
	unlock(&counted);
	pnvs_shares_note_change();
	pnvs_report(&report, counted.policy);
}

/*
 * Marks a message's places.  A second approval of a message must not mark another's place;
 * of messages before the latest only the number's own list knows that.
 */
static void
approve_places(const Counted *counted, bool is_latest, TimestampTz now)
{
	const PnvsAdmission *admission = counted->admission;

	for (int i = 0; i < counted->nlists; i++)
	{
		PnvsGuardList *list = &counted->lists[i];

		if (!pnvs_remembers(list->partition->share, admission->taken_at, admission->by_this_process))
			continue;
		if (pnvs_places_approve(&list->places, admission->due))
			pnvs_list_store(list, now);
		else if (!is_latest && list->partition->share == PNVS_SHARE_NUMBER)
			return;
	}
}

/* A message was approved that rules would have refused. */
static void
count_observed(const Counted *counted, PnvsGuardNote *note)
{
	PnvsRuleCounters *counters = pnvs_partition_counters(counted->number);

	for (int slot = 0; slot < PNVS_COUNTER_SLOTS; slot++)
	{
		if ((note->observed & (UINT64CONST(1) << slot)) != 0)
			counters[slot].observed_approved++;
	}
	note->observed = 0;
}

/* For support: forgets the messages and wrong codes of a number. */
void
pnvs_guard_unblock(const char *number)
{
	if (pnvs_guard_head == NULL)
		return;
	pnvs_hash_prepare();
	drop_lists(PNVS_SHARE_NUMBER, pnvs_hash_number(number));
	drop_lists(PNVS_SHARE_TRIES_OF_NUMBER, pnvs_hash_number(number));
	pnvs_shares_note_change();
}

static void
drop_lists(PnvsShareId share, uint64 key)
{
	PnvsPartition *partition = pnvs_partition(share, key);

	pnvs_partition_lock(partition, LW_EXCLUSIVE);
	for (int kind = 0; kind < PNVS_KIND_COUNT; kind++)
		pnvs_list_drop(partition, key, kind);
	pnvs_partition_unlock(partition);
}

/* For superusers: forgets everything of a scope, or everything; the breakers stay armed. */
void
pnvs_guard_reset(bool all, PnvsScope scope)
{
	if (pnvs_guard_head == NULL)
		return;
	for (int share = 0; share < PNVS_SHARE_COUNT; share++)
	{
		if (!all && pnvs_share_scope(share) != scope)
			continue;
		for (int i = 0; i < pnvs_partition_count(share); i++)
		{
			PnvsPartition *partition = pnvs_partition_at(share, i);

			pnvs_partition_lock(partition, LW_EXCLUSIVE);
			pnvs_partition_clear(partition);
			if (share == PNVS_SHARE_COUNTRY)
				pnvs_breakers_reset();
			pnvs_partition_unlock(partition);
		}
		/* what was taken earlier is not remembered, and not given back either */
		pnvs_guard_head->forgotten_at[share] = GetCurrentTimestamp();
	}
	pnvs_counters_reset(all, scope, GetCurrentTimestamp());
	pnvs_shares_note_change();
}
