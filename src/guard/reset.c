/*-------------------------------------------------------------------------
 *
 * reset.c
 *	  Forgets what was counted, for people who know better.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "guard/breakers.h"
#include "guard/counters.h"
#include "guard/guard.h"
#include "guard/hash.h"

static void drop_lists(PnvsShareId share, uint64 key);

/* For support: forgets the messages and wrong codes of a number; the caller logs it. */
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
