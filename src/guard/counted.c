/*-------------------------------------------------------------------------
 *
 * counted.c
 *	  The lists that count a message.
 *
 * These are up to two of each scope: for all channels, and for its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/counted.h"
#include "guard/hash.h"

/* Those of each scope of messages, of all channels and of one. */
#define MAX_LISTS ((PNVS_SCOPE_COUNT - 1) * 2)

static void add_lists(PnvsCounted *counted, PnvsShareId share, uint64 key);

/* Finds out which lists count a message, and which partitions they are in. */
void
pnvs_counted_collect(const PnvsAdmission *admission, PnvsCounted *counted)
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
add_lists(PnvsCounted *counted, PnvsShareId share, uint64 key)
{
	PnvsChannelWord words[] = {PNVS_ANY_CHANNEL, counted->admission->channel};
	PnvsPartition *partition = pnvs_partition(share, key);

	counted->partitions[counted->npartitions++] = partition;
	for (int i = 0; i < (int) lengthof(words); i++)
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

/*
 * Locks all partitions and copies the lists.  The result is the time to judge them by: now,
 * or the later time of a session that was faster to get a lock.
 */
TimestampTz
pnvs_counted_lock(const PnvsCounted *counted, bool sweep, TimestampTz now)
{
	for (int i = 0; i < counted->npartitions; i++)
		pnvs_partition_lock(counted->partitions[i], LW_EXCLUSIVE);
	for (int i = 0; i < counted->npartitions; i++)
		now = pnvs_partition_time(counted->partitions[i], now);
	for (int i = 0; i < counted->npartitions; i++)
		counted->partitions[i]->latest = now;
	for (int i = 0; sweep && i < counted->npartitions; i++)
		pnvs_partition_sweep(counted->partitions[i], counted->policy, now);
	for (int i = 0; i < counted->nlists; i++)
		pnvs_list_load(&counted->lists[i], now);
	return now;
}

void
pnvs_counted_unlock(const PnvsCounted *counted)
{
	for (int i = counted->npartitions - 1; i >= 0; i--)
		pnvs_partition_unlock(counted->partitions[i]);
}
