/*-------------------------------------------------------------------------
 *
 * shares.c
 *	  The guard's shared memory: a share for each scope, in partitions with a lock each.
 *
 * What is sprayed at one share crowds out nothing of another: made-up verification IDs
 * no numbers, keys no prefixes.  The shares of country and total need little.
 *
 * A process that holds several locks took them in the order of PnvsShareId, one partition
 * of a share at the most.  While it holds them it allocates, throws and logs nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "guard/blocks.h"
#include "monotonic.h"
#include "settings.h"
#include "shared/memory.h"

#define ALIGN(size) TYPEALIGN(PG_CACHE_LINE_SIZE, size)

/* The locks behind those of the partitions. */
#define COUNTERS_LOCK nlocks
#define LOG_LOCK (nlocks + 1)
#define SNAPSHOT_LOCK (nlocks + 2)
#define ALL_LOCKS (nlocks + 3)

/* A partition has this part of its blocks, and the number that is needed, in reserve. */
#define RESERVED_PART 8

/*
 * The total has one key, and every message counts for it: its lists are changed in place,
 * which takes less time than copying.
 */
#define FLAT_SIZE (PNVS_CHANNEL_WORD_COUNT * sizeof(PnvsPlaceList))

static const struct
{
	PnvsScope	scope;
	int			partitions;
	int			percent;		/* of what the fixed parts leave */
	int			kinds;			/* of lists */
	bool		counts;			/* has counters of rules */
}			shares[PNVS_SHARE_COUNT] =

{
	[PNVS_SHARE_NUMBER] = {PNVS_SCOPE_NUMBER, PNVS_SHARE_PARTITIONS, 44, PNVS_KIND_COUNT, true},
	[PNVS_SHARE_PREFIX] = {PNVS_SCOPE_PREFIX, PNVS_SHARE_PARTITIONS, 20, PNVS_CHANNEL_WORD_COUNT, false},
	[PNVS_SHARE_KEY] = {PNVS_SCOPE_KEY, PNVS_SHARE_PARTITIONS, 14, PNVS_CHANNEL_WORD_COUNT, false},
	[PNVS_SHARE_TRIES_OF_NUMBER] = {PNVS_SCOPE_TRIES, PNVS_SHARE_PARTITIONS, 12, 1, true},
	[PNVS_SHARE_TRIES_OF_ID] = {PNVS_SCOPE_TRIES, PNVS_SHARE_PARTITIONS, 5, 1, true},
	[PNVS_SHARE_COUNTRY] = {PNVS_SCOPE_COUNTRY, 1, 5, PNVS_CHANNEL_WORD_COUNT, false},
	[PNVS_SHARE_TOTAL] = {PNVS_SCOPE_TOTAL, 1, 0, PNVS_CHANNEL_WORD_COUNT, false},
};

PnvsGuardHead *pnvs_guard_head = NULL;

static LWLockPadded *locks;

static int	nlocks = 0;			/* of partitions */
static int	first_lock[PNVS_SHARE_COUNT];
static Size first_offset[PNVS_SHARE_COUNT];
static PnvsPartition layouts[PNVS_SHARE_COUNT]; /* of an empty partition */
static Size sizes[PNVS_SHARE_COUNT];	/* of a partition */
static Size total_size;

static void (*load_snapshot) (void);

static int	lock_count(void);
static Size shares_size(void);
static void init_memory(void);
static void lay_out(void);
static void lay_out_partition(PnvsShareId share, Size space, PnvsPartition *partition);

/* To be called while shared_preload_libraries are loaded; load fills the empty memory. */
void
pnvs_shares_init(void (*load) (void))
{
	static const PnvsSharedPart part = {
		.name = "PnvsGuard",
		.size = shares_size,
		.nlocks = lock_count,
		.init = init_memory,
		.memory = (void **) &pnvs_guard_head,
		.locks = &locks
	};

	load_snapshot = load;
	pnvs_shared_memory_add(&part);
}

static int
lock_count(void)
{
	lay_out();
	return ALL_LOCKS;
}

static Size
shares_size(void)
{
	lay_out();
	return total_size;
}

/* Once a process, when settings are known; child processes inherit the result. */
static void
lay_out(void)
{
	Size		fixed = ALIGN(sizeof(PnvsGuardHead)) + FLAT_SIZE;
	Size		space = (Size) pnvs_guard_memory_kb * 1024;
	Size		offset = ALIGN(sizeof(PnvsGuardHead));

	if (total_size > 0)
		return;
	space = space > fixed ? space - fixed : 0;
	for (int i = 0; i < PNVS_SHARE_COUNT; i++)
	{
		lay_out_partition(i, space / 100 * shares[i].percent / shares[i].partitions, &layouts[i]);
		sizes[i] = ALIGN(layouts[i].blocks +
						 (layouts[i].is_flat ? FLAT_SIZE : layouts[i].nblocks * sizeof(PnvsBlock)));
		first_lock[i] = nlocks;
		first_offset[i] = offset;
		nlocks += shares[i].partitions;
		offset += sizes[i] * shares[i].partitions;
	}
	total_size = offset;
}

static void
lay_out_partition(PnvsShareId share, Size space, PnvsPartition *partition)
{
	uint32		needed = shares[share].kinds * PNVS_SHARED_BUCKETS;
	Size		counters = shares[share].counts ? PNVS_COUNTER_SLOTS * sizeof(PnvsRuleCounters) : 0;
	Size		header;

	memset(partition, 0, sizeof(PnvsPartition));
	partition->share = share;
	partition->is_flat = share == PNVS_SHARE_TOTAL;
	if (!partition->is_flat)
	{
		partition->nblocks = space / (sizeof(PnvsBlock) + sizeof(uint32));
		partition->nblocks = Max(partition->nblocks, 2 * needed);
		partition->max_bucket_lists = needed;
		partition->reserve = Max(partition->nblocks / RESERVED_PART, needed);
		partition->nbuckets = pg_nextpower2_32(partition->nblocks) / 2;
	}
	header = ALIGN(offsetof(PnvsPartition, buckets) + partition->nbuckets * sizeof(uint32));
	partition->counters = counters > 0 ? header : 0;
	partition->blocks = ALIGN(header + counters);
	partition->nfree = partition->nblocks;
}

/* All zeros already. */
static void
init_memory(void)
{
	pg_atomic_init_u32(&pnvs_guard_head->changed, 0);
	for (int share = 0; share < PNVS_SHARE_COUNT; share++)
	{
		for (int i = 0; i < shares[share].partitions; i++)
		{
			PnvsPartition *partition = pnvs_partition_at(share, i);

			*partition = layouts[share];
			partition->lock = first_lock[share] + i;
		}
	}
	load_snapshot();
}

/* The partition of a key. */
PnvsPartition *
pnvs_partition(PnvsShareId share, uint64 key)
{
	return pnvs_partition_at(share, (int) (key % shares[share].partitions));
}

PnvsPartition *
pnvs_partition_at(PnvsShareId share, int i)
{
	return (PnvsPartition *) ((char *) pnvs_guard_head + first_offset[share] + i * sizes[share]);
}

int
pnvs_partition_count(PnvsShareId share)
{
	return shares[share].partitions;
}

Size
pnvs_partition_size(PnvsShareId share)
{
	return sizes[share];
}

PnvsScope
pnvs_share_scope(PnvsShareId share)
{
	return shares[share].scope;
}

void
pnvs_partition_lock(const PnvsPartition *partition, LWLockMode mode)
{
	LWLockAcquire(&locks[partition->lock].lock, mode);
}

void
pnvs_partition_unlock(const PnvsPartition *partition)
{
	LWLockRelease(&locks[partition->lock].lock);
}

/* The time to judge a partition by, within its lock. */
TimestampTz
pnvs_partition_time(const PnvsPartition *partition, TimestampTz now)
{
	return pnvs_time_after(partition->latest, now);
}

/* The lock of the counters' rules; taken while no other is held. */
LWLock *
pnvs_counters_lock(void)
{
	return &locks[COUNTERS_LOCK].lock;
}

/* The lock of the log's limit. */
LWLock *
pnvs_log_lock(void)
{
	return &locks[LOG_LOCK].lock;
}

/* The lock of who writes a snapshot. */
LWLock *
pnvs_snapshot_lock(void)
{
	return &locks[SNAPSHOT_LOCK].lock;
}

/* The counters of a partition that has some. */
PnvsRuleCounters *
pnvs_partition_counters(PnvsPartition *partition)
{
	return partition->counters == 0 ? NULL :
		(PnvsRuleCounters *) ((char *) partition + partition->counters);
}

/* Forgets all lists, and keeps the counters. */
void
pnvs_partition_clear(PnvsPartition *partition)
{
	PnvsPartitionStat stat = partition->stat;
	int			lock = partition->lock;

	memset(stat.keys, 0, sizeof(stat.keys));
	memset(partition->buckets, 0, partition->nbuckets * sizeof(uint32));
	if (partition->is_flat)
		memset(pnvs_flat_list(partition, 0), 0, FLAT_SIZE);
	*partition = layouts[partition->share];
	partition->stat = stat;
	partition->lock = lock;
}
