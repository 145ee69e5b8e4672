/*-------------------------------------------------------------------------
 *
 * approval.c
 *	  Notes that the service has approved a message's code.
 *
 * Rules for unapproved messages then do not count it any more, and its number is one that
 * is approved for the breaker of its country.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/breakers.h"
#include "guard/counted.h"
#include "guard/hash.h"
#include "guard/report.h"

static bool arm(void);
static void approve(const PnvsAdmission *admission, TimestampTz now);
static void approve_places(const PnvsCounted *counted, bool is_latest, TimestampTz now);
static bool reaches(const PnvsRuleGroup *group, TimestampTz due, TimestampTz now);
static void count_observed(const PnvsCounted *counted, PnvsGuardNote *note);

/* The service has approved a verification of this number: its latest message. */
void
pnvs_guard_approve_latest(const char *number, TimestampTz now)
{
	PnvsAdmission admission = {.channel = PNVS_SMS,.taken_at = now,.by_this_process = true};
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

/* Arms the breakers, also for an approval that none of them counts; false if they are. */
static bool
arm(void)
{
	const PnvsPartition *partition = pnvs_partition_at(PNVS_SHARE_COUNTRY, 0);
	bool		arms;

	pnvs_partition_lock(partition, LW_EXCLUSIVE);
	arms = !pnvs_guard_head->armed;
	pnvs_guard_head->armed = true;
	pnvs_partition_unlock(partition);
	return arms;
}

static void
approve(const PnvsAdmission *admission, TimestampTz now)
{
	PnvsGuardReport report = {.nearly_full = -1};
	PnvsCounted counted;
	PnvsGuardNote *note;

	if (pnvs_policy()->breaker.min_numbers > 0 && !pnvs_guard_head->armed && arm())
		report.event = PNVS_BREAKER_ARMED;
	pnvs_counted_collect(admission, &counted);
	now = pnvs_counted_lock(&counted, false, now);
	note = pnvs_note_find(counted.number, counted.number_key);
	if (counted.has_breaker)
		pnvs_breaker_approve(pnvs_breaker_of(counted.country), counted.policy, note, admission->due);
	if (admission->due != 0 && note != NULL && note->latest == admission->due)
	{
		if (note->has_places && !note->approved)
			approve_places(&counted, true, now);
		count_observed(&counted, note);
		note->approved = true;
	}
	else if (admission->due != 0)
		approve_places(&counted, false, now);
	pnvs_counted_unlock(&counted);
	pnvs_shares_note_change();
	pnvs_report(&report, counted.policy);
}

/*
 * Marks a message's places.  A second approval of a message must not mark another's place;
 * of messages before the latest only the number's own list knows that, unless it has
 * forgotten them.
 */
static void
approve_places(const PnvsCounted *counted, bool is_latest, TimestampTz now)
{
	const PnvsAdmission *admission = counted->admission;

	for (int i = 0; i < counted->nlists; i++)
	{
		PnvsGuardList *list = &counted->lists[i];

		if (!pnvs_remembers(list->partition->share, admission->taken_at, admission->by_this_process))
			continue;
		if (pnvs_places_approve(list->places, admission->due))
			pnvs_list_store(list, now);
		else if (!is_latest && list->partition->share == PNVS_SHARE_NUMBER &&
				 reaches(list->group, admission->due, now))
			return;
	}
}

/* Whether a rule still counts what was due at a time. */
static bool
reaches(const PnvsRuleGroup *group, TimestampTz due, TimestampTz now)
{
	for (int i = 0; i < group->n; i++)
	{
		if (due > now - group->limits[i].interval_us)
			return true;
	}
	return false;
}

/* A message was approved that rules would have refused. */
static void
count_observed(const PnvsCounted *counted, PnvsGuardNote *note)
{
	PnvsRuleCounters *counters = pnvs_partition_counters(counted->number);

	for (int slot = 0; slot < PNVS_COUNTER_SLOTS; slot++)
	{
		if ((note->observed & (UINT64CONST(1) << slot)) != 0)
			counters[slot].observed_approved++;
	}
	note->observed = 0;
}
