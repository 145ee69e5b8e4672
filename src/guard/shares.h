/*-------------------------------------------------------------------------
 *
 * shares.h
 *	  The guard's shared memory, and the lists of places in it.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_SHARES_H
#define PNVS_GUARD_SHARES_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "core/log_limit.h"
#include "guard/policy.h"

/* Each has memory of its own; in the order in which they are locked. */
typedef enum PnvsShareId
{
	PNVS_SHARE_NUMBER,
	PNVS_SHARE_PREFIX,
	PNVS_SHARE_KEY,
	PNVS_SHARE_TRIES_OF_NUMBER,
	PNVS_SHARE_TRIES_OF_ID,		/* made-up IDs crowd out no number */
	PNVS_SHARE_COUNTRY,
	PNVS_SHARE_TOTAL
} PnvsShareId;

#define PNVS_SHARE_COUNT (PNVS_SHARE_TOTAL + 1)

/* Of the big shares; also part of the format of the snapshot's file. */
#define PNVS_SHARE_PARTITIONS 16

/* Of a partition.  New keys share them if the partition is full. */
#define PNVS_SHARED_BUCKETS 8

/*
 * A list has a key and a kind: the channel word that it counts, and these flags.  A note
 * is no list, but stands among them.
 */
#define PNVS_KIND_TRUSTED 4		/* of numbers: those of trusted messages */
#define PNVS_KIND_NOTE 8		/* a PnvsGuardNote */
#define PNVS_KIND_BUCKET 16		/* shared; its key is the bucket's number */
#define PNVS_KIND_COUNT 8		/* of lists, but for the last flag */

/* Counters for each rule that is or was in the setting. */
#define PNVS_COUNTER_SLOTS 64

/* Every country of the world has its breaker; those beyond share the last. */
#define PNVS_GUARD_BREAKERS 256

/* Gaps in memory; if there are more, the oldest become one. */
#define PNVS_GUARD_GAPS 8

/* What is remembered of a number.  It must fit into a block, see blocks.h. */
typedef struct PnvsGuardNote
{
	TimestampTz latest;			/* when its latest message is due; 0: none */
	uint64		latest_key;		/* of that message: hash of the rate_key */
	uint64		observed;		/* counters of rules that would have refused
								 * it */
	TimestampTz counted;		/* when its breaker has counted it; 0: not */
	uint32		before_us;		/* so long before the latest message another
								 * was due, which becomes the latest if this
								 * one is not sent; 0: none */
	uint16		counted_messages;	/* since then */
	uint8		channel:2;		/* of the latest message */
	uint8		before_channel:2;
	bool		trusted:1;
	bool		has_places:1;	/* it was not only observed */
	bool		approved:1;
	bool		counted_approved:1; /* its breaker knows of an approval */
} PnvsGuardNote;

typedef struct PnvsRuleCounters
{
	uint64		admitted;
	uint64		refused;
	uint64		observed;
	uint64		observed_approved;
} PnvsRuleCounters;

typedef struct PnvsGuardBreaker
{
	PnvsBreaker breaker;
	int64		judged_at_s;	/* when it was judged last */
	bool		is_open;		/* as the log says */
	uint64		refused;
	uint64		observed;
} PnvsGuardBreaker;

/* A time whose admissions are not remembered: from is part of it. */
typedef struct PnvsGuardGap
{
	TimestampTz from;
	TimestampTz to;
} PnvsGuardGap;

/*
 * What is not in a share.  Breakers and armed are protected by the country share's lock,
 * rules and since by the lock of counters, the log's limit by its own.
 */
typedef struct PnvsGuardHead
{
	pg_atomic_uint32 changed;	/* since the snapshot was written last */
	int			ngaps;
	PnvsGuardGap gaps[PNVS_GUARD_GAPS];
	TimestampTz forgotten_at[PNVS_SHARE_COUNT]; /* by pnvs_guard_reset() */
	PnvsRule	rules[PNVS_COUNTER_SLOTS];	/* max is 0: the slot is free */
	TimestampTz since[PNVS_COUNTER_SLOTS];
	PnvsLogLimit log_limit;
	bool		armed;
	uint64		countries[PNVS_GUARD_BREAKERS]; /* 0: free */
	PnvsGuardBreaker breakers[PNVS_GUARD_BREAKERS + 1];
} PnvsGuardHead;

/* Of the lists of a partition, by their kind. */
typedef struct PnvsPartitionStat
{
	uint64		keys[PNVS_KIND_COUNT];	/* that have a list of their own */
	uint64		forgotten[PNVS_KIND_COUNT]; /* keys that no longer counted */
	uint64		shared[PNVS_KIND_COUNT];	/* places taken in shared buckets */
} PnvsPartitionStat;

/*
 * A part of a share, with a lock of its own.  Behind it are its buckets, its counters, if
 * it has any, and its blocks, all found by their distance, so that a copy is one, too.
 */
typedef struct PnvsPartition
{
	PnvsShareId share;
	int			lock;
	uint32		nbuckets;		/* a power of two */
	uint32		nblocks;
	uint32		reserve;		/* blocks for shared buckets alone */
	uint32		first_free;		/* 0: none */
	uint32		nused;			/* blocks that were ever used */
	uint32		nfree;			/* those never used included */
	uint32		nbucket_lists;	/* lists of shared buckets */
	uint32		max_bucket_lists;	/* a list of each bucket and kind */
	uint32		cursor;			/* the bucket that is swept next */
	TimestampTz latest;			/* the latest time by which it was judged */
	Size		counters;		/* distance; 0: none */
	Size		blocks;			/* distance */
	bool		is_flat;		/* it has whole lists instead of blocks */
	PnvsPartitionStat stat;
	uint32		buckets[FLEXIBLE_ARRAY_MEMBER]; /* the first list of each */
} PnvsPartition;

/* A list during one call. */
typedef struct PnvsGuardList
{
	PnvsPartition *partition;
	uint64		key;
	uint8		kind;
	uint32		head;			/* its block; 0: it has none */
	bool		is_bucket;		/* of several keys */
	const PnvsRuleGroup *group; /* the rules that judge it */
	PnvsPlaceList *places;		/* the copy, or in place */
	uint64		sum;			/* of its places, when it was judged */
	PnvsPlaceList copy;
} PnvsGuardList;

extern PnvsGuardHead *pnvs_guard_head;	/* NULL if the library is not
										 * preloaded */

extern void pnvs_shares_init(void (*load) (void));

/* The snapshot is to be written again. */
static inline void
pnvs_shares_note_change(void)
{
	if (pg_atomic_read_u32(&pnvs_guard_head->changed) == 0)
		pg_atomic_write_u32(&pnvs_guard_head->changed, 1);
}

/* Locks. */
extern PnvsPartition *pnvs_partition(PnvsShareId share, uint64 key);
extern PnvsPartition *pnvs_partition_at(PnvsShareId share, int i);
extern int	pnvs_partition_count(PnvsShareId share);
extern void pnvs_partition_lock(const PnvsPartition *partition, LWLockMode mode);
extern void pnvs_partition_unlock(const PnvsPartition *partition);
extern LWLock *pnvs_counters_lock(void);
extern LWLock *pnvs_log_lock(void);
extern LWLock *pnvs_snapshot_lock(void);

/* Within the partition's lock.  None of them throws. */
extern TimestampTz pnvs_partition_time(const PnvsPartition *partition, TimestampTz now);
extern PnvsRuleCounters *pnvs_partition_counters(PnvsPartition *partition);
extern void pnvs_partition_clear(PnvsPartition *partition);
extern void pnvs_partition_sweep(PnvsPartition *partition, const PnvsPolicy *policy, TimestampTz now);
extern const PnvsRuleGroup *pnvs_list_group(const PnvsPolicy *policy, PnvsShareId share, uint8 kind);
extern void pnvs_list_load(PnvsGuardList *list, TimestampTz now);
extern void pnvs_list_store(PnvsGuardList *list, TimestampTz now);
extern bool pnvs_list_take(PnvsGuardList *list, TimestampTz at, TimestampTz now);
extern void pnvs_list_detach(PnvsGuardList *list);
extern void pnvs_list_drop(PnvsPartition *partition, uint64 key, uint8 kind);
extern PnvsGuardNote *pnvs_note_find(PnvsPartition *partition, uint64 key);
extern PnvsGuardNote *pnvs_note_add(PnvsPartition *partition, uint64 key);
extern bool pnvs_note_counts(const PnvsGuardNote *note, const PnvsPolicy *policy, TimestampTz now);

/* gaps.c */
extern void pnvs_gaps_begin(void);
extern void pnvs_gaps_add(TimestampTz from);
extern bool pnvs_guard_starts_as_standby(void);
extern void pnvs_gaps_note_promotion(TimestampTz now);
extern bool pnvs_remembers(PnvsShareId share, TimestampTz taken_at, bool by_this_process);

/* For the snapshot: every list and note of a partition, or of a copy of it. */
typedef struct PnvsGuardEntry
{
	uint64		key;
	uint8		kind;
	PnvsGuardNote note;			/* if it is that */
	PnvsPlaceList places;
} PnvsGuardEntry;

typedef bool (*PnvsGuardVisit) (const PnvsGuardEntry *entry, void *arg);

extern Size pnvs_partition_size(PnvsShareId share);
extern PnvsScope pnvs_share_scope(PnvsShareId share);
extern bool pnvs_partition_walk(const PnvsPartition *partition, PnvsGuardVisit visit, void *arg);
extern void pnvs_partition_add(PnvsPartition *partition, const PnvsGuardEntry *entry,
							   const PnvsPolicy *policy, TimestampTz now);

#endif							/* PNVS_GUARD_SHARES_H */
