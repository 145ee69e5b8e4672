/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Admits messages, and takes and gives back their places.
 *
 * The lists that count a message are locked, judged, and the places are taken in all of
 * them or in none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "guard/breakers.h"
#include "guard/counted.h"
#include "guard/door.h"
#include "guard/guard.h"
#include "guard/hash.h"
#include "guard/keeper.h"
#include "guard/report.h"
#include "guard/transaction.h"
#include "settings.h"

/* A message that is due later than this is no number's latest message while there is another. */
#define LATEST_US (INT64CONST(60) * USECS_PER_SEC)

/* A WARNING comes at this part of a limit for the total. */
#define NEARLY_FULL_PERCENT 80

static bool judge(PnvsCounted *counted, TimestampTz now, PnvsGuardReport *report,
				  TimestampTz *open_until);
static uint64 sum_places(const PnvsPlaceList *places);
static void count_rules(const PnvsCounted *counted, const PnvsGuardReport *report);
static void take(const PnvsCounted *counted, TimestampTz now, PnvsGuardReport *report);
static void note_message(const PnvsCounted *counted, const PnvsGuardReport *report, bool taken,
						 TimestampTz now);
static void set_latest(PnvsGuardNote *note, const PnvsAdmission *admission, bool has_places);
static void remember_before(PnvsGuardNote *note, const PnvsAdmission *admission);
static void forget_message(PnvsGuardNote *note, const PnvsAdmission *admission);
static void set_refusal(const PnvsCounted *counted, TimestampTz open_until, TimestampTz now,
						PnvsRefusal *refusal);
static int	find_nearly_full(const PnvsCounted *counted);

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

/* The key of a rate_key, which is normalised, for this database and role. */
uint64
pnvs_guard_hash_rate_key(const char *rate_key)
{
	pnvs_hash_prepare();
	return pnvs_hash_rate_key(rate_key);
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
	PnvsCounted counted;
	bool		is_test = pnvs_settings_test_number(message->recipient, message->due) != NULL;
	bool		admitted;

	memset(admission, 0, sizeof(*admission));
	if (!pnvs_guard_allows(message, is_test, &refusal))
	{
		pnvs_report_setting(refusal.reason);
		return refusal;
	}
	strlcpy(admission->recipient, message->recipient, sizeof(admission->recipient));
	admission->channel = message->channel;
	admission->trusted = message->trusted;
	admission->is_test = is_test;
	if (is_test || !pnvs_policy_has_memory())
		return refusal;
	pnvs_hash_prepare();
	pnvs_guard_reserve_entry();
	pnvs_gaps_note_promotion(now);
	admission->taken_at = now;
	admission->by_this_process = true;
	admission->key = message->rate_key != NULL ? pnvs_hash_rate_key(message->rate_key) : message->key;
	/* last, for whoever catches an error gives back what has a time */
	admission->due = message->due;

	pnvs_counted_collect(admission, &counted);
	now = pnvs_counted_lock(&counted, true, now);
	/* what counted before now may be forgotten, so nothing is judged before */
	admission->due = Max(message->due, now);
	admitted = judge(&counted, now, &report, &open_until);
	count_rules(&counted, &report);
	if (admitted)
	{
		take(&counted, now, &report);
		report.nearly_full = find_nearly_full(&counted);
	}
	if (admitted || counted.policy->observe)
		note_message(&counted, &report, admitted, now);
	for (int i = 0; !admitted && i < counted.nlists; i++)
		pnvs_list_detach(&counted.lists[i]);
	pnvs_counted_unlock(&counted);
	pnvs_shares_note_change();

	if (!admitted && !counted.policy->observe)
		set_refusal(&counted, open_until, now, &refusal);
	if (!admitted)
		admission->due = 0;
	pnvs_report(&report, counted.policy);
	return refusal;
}

/* Whether all rules and the breaker admit the message.  Notes those that do not. */
static bool
judge(PnvsCounted *counted, TimestampTz now, PnvsGuardReport *report, TimestampTz *open_until)
{
	TimestampTz due = counted->admission->due;

	for (int i = 0; i < counted->nlists; i++)
	{
		PnvsGuardList *list = &counted->lists[i];

		list->sum = sum_places(list->places);
		for (int j = 0; j < list->group->n; j++)
		{
			/* often not even all places together reach the limit */
			if (list->sum >= list->group->limits[j].max &&
				pnvs_places_admitted_at(list->places, &list->group->limits[j], due) > due)
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

/* No less than the number of a list's places in any interval. */
static uint64
sum_places(const PnvsPlaceList *places)
{
	const PnvsPlaces *end = places->items + places->n;
	uint64		sum = 0;

	for (const PnvsPlaces *item = places->items; item < end; item++)
		sum += item->count;
	/* one of them may stand for any number */
	return sum < PG_UINT16_MAX ? sum : PG_UINT32_MAX;
}

/* A rule has admitted a message only if all others have, too. */
static void
count_rules(const PnvsCounted *counted, const PnvsGuardReport *report)
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
take(const PnvsCounted *counted, TimestampTz now, PnvsGuardReport *report)
{
	for (int i = 0; i < counted->nlists; i++)
	{
		if (pnvs_list_take(&counted->lists[i], counted->admission->due, now))
			report->memory_full = true;
	}
}

/*
 * Remembers a message as the number's latest.  One that is due much later is not sent yet,
 * so no code of it can be approved.
 */
static void
note_message(const PnvsCounted *counted, const PnvsGuardReport *report, bool taken, TimestampTz now)
{
	const PnvsAdmission *admission = counted->admission;
	PnvsGuardNote *note = NULL;

	if (counted->policy->needs_notes)
		note = pnvs_note_add(counted->number, counted->number_key);
	if (taken && counted->has_breaker && pnvs_breaker_counts_at_once(counted->policy, admission))
		pnvs_breaker_count(pnvs_breaker_of(counted->country), counted->policy, note,
						   admission->due, now);
	if (note == NULL || (note->latest != 0 && admission->due > now + LATEST_US))
		return;
	set_latest(note, admission, taken);
	for (int i = 0; !taken && i < counted->policy->rules.nrules; i++)
	{
		if ((report->refusing & (UINT32_C(1) << i)) != 0)
			note->observed |= UINT64CONST(1) << counted->policy->slots[i];
	}
}

static void
set_latest(PnvsGuardNote *note, const PnvsAdmission *admission, bool has_places)
{
	remember_before(note, admission);
	note->latest = admission->due;
	note->latest_key = admission->key;
	note->channel = admission->channel;
	note->trusted = admission->trusted;
	note->has_places = has_places;
	note->approved = false;
	note->observed = 0;
}

/*
 * The latest message so far becomes that again if the new one is not sent: a code of it can
 * still be approved.  There is no room for all of it, so the two must have much in common.
 */
static void
remember_before(PnvsGuardNote *note, const PnvsAdmission *admission)
{
	int64		before_us = admission->due - note->latest;

	note->before_us = 0;
	if (note->latest == 0 || !note->has_places || note->approved ||
		note->latest_key != admission->key || note->trusted != admission->trusted ||
		before_us <= 0 || before_us > PG_UINT32_MAX)
		return;
	note->before_us = (uint32) before_us;
	note->before_channel = note->channel;
}

/* A message was not sent. */
static void
forget_message(PnvsGuardNote *note, const PnvsAdmission *admission)
{
	if (note->latest_key != admission->key || note->latest == 0)
		return;
	if (note->before_us != 0 && note->latest - note->before_us == admission->due)
		note->before_us = 0;
	if (note->latest != admission->due)
		return;
	note->latest = note->before_us != 0 ? note->latest - note->before_us : 0;
	note->channel = note->before_channel;
	note->before_us = 0;
	note->has_places = true;
	note->approved = false;
	note->observed = 0;
}

/* From the copies of the lists: when the message will be admitted, and what is waited for longest. */
static void
set_refusal(const PnvsCounted *counted, TimestampTz open_until, TimestampTz now, PnvsRefusal *refusal)
{
	TimestampTz due = counted->admission->due;

	/* the open breaker refuses a message that is due after it has closed, too */
	TimestampTz longest = open_until != 0 ? open_until : due;
	TimestampTz at = pnvs_counted_admitted_at(counted, longest);

	refusal->reason = open_until != 0 ? PNVS_REFUSED_BREAKER : PNVS_REFUSED_LIMIT;
	for (int i = 0; i < counted->nlists; i++)
	{
		const PnvsGuardList *list = &counted->lists[i];
		TimestampTz admitted_at = pnvs_list_admitted_at(list, due);

		if (admitted_at <= longest)
			continue;
		longest = admitted_at;
		refusal->reason = PNVS_REFUSED_LIMIT;
		refusal->scope = pnvs_share_scope(list->partition->share);
	}
	at = Max(at, longest);
	if (at != PNVS_PLACES_NEVER)
		refusal->retry_after_s = pnvs_refusal_wait_s(at, now);
}

/* A rule for the total that has little room, or -1. */
static int
find_nearly_full(const PnvsCounted *counted)
{
	for (int i = 0; i < counted->nlists; i++)
	{
		const PnvsGuardList *list = &counted->lists[i];

		if (list->partition->share != PNVS_SHARE_TOTAL)
			continue;
		for (int j = 0; j < list->group->n; j++)
		{
			const PnvsLimit *limit = &list->group->limits[j];
			uint64		mark = (uint64) limit->max * NEARLY_FULL_PERCENT;

			/*
			 * all places and the new one are no less than the count, and are
			 * known sooner
			 */
			if ((list->sum + 1) * 100 >= mark &&
				(uint64) pnvs_places_count(list->places, limit, counted->admission->due) * 100 >= mark)
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
	PnvsCounted counted;
	PnvsGuardNote *note;
	bool		is_approved;

	if (pnvs_guard_head == NULL || due == 0 || !pnvs_hash_is_ready() || !pnvs_policy()->valid)
		return;
	pnvs_counted_collect(admission, &counted);
	now = pnvs_counted_lock(&counted, false, now);
	note = pnvs_note_find(counted.number, counted.number_key);
	is_approved = note != NULL && note->latest == due && note->approved;
	for (int i = 0; i < counted.nlists; i++)
	{
		PnvsGuardList *list = &counted.lists[i];

		/* a place that the approval gave back must not be another's now */
		if (is_approved && !list->group->counts_approved)
			continue;
		if (pnvs_remembers(list->partition->share, admission->taken_at, admission->by_this_process) &&
			pnvs_places_give_back(list->places, due))
			pnvs_list_store(list, now);
	}
	if (counted.has_breaker && pnvs_remembers(PNVS_SHARE_COUNTRY, admission->taken_at, admission->by_this_process))
		pnvs_breaker_give_back(pnvs_breaker_of(counted.country), counted.policy, note, admission);
	if (note != NULL)
		forget_message(note, admission);
	pnvs_counted_unlock(&counted);
	pnvs_shares_note_change();
}

/*
 * Whether a queued message is to be counted when it is settled as sent, or of unknown fate:
 * it was due too late for its breaker when it was admitted.
 */
bool
pnvs_guard_counts_sent(const PnvsAdmission *admission)
{
	const PnvsPolicy *policy = pnvs_policy();

	return pnvs_guard_head != NULL && admission->due != 0 && !admission->trusted &&
		policy->valid && policy->breaker.min_numbers > 0 &&
		!pnvs_breaker_counts_at_once(policy, admission);
}

/*
 * Counts such a message.  By now it can be its number's latest, and its code may have been
 * approved already.  Never throws.
 */
void
pnvs_guard_count_sent(const PnvsAdmission *admission, TimestampTz now)
{
	TimestampTz due = admission->due;
	PnvsCounted counted;
	PnvsGuardBreaker *breaker;
	PnvsGuardNote *note;

	if (!pnvs_hash_is_ready() || !pnvs_guard_counts_sent(admission))
		return;
	pnvs_counted_collect(admission, &counted);
	now = pnvs_counted_lock(&counted, true, now);
	breaker = pnvs_breaker_of(counted.country);
	note = pnvs_note_add(counted.number, counted.number_key);
	/* a row that was changed by hand may be sent before it is due */
	pnvs_breaker_count(breaker, counted.policy, note, Min(due, now), now);
	if (note != NULL && note->latest < due)
		set_latest(note, admission, true);
	else if (note != NULL && note->latest == due && note->approved)
		pnvs_breaker_approve(breaker, counted.policy, note, due);
	pnvs_counted_unlock(&counted);
	pnvs_shares_note_change();
}
