/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  Counts what each rule has admitted, refused and observed.
 *
 * A rule has the same counters as long as its text is the same, through changes of the
 * setting.  Counted is in the partition of the number, under its lock; a reader adds the
 * partitions up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "guard/counters.h"
#include "guard/guard.h"

/* The shares whose partitions have counters. */
static const PnvsShareId counting[] = {
	PNVS_SHARE_NUMBER, PNVS_SHARE_TRIES_OF_NUMBER, PNVS_SHARE_TRIES_OF_ID
};

static int	find_slot(const PnvsRule *rule);
static int	find_unused_slot(const PnvsPolicy *policy);
static bool is_used(const PnvsPolicy *policy, const PnvsRule *rule);
static bool is_same(const PnvsRule *one, const PnvsRule *other);
static void clear_slot(int slot, TimestampTz now);
static void sum_slot(int slot, PnvsRuleCounters *sum);
static void sum_keys(const PnvsRule *rule, PnvsGuardRuleStat *stat);

/* Finds or makes the counters of each rule. */
void
pnvs_counters_assign(PnvsPolicy *policy)
{
	LWLockAcquire(pnvs_counters_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < policy->rules.nrules; i++)
	{
		const PnvsRule *rule = &policy->rules.rules[i];
		int			slot = find_slot(rule);

		if (slot < 0)
		{
			slot = find_unused_slot(policy);
			clear_slot(slot, GetCurrentTimestamp());
			pnvs_guard_head->rules[slot] = *rule;
		}
		policy->slots[i] = slot;
	}
	LWLockRelease(pnvs_counters_lock());
}

static int
find_slot(const PnvsRule *rule)
{
	for (int i = 0; i < PNVS_COUNTER_SLOTS; i++)
	{
		if (is_same(&pnvs_guard_head->rules[i], rule))
			return i;
	}
	return -1;
}

/* A free slot, or that of the rule that has left the setting first. */
static int
find_unused_slot(const PnvsPolicy *policy)
{
	int			found = -1;

	for (int i = 0; i < PNVS_COUNTER_SLOTS; i++)
	{
		const PnvsRule *rule = &pnvs_guard_head->rules[i];

		if (rule->limit.max == 0)
			return i;
		if (!is_used(policy, rule) &&
			(found < 0 || pnvs_guard_head->since[i] < pnvs_guard_head->since[found]))
			found = i;
	}
	/* there are twice as many as a setting has rules */
	Assert(found >= 0);
	return found;
}

static bool
is_used(const PnvsPolicy *policy, const PnvsRule *rule)
{
	for (int i = 0; i < policy->rules.nrules; i++)
	{
		if (is_same(&policy->rules.rules[i], rule))
			return true;
	}
	return false;
}

static bool
is_same(const PnvsRule *one, const PnvsRule *other)
{
	return one->scope == other->scope && one->channel == other->channel &&
		one->limit.max == other->limit.max &&
		one->limit.interval_us == other->limit.interval_us &&
		one->limit.unapproved == other->limit.unapproved;
}

/* With the counters' lock. */
static void
clear_slot(int slot, TimestampTz now)
{
	for (int i = 0; i < (int) lengthof(counting); i++)
	{
		for (int j = 0; j < pnvs_partition_count(counting[i]); j++)
		{
			PnvsPartition *partition = pnvs_partition_at(counting[i], j);

			pnvs_partition_lock(partition, LW_EXCLUSIVE);
			memset(&pnvs_partition_counters(partition)[slot], 0, sizeof(PnvsRuleCounters));
			pnvs_partition_unlock(partition);
		}
	}
	pnvs_guard_head->since[slot] = now;
}

/* Begins to count anew: all rules, or those of a scope. */
void
pnvs_counters_reset(bool all, PnvsScope scope, TimestampTz now)
{
	LWLockAcquire(pnvs_counters_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < PNVS_COUNTER_SLOTS; i++)
	{
		const PnvsRule *rule = &pnvs_guard_head->rules[i];

		if (rule->limit.max > 0 && (all || rule->scope == scope))
			clear_slot(i, now);
	}
	LWLockRelease(pnvs_counters_lock());
}

static void
sum_slot(int slot, PnvsRuleCounters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < (int) lengthof(counting); i++)
	{
		for (int j = 0; j < pnvs_partition_count(counting[i]); j++)
		{
			PnvsPartition *partition = pnvs_partition_at(counting[i], j);
			const PnvsRuleCounters *counters = &pnvs_partition_counters(partition)[slot];

			pnvs_partition_lock(partition, LW_SHARED);
			sum->admitted += counters->admitted;
			sum->refused += counters->refused;
			sum->observed += counters->observed;
			sum->observed_approved += counters->observed_approved;
			pnvs_partition_unlock(partition);
		}
	}
}

/* Reads the counters of the rules in the setting, and returns how many there are. */
int
pnvs_guard_read_rules(PnvsGuardRuleStat *stats, int max)
{
	const PnvsPolicy *policy = pnvs_policy();
	int			n = Min(policy->rules.nrules, max);

	if (pnvs_guard_head == NULL)
		return 0;
	LWLockAcquire(pnvs_counters_lock(), LW_SHARED);
	for (int i = 0; i < n; i++)
	{
		const PnvsRule *rule = &policy->rules.rules[i];
		PnvsGuardRuleStat *stat = &stats[i];
		PnvsRuleCounters sum;

		memset(stat, 0, sizeof(*stat));
		pnvs_rule_text(rule, stat->rule);
		sum_slot(policy->slots[i], &sum);
		stat->scope = rule->scope;
		stat->admitted = sum.admitted;
		stat->refused = sum.refused;
		stat->observed = sum.observed;
		stat->observed_approved = sum.observed_approved;
		stat->since = pnvs_guard_head->since[policy->slots[i]];
		sum_keys(rule, stat);
	}
	LWLockRelease(pnvs_counters_lock());
	return n;
}

/* The keys of the rule's scope and channel, trusted ones included. */
static void
sum_keys(const PnvsRule *rule, PnvsGuardRuleStat *stat)
{
	for (int share = 0; share < PNVS_SHARE_COUNT; share++)
	{
		for (int i = 0; pnvs_share_scope(share) == rule->scope && i < pnvs_partition_count(share); i++)
		{
			PnvsPartition *partition = pnvs_partition_at(share, i);
			const PnvsPartitionStat *kinds = &partition->stat;
			int			trusted = rule->channel | PNVS_KIND_TRUSTED;

			pnvs_partition_lock(partition, LW_SHARED);
			stat->keys += kinds->keys[rule->channel] + kinds->keys[trusted];
			stat->forgotten += kinds->forgotten[rule->channel] + kinds->forgotten[trusted];
			stat->shared += kinds->shared[rule->channel] + kinds->shared[trusted];
			pnvs_partition_unlock(partition);
		}
	}
}

/* The counters of a slot; false if it is free. */
bool
pnvs_counters_save(int slot, PnvsSavedCounters *saved)
{
	LWLockAcquire(pnvs_counters_lock(), LW_SHARED);
	saved->rule = pnvs_guard_head->rules[slot];
	saved->since = pnvs_guard_head->since[slot];
	if (saved->rule.limit.max > 0)
		sum_slot(slot, &saved->sum);
	LWLockRelease(pnvs_counters_lock());
	return saved->rule.limit.max > 0;
}

/* At the start of the server, when nobody counts. */
void
pnvs_counters_load(int slot, const PnvsSavedCounters *saved)
{
	pnvs_guard_head->rules[slot] = saved->rule;
	pnvs_guard_head->since[slot] = saved->since;
	pnvs_partition_counters(pnvs_partition_at(PNVS_SHARE_NUMBER, 0))[slot] = saved->sum;
}
