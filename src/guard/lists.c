/*-------------------------------------------------------------------------
 *
 * lists.c
 *	  The lists of places in a partition.
 *
 * A list is copied from its blocks, judged and changed, and copied back (that of the total
 * is judged and changed in place).  A key gets a list
 * of its own, and more blocks for it, as long as the partition has blocks beyond its
 * reserve.  After that a new key shares a bucket with others: all of their places count for
 * each, which is too strict and never lets too many through.  A key that has shared a
 * bucket stays there as long as anything in it counts.  The reserve has room for a list of
 * each bucket and kind.  A list that gets no more blocks merges places to fit into those
 * that it has.
 *
 * Lists in which nothing counts any more are swept away when blocks are short, some buckets
 * at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/blocks.h"

/* The buckets that a call sweeps. */
#define SWEPT_BUCKETS 16

/* The most blocks that a call needs: two lists of all places, and a note. */
#define NEEDED_BLOCKS 90

static bool first_counts(const PnvsPlaceList *places, const PnvsRuleGroup *group, TimestampTz now);
static void forget(PnvsGuardList *list, TimestampTz now);
static uint32 *chain_of(PnvsPartition *partition, uint64 key, uint8 kind);
static uint32 bucket_of(uint64 key);
static uint32 find(PnvsPartition *partition, uint64 key, uint8 kind);
static uint32 add(PnvsPartition *partition, uint64 key, uint8 kind);
static uint32 add_bucket(PnvsPartition *partition, uint64 key, uint8 kind);
static void find_room(PnvsGuardList *list);
static void release(PnvsPartition *partition, uint32 *link);
static bool still_counts(const PnvsPartition *partition, uint32 head, const PnvsPolicy *policy,
						 TimestampTz now);

/* The rules that judge a list. */
const PnvsRuleGroup *
pnvs_list_group(const PnvsPolicy *policy, PnvsShareId share, uint8 kind)
{
	return &policy->groups[pnvs_share_scope(share)][kind & (PNVS_CHANNEL_WORD_COUNT - 1)];
}

/* Finds a list, and copies it unless it is changed in place. */
void
pnvs_list_load(PnvsGuardList *list, TimestampTz now)
{
	PnvsPartition *partition = list->partition;

	list->head = 0;
	list->is_bucket = false;
	if (partition->is_flat)
		list->places = pnvs_flat_list(partition, list->kind);
	else
	{
		list->head = find(partition, list->key, list->kind);
		if (list->head == 0)
		{
			list->head = find(partition, bucket_of(list->key), list->kind | PNVS_KIND_BUCKET);
			list->is_bucket = list->head != 0;
		}
		list->places = &list->copy;
		list->copy.n = 0;
		if (list->head != 0)
			pnvs_blocks_read(partition, list->head, &list->copy);
	}
	forget(list, now);
}

/* Forgets what does not count: it is in the way of nobody, but for a bucket's next user. */
static void
forget(PnvsGuardList *list, TimestampTz now)
{
	const PnvsRuleGroup *group = list->group;

	if (list->places->n == 0)
		return;
	if (list->is_bucket || !first_counts(list->places, group, now))
		pnvs_places_forget(list->places, now, group->limits, group->n);

	/* nothing in the bucket counts: the key may have a list of its own */
	if (list->is_bucket && list->places->n == 0)
	{
		pnvs_list_drop(list->partition, bucket_of(list->key), list->kind | PNVS_KIND_BUCKET);
		list->head = 0;
		list->is_bucket = false;
	}
}

/* Copies a list that would be changed in place, to look at it without the lock. */
void
pnvs_list_detach(PnvsGuardList *list)
{
	if (list->places != &list->copy)
		list->copy = *list->places;
	list->places = &list->copy;
}

/* Whether the oldest place counts; the others mostly do, too. */
static bool
first_counts(const PnvsPlaceList *places, const PnvsRuleGroup *group, TimestampTz now)
{
	static PnvsPlaceList first;

	first.n = Min(places->n, 1);
	first.items[0] = places->items[0];
	pnvs_places_forget(&first, now, group->limits, group->n);
	return first.n > 0;
}

/* Copies a list back, in as many of its places as there is room for. */
void
pnvs_list_store(PnvsGuardList *list, TimestampTz now)
{
	PnvsPartition *partition = list->partition;
	const PnvsRuleGroup *group = list->group;
	int			size;

	if (partition->is_flat)
	{
		partition->stat.keys[list->kind] = list->places->n > 0;
		return;
	}
	if (list->places->n == 0)
	{
		if (list->head != 0)
			pnvs_list_drop(partition, list->is_bucket ? bucket_of(list->key) : list->key,
						   pnvs_block_at(partition, list->head)->kind);
		list->head = 0;
		return;
	}
	if (list->head == 0)
		list->head = add(partition, list->key, list->kind);
	if (list->head == 0)
	{
		list->head = add_bucket(partition, bucket_of(list->key), list->kind | PNVS_KIND_BUCKET);
		list->is_bucket = true;
	}
	size = pnvs_blocks_resize(partition, list->head, list->places->n);
	pnvs_places_shrink(list->places, size, now, group->limits, group->n);
	pnvs_blocks_write(partition, list->head, list->places);
}

/* Takes a place in a list; true if other keys share it, because memory is full. */
bool
pnvs_list_take(PnvsGuardList *list, TimestampTz at, TimestampTz now)
{
	pnvs_places_take(list->places, at, now, list->group->limits, list->group->n);
	pnvs_list_store(list, now);
	if (list->is_bucket)
		list->partition->stat.shared[list->kind]++;
	return list->is_bucket;
}

/* Forgets a list, if it is there. */
void
pnvs_list_drop(PnvsPartition *partition, uint64 key, uint8 kind)
{
	uint32	   *link = chain_of(partition, key, kind);

	for (; *link != 0; link = &pnvs_block_at(partition, *link)->next)
	{
		PnvsBlock  *block = pnvs_block_at(partition, *link);

		if (block->kind == kind && block->u.list.key == key)
		{
			release(partition, link);
			return;
		}
	}
}

/* The note of a number, or NULL; valid while the lock is held. */
PnvsGuardNote *
pnvs_note_find(PnvsPartition *partition, uint64 key)
{
	uint32		block = find(partition, key, PNVS_KIND_NOTE);

	return block == 0 ? NULL : &pnvs_block_at(partition, block)->u.note.note;
}

/* The same; an empty one is added if there is none and room for it. */
PnvsGuardNote *
pnvs_note_add(PnvsPartition *partition, uint64 key)
{
	PnvsGuardNote *note = pnvs_note_find(partition, key);
	uint32		block;

	if (note != NULL)
		return note;
	block = add(partition, key, PNVS_KIND_NOTE);
	if (block == 0)
		return NULL;
	note = &pnvs_block_at(partition, block)->u.note.note;
	memset(note, 0, sizeof(*note));
	return note;
}

/* Whether anybody may still ask for a note. */
bool
pnvs_note_counts(const PnvsGuardNote *note, const PnvsPolicy *policy, TimestampTz now)
{
	return Max(note->latest, note->counted) > now - policy->note_us;
}

/* Makes room if there is little, by some buckets in turn. */
void
pnvs_partition_sweep(PnvsPartition *partition, const PnvsPolicy *policy, TimestampTz now)
{
	if (partition->is_flat || partition->nfree > partition->reserve + NEEDED_BLOCKS)
		return;
	for (int i = 0; i < SWEPT_BUCKETS; i++)
	{
		uint32	   *link = &partition->buckets[partition->cursor];

		while (*link != 0)
		{
			PnvsBlock  *block = pnvs_block_at(partition, *link);

			if (still_counts(partition, *link, policy, now))
				link = &block->next;
			else
			{
				if (block->kind < PNVS_KIND_COUNT)
					partition->stat.forgotten[block->kind]++;
				release(partition, link);
			}
		}
		partition->cursor = (partition->cursor + 1) & (partition->nbuckets - 1);
	}
}

/*
 * Shows every list and note, also of a copy of a partition; false if a visit returned that.
 */
bool
pnvs_partition_walk(const PnvsPartition *partition, PnvsGuardVisit visit, void *arg)
{
	static PnvsGuardEntry entry;

	for (int word = 0; partition->is_flat && word < PNVS_CHANNEL_WORD_COUNT; word++)
	{
		entry.key = 0;
		entry.kind = word;
		entry.places = *pnvs_flat_list(partition, word);
		if (entry.places.n > 0 && !visit(&entry, arg))
			return false;
	}
	for (uint32 i = 0; i < partition->nbuckets; i++)
	{
		for (uint32 head = partition->buckets[i]; head != 0; head = pnvs_block_at(partition, head)->next)
		{
			const PnvsBlock *block = pnvs_block_at(partition, head);

			entry.key = block->u.list.key;
			entry.kind = block->kind;
			entry.places.n = 0;
			if (block->kind == PNVS_KIND_NOTE)
				entry.note = block->u.note.note;
			else
				pnvs_blocks_read(partition, head, &entry.places);
			if (!visit(&entry, arg))
				return false;
		}
	}
	return true;
}

/*
 * Adds a list or note of a snapshot.  Of memory that is smaller now, it may go into a
 * shared bucket.
 */
void
pnvs_partition_add(PnvsPartition *partition, const PnvsGuardEntry *entry,
				   const PnvsPolicy *policy, TimestampTz now)
{
	const PnvsRuleGroup *group = pnvs_list_group(policy, partition->share, entry->kind);
	static PnvsGuardList list;

	if (entry->kind == PNVS_KIND_NOTE)
	{
		PnvsGuardNote *note = pnvs_note_add(partition, entry->key);

		if (note != NULL)
			*note = entry->note;
		return;
	}
	list.partition = partition;
	list.key = entry->key;
	list.kind = entry->kind;
	list.group = group;
	if (!partition->is_flat)
		find_room(&list);
	list.places = partition->is_flat ? pnvs_flat_list(partition, entry->kind) : &list.copy;
	if (!partition->is_flat)
		pnvs_blocks_read(partition, list.head, &list.copy);
	for (int i = 0; i < entry->places.n; i++)
		pnvs_places_add(list.places, &entry->places.items[i], now, group->limits, group->n);
	pnvs_list_store(&list, now);
}

/* The list of that key or bucket, or the bucket that the key has to share. */
static void
find_room(PnvsGuardList *list)
{
	PnvsPartition *partition = list->partition;
	bool		is_bucket = (list->kind & PNVS_KIND_BUCKET) != 0;

	list->is_bucket = is_bucket;
	list->head = is_bucket ? add_bucket(partition, list->key, list->kind) :
		find(partition, list->key, list->kind);
	if (list->head == 0)
		list->head = add(partition, list->key, list->kind);
	if (list->head == 0)
		list->head = add_bucket(partition, bucket_of(list->key), list->kind | PNVS_KIND_BUCKET);
}

/* All lists of a key are in one chain.  Hashes share bits in a partition, and countries are no hashes. */
static uint32 *
chain_of(PnvsPartition *partition, uint64 key, uint8 kind)
{
	uint64		mixed = (key ^ (kind & PNVS_KIND_BUCKET)) * UINT64CONST(0x9E3779B97F4A7C15);

	return &partition->buckets[(mixed >> 32) & (partition->nbuckets - 1)];
}

/* The bucket that a key shares if it has no list of its own. */
static uint32
bucket_of(uint64 key)
{
	return (uint32) (key / PNVS_SHARE_PARTITIONS % PNVS_SHARED_BUCKETS);
}

static uint32
find(PnvsPartition *partition, uint64 key, uint8 kind)
{
	uint32		head = *chain_of(partition, key, kind);

	while (head != 0)
	{
		const PnvsBlock *block = pnvs_block_at(partition, head);

		if (block->u.list.key == key && block->kind == kind)
			break;
		head = block->next;
	}
	return head;
}

/* Adds an empty list, or a note; 0 if there is no room. */
static uint32
add(PnvsPartition *partition, uint64 key, uint8 kind)
{
	uint32		head = pnvs_block_allocate(partition, partition->reserve);
	uint32	   *chain = chain_of(partition, key, kind);
	PnvsBlock  *block;

	if (head == 0)
		return 0;
	block = pnvs_block_at(partition, head);
	block->next = *chain;
	block->kind = kind;
	block->u.list.key = key;
	*chain = head;
	if (kind < PNVS_KIND_COUNT)
		partition->stat.keys[kind]++;
	return head;
}

/* The list of a shared bucket, which the reserve has room for. */
static uint32
add_bucket(PnvsPartition *partition, uint64 key, uint8 kind)
{
	uint32		head = find(partition, key, kind);
	uint32	   *chain = chain_of(partition, key, kind);
	PnvsBlock  *block;

	if (head != 0)
		return head;
	head = pnvs_block_allocate(partition, 0);
	block = pnvs_block_at(partition, head);
	block->next = *chain;
	block->kind = kind;
	block->u.list.key = key;
	*chain = head;
	partition->nbucket_lists++;
	return head;
}

/* Takes a list out of its chain, and frees its blocks. */
static void
release(PnvsPartition *partition, uint32 *link)
{
	uint32		head = *link;
	PnvsBlock  *block = pnvs_block_at(partition, head);

	if ((block->kind & PNVS_KIND_BUCKET) != 0)
		partition->nbucket_lists--;
	else if (block->kind < PNVS_KIND_COUNT)
		partition->stat.keys[block->kind]--;
	*link = block->next;
	pnvs_blocks_free(partition, &block->more);
	block->next = partition->first_free;
	partition->first_free = head;
	partition->nfree++;
}

static bool
still_counts(const PnvsPartition *partition, uint32 head, const PnvsPolicy *policy,
			 TimestampTz now)
{
	static PnvsPlaceList places;
	const PnvsBlock *block = pnvs_block_at(partition, head);
	const PnvsRuleGroup *group;

	if (block->kind == PNVS_KIND_NOTE)
		return pnvs_note_counts(&block->u.note.note, policy, now);
	group = pnvs_list_group(policy, partition->share, block->kind);
	pnvs_blocks_read(partition, head, &places);
	pnvs_places_forget(&places, now, group->limits, group->n);
	return places.n > 0;
}
