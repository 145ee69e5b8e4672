/*-------------------------------------------------------------------------
 *
 * tries.c
 *	  Limits how many wrong codes may be tried for a number, or for a verification whose
 *	  number is not known.
 *
 * Observe mode does not concern these limits: they keep codes from being guessed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/guard.h"
#include "guard/hash.h"
#include "guard/report.h"

static void find_list(const PnvsPolicy *policy, const PnvsTry *try, PnvsGuardList *list);
static TimestampTz judge(const PnvsPolicy *policy, const PnvsGuardList *list, TimestampTz now,
						 PnvsGuardReport *report);

/*
 * A code is to be checked: takes a place under the rules for tries, of the number or, if
 * that is NULL, of the verification.  It is to be given back if the code is approved, or if
 * the service has not judged it.
 */
PnvsRefusal
pnvs_guard_admit_try(const char *number, const char *verification_id, TimestampTz now,
					 PnvsTry *try)
{
	static PnvsGuardList list;
	PnvsRefusal refusal = {PNVS_ADMITTED, PNVS_SCOPE_TRIES, -1};
	PnvsGuardReport report = {.nearly_full = -1};
	const PnvsPolicy *policy;
	TimestampTz admitted_at;

	memset(try, 0, sizeof(*try));
	if (!pnvs_policy_has_memory())
		return refusal;
	policy = pnvs_policy();
	if (!policy->has[PNVS_SCOPE_TRIES])
		return refusal;
	pnvs_hash_prepare();
	try->of_number = number != NULL;
	try->key = number != NULL ? pnvs_hash_number(number) : pnvs_hash_verification(verification_id);

	find_list(policy, try, &list);
	pnvs_partition_lock(list.partition, LW_EXCLUSIVE);
	list.partition->latest = try->at = now = pnvs_partition_time(list.partition, now);
	pnvs_partition_sweep(list.partition, policy, now);
	pnvs_list_load(&list, now);
	admitted_at = judge(policy, &list, now, &report);
	if (admitted_at == now)
		report.memory_full = pnvs_list_take(&list, now, now);
	pnvs_partition_unlock(list.partition);
	pnvs_shares_note_change();

	if (admitted_at != now)
	{
		try->key = 0;
		refusal.reason = PNVS_REFUSED_LIMIT;
		refusal.retry_after_s = pnvs_refusal_wait_s(admitted_at, now);
	}
	pnvs_report(&report, policy);
	return refusal;
}

/* When the rules will admit a check of a code of this number, from now on.  Takes no place. */
TimestampTz
pnvs_guard_try_room_at(const char *number, TimestampTz now)
{
	static PnvsGuardList list;
	PnvsTry		try = {.of_number = true};
	TimestampTz at = now;

	if (!pnvs_policy_has_memory() || !pnvs_policy()->has[PNVS_SCOPE_TRIES])
		return now;
	pnvs_hash_prepare();
	try.key = pnvs_hash_number(number);
	find_list(pnvs_policy(), &try, &list);
	pnvs_partition_lock(list.partition, LW_EXCLUSIVE);
	list.partition->latest = at = pnvs_partition_time(list.partition, now);
	pnvs_list_load(&list, at);
	for (int i = 0; i < list.group->n; i++)
		at = Max(at, pnvs_places_admitted_at(list.places, &list.group->limits[i],
											 list.partition->latest));
	pnvs_partition_unlock(list.partition);
	return at;
}

/* Never throws. */
void
pnvs_guard_give_back_try(const PnvsTry *try, TimestampTz now)
{
	static PnvsGuardList list;
	const PnvsPolicy *policy;

	if (pnvs_guard_head == NULL || try->key == 0 || !pnvs_policy()->valid)
		return;
	policy = pnvs_policy();
	find_list(policy, try, &list);
	pnvs_partition_lock(list.partition, LW_EXCLUSIVE);
	list.partition->latest = now = pnvs_partition_time(list.partition, now);
	pnvs_list_load(&list, now);
	if (pnvs_remembers(list.partition->share, try->at, true) &&
		pnvs_places_give_back(list.places, try->at))
		pnvs_list_store(&list, now);
	pnvs_partition_unlock(list.partition);
	pnvs_shares_note_change();
}

static void
find_list(const PnvsPolicy *policy, const PnvsTry *try, PnvsGuardList *list)
{
	PnvsShareId share = try->of_number ? PNVS_SHARE_TRIES_OF_NUMBER : PNVS_SHARE_TRIES_OF_ID;

	list->partition = pnvs_partition(share, try->key);
	list->key = try->key;
	list->kind = PNVS_ANY_CHANNEL;
	list->group = &policy->groups[PNVS_SCOPE_TRIES][PNVS_ANY_CHANNEL];
}

/* When all rules admit the check: now, or later.  Counts what they say. */
static TimestampTz
judge(const PnvsPolicy *policy, const PnvsGuardList *list, TimestampTz now,
	  PnvsGuardReport *report)
{
	const PnvsRuleGroup *group = list->group;
	PnvsRuleCounters *counters = pnvs_partition_counters(list->partition);
	TimestampTz at = now;

	for (int i = 0; i < group->n; i++)
	{
		TimestampTz admitted_at = pnvs_places_admitted_at(list->places, &group->limits[i], now);

		if (admitted_at > now)
			report->refusing |= UINT32_C(1) << group->rules[i];
		at = Max(at, admitted_at);
	}
	for (int i = 0; i < group->n; i++)
	{
		PnvsRuleCounters *rule = &counters[policy->slots[group->rules[i]]];

		if (report->refusing == 0)
			rule->admitted++;
		else if ((report->refusing & (UINT32_C(1) << group->rules[i])) != 0)
			rule->refused++;
	}
	return at;
}
