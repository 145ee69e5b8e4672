/*-------------------------------------------------------------------------
 *
 * checks.c
 *	  What the server remembers of the checks of a verification: its wrong codes, and the
 *	  code that the service has approved.
 *
 * It is in shared memory, because a caller's ROLLBACK undoes what stands in rows.  Of wrong
 * codes, the larger of the memory's and the row's number counts: a crash or a promotion may
 * lose the one, ROLLBACK the other.
 *
 * A verification has an entry from its first check until it expires, and no entry that says
 * something is forgotten before.  So memory can be full, and then no code of a verification
 * without an entry is checked.  Its size is fixed at the server's start.  The IDs are random,
 * so all partitions fill alike.  An entry is found by its bucket; those that have expired are
 * freed by whoever meets them there, and by a walk over the partition if that is full.
 *
 * Codes are known by their hashes under a secret, for the guard's snapshots keep this memory.
 *
 * A process holds one lock at a time, and allocates, throws and logs nothing meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"

#include "errcodes.h"
#include "guard/guard.h"
#include "monotonic.h"
#include "settings.h"
#include "shared/memory.h"
#include "verification/checks.h"

/* So that 40 processes hardly ever wait for each other. */
#define PARTITIONS 16

/* Memory for verifications grows with that for limits: with 8 MB there are 32,768 entries. */
#define GUARD_MEMORY_PER_ENTRY 256

/* If the setting is invalid; that stops all checks anyway. */
#define MIN_ENTRIES 16

/* In the place of a code's hash: more than one answer was lost. */
#define SEVERAL UINT64_MAX

/* What these are called in the snapshot's file. */
#define KEPT_ID UINT64CONST(0x736b63656863)

/* 64 bytes.  It stands in the snapshot's file, too. */
typedef struct Entry
{
	pg_uuid_t	id;
	Oid			database;
	uint32		next;			/* of its bucket, or of the free ones; from 1 */
	TimestampTz until;			/* 0: it is free */
	uint64		approved;		/* hash of the code; 0: none */
	uint64		ambiguous;		/* the same of a code whose answer was lost,
								 * or SEVERAL */
	int64		message;		/* the newest that a code was approved of */
	int32		tries;			/* wrong codes, and those under way */
} Entry;

/* Protected by the lock of the same number. */
typedef struct Partition
{
	TimestampTz latest;			/* the latest time by which it was judged */
	TimestampTz earliest;		/* no entry expires before; if there is any */
	TimestampTz lost_until;		/* until then, an entry may be missing that
								 * had no room after a restart */
	uint32		first_free;		/* 0: none */
	uint32		nused;			/* entries that were ever used */
} Partition;

/* An entry that is looked for, within its partition's lock. */
typedef struct Search
{
	int			partition;
	uint32	   *bucket;
	TimestampTz now;
	Entry	   *entry;			/* or NULL */
	uint32	   *link;			/* that leads to the entry */
} Search;

/* Behind them are the entries of all, and their buckets; NULL if not preloaded. */
static Partition *partitions = NULL;
static LWLockPadded *locks;

static int	count_locks(void);
static int	count_entries(void);
static int	count_buckets(void);
static Size memory_size(void);
static Entry *entry_of(int partition, uint32 number);
static uint32 *bucket_of(int partition, int i);
static void begin(Search *search, const pg_uuid_t *id, TimestampTz now);
static void end(const Search *search);
static void locate(Search *search, const pg_uuid_t *id, Oid database);
static void find(Search *search, const pg_uuid_t *id, Oid database);
static void forget(int number, uint32 *link);
static bool add(Search *search, const pg_uuid_t *id, Oid database, TimestampTz until);
static uint32 allocate(int number);
static void sweep(int number, TimestampTz now);
static void report_full(int64 cases, const void *unused);
static int	copy_entries(int partition, void *items);
static void load_entry(const void *item, TimestampTz now);

/* To be called while shared_preload_libraries are loaded, before the guard is initialised. */
void
pnvs_checks_init(void)
{
	static const PnvsSharedPart part = {
		.name = "PnvsVerification",
		.size = memory_size,
		.nlocks = count_locks,
		.memory = (void **) &partitions,
		.locks = &locks
	};
	static const PnvsKeptMemory kept = {
		.id = KEPT_ID,
		.item_size = sizeof(Entry),
		.nparts = PARTITIONS,
		.max_items = count_entries,
		.copy = copy_entries,
		.load = load_entry
	};

	pnvs_shared_memory_add(&part);
	pnvs_guard_keep_memory(&kept);
}

/*
 * A code is to be checked: counts it as a wrong one until it is given back.  tries is how
 * many there are then, or already.
 */
PnvsTryResult
pnvs_checks_take(const PnvsChecked *checked, int max_tries, TimestampTz now, int *tries)
{
	PnvsTryResult result = PNVS_TRY_TAKEN;
	Search		search;

	begin(&search, &checked->id, now);
	*tries = Max(checked->tries, search.entry != NULL ? search.entry->tries : 0);
	if (checked->expires_at <= search.now)
		result = PNVS_TRY_EXPIRED;
	else if (*tries >= max_tries)
		result = PNVS_TRY_TOO_MANY;
	else if (search.entry == NULL &&
			 !add(&search, &checked->id, MyDatabaseId, checked->expires_at))
		result = PNVS_TRY_NO_ROOM;
	else
		search.entry->tries = ++*tries;
	end(&search);

	if (result == PNVS_TRY_TAKEN)
		pnvs_guard_note_change();
	else if (result == PNVS_TRY_NO_ROOM)
		pnvs_guard_warn("verifications", report_full, NULL);
	return result;
}

/*
 * The code that was counted was right, or the service has not judged it.  What says nothing
 * any more takes no memory: otherwise codes that nobody checks would fill it.
 */
void
pnvs_checks_give_back(const pg_uuid_t *id, TimestampTz now)
{
	Search		search;

	begin(&search, id, now);
	if (search.entry != NULL && search.entry->tries > 0)
		search.entry->tries--;
	if (search.entry != NULL && search.entry->tries == 0 && search.entry->approved == 0 &&
		search.entry->ambiguous == 0)
		forget(search.partition, search.link);
	end(&search);
	pnvs_guard_note_change();
}

/* How many codes count as wrong. */
int
pnvs_checks_tries(const PnvsChecked *checked, TimestampTz now)
{
	Search		search;
	int			tries;

	begin(&search, &checked->id, now);
	tries = Max(checked->tries, search.entry != NULL ? search.entry->tries : 0);
	end(&search);
	return tries;
}

/*
 * The service has approved a code, which came with a message.  There is an entry, from a try
 * or from a code without an answer, unless the verification has expired meanwhile.  Direct
 * checks can approve an older message after a newer one, of which no other code is right then.
 */
void
pnvs_checks_approve(const pg_uuid_t *id, uint64 code, int64 message, TimestampTz now)
{
	Search		search;

	begin(&search, id, now);
	if (search.entry != NULL)
	{
		search.entry->approved = code;
		search.entry->message = Max(search.entry->message, message);
		if (search.entry->ambiguous == code)
			search.entry->ambiguous = 0;
	}
	end(&search);
	pnvs_guard_note_change();
}

/*
 * A code was sent to the service, whose answer was lost: it may have been approved.  If that
 * is true of two, no look-up can tell which one was.
 */
void
pnvs_checks_note_ambiguous(const pg_uuid_t *id, uint64 code, TimestampTz now)
{
	Search		search;

	begin(&search, id, now);
	if (search.entry != NULL)
		search.entry->ambiguous = search.entry->ambiguous == 0 ||
			search.entry->ambiguous == code ? code : SEVERAL;
	end(&search);
	pnvs_guard_note_change();
}

/* What is known of a typed code. */
void
pnvs_checks_known(const PnvsChecked *checked, uint64 code, TimestampTz now, PnvsKnownCode *known)
{
	Search		search;

	memset(known, 0, sizeof(*known));
	known->tries = checked->tries;
	begin(&search, &checked->id, now);
	if (search.entry != NULL)
	{
		known->tries = Max(known->tries, search.entry->tries);
		known->approved = search.entry->approved == code;
		known->ambiguous = search.entry->ambiguous == code;
		if (!known->ambiguous)
			known->other_ambiguous = search.entry->ambiguous;
		if (search.entry->approved != 0 && !known->approved)
			known->other_approved = search.entry->message;
	}
	end(&search);
}

static int
count_locks(void)
{
	return PARTITIONS;
}

/* Of a partition. */
static int
count_entries(void)
{
	int			nentries = (int) ((Size) pnvs_guard_memory_kb * 1024 /
								  GUARD_MEMORY_PER_ENTRY / PARTITIONS);

	return Max(nentries, MIN_ENTRIES);
}

/* Of a partition, a power of two.  If it is full, a bucket has one or two entries. */
static int
count_buckets(void)
{
	return (int) pg_nextpower2_32(count_entries()) / 2;
}

static Size
memory_size(void)
{
	return PARTITIONS *
		(sizeof(Partition) + count_entries() * sizeof(Entry) + count_buckets() * sizeof(uint32));
}

/* Entries have numbers, from 1. */
static Entry *
entry_of(int partition, uint32 number)
{
	return (Entry *) (partitions + PARTITIONS) + partition * count_entries() + number - 1;
}

/* From 0; it holds the number of its first entry. */
static uint32 *
bucket_of(int partition, int i)
{
	return (uint32 *) entry_of(PARTITIONS, 1) + partition * count_buckets() + i;
}

/* Locks the partition of a verification of this database, and looks for its entry. */
static void
begin(Search *search, const pg_uuid_t *id, TimestampTz now)
{
	Partition  *partition;

	locate(search, id, MyDatabaseId);
	partition = &partitions[search->partition];
	LWLockAcquire(&locks[search->partition].lock, LW_EXCLUSIVE);
	partition->latest = search->now = pnvs_time_after(partition->latest, now);
	find(search, id, MyDatabaseId);
}

static void
end(const Search *search)
{
	LWLockRelease(&locks[search->partition].lock);
}

/* Where the entry of a verification is, if there is any. */
static void
locate(Search *search, const pg_uuid_t *id, Oid database)
{
	uint64		hash = hash_bytes_extended(id->data, UUID_LEN, database);

	search->partition = (int) (hash % PARTITIONS);
	search->bucket = bucket_of(search->partition, (int) (hash / PARTITIONS % count_buckets()));
}

/* Looks into the bucket, and frees what has expired there. */
static void
find(Search *search, const pg_uuid_t *id, Oid database)
{
	uint32	   *link = search->bucket;

	search->entry = NULL;
	while (*link != 0)
	{
		Entry	   *entry = entry_of(search->partition, *link);

		if (entry->until <= search->now)
		{
			forget(search->partition, link);
			continue;
		}
		if (entry->database == database && memcmp(&entry->id, id, sizeof(*id)) == 0)
		{
			search->entry = entry;
			search->link = link;
		}
		link = &entry->next;
	}
}

/* Frees the entry that a link leads to, which then leads to the next. */
static void
forget(int number, uint32 *link)
{
	Partition  *partition = &partitions[number];
	uint32		freed = *link;
	Entry	   *entry = entry_of(number, freed);

	*link = entry->next;
	entry->until = 0;
	entry->next = partition->first_free;
	partition->first_free = freed;
}

/* Adds an empty entry to the bucket; false if there is no room. */
static bool
add(Search *search, const pg_uuid_t *id, Oid database, TimestampTz until)
{
	Partition  *partition = &partitions[search->partition];
	uint32		number;
	Entry	   *entry;

	if (search->now < partition->lost_until)
		return false;
	number = allocate(search->partition);
	if (number == 0 && partition->earliest <= search->now)
	{
		sweep(search->partition, search->now);
		number = allocate(search->partition);
	}
	if (number == 0)
		return false;
	entry = entry_of(search->partition, number);
	memset(entry, 0, sizeof(*entry));
	entry->id = *id;
	entry->database = database;
	entry->until = until;
	entry->next = *search->bucket;
	*search->bucket = number;
	partition->earliest = Min(partition->earliest, until);
	search->entry = entry;
	search->link = search->bucket;
	return true;
}

/* The number of a free entry, or 0. */
static uint32
allocate(int number)
{
	Partition  *partition = &partitions[number];
	uint32		free = partition->first_free;

	if (free != 0)
		partition->first_free = entry_of(number, free)->next;
	else if (partition->nused < (uint32) count_entries())
		free = ++partition->nused;
	return free;
}

/* Frees all entries of a partition that have expired. */
static void
sweep(int number, TimestampTz now)
{
	Partition  *partition = &partitions[number];

	partition->earliest = DT_NOEND;
	for (int i = 0; i < count_buckets(); i++)
	{
		uint32	   *link = bucket_of(number, i);

		while (*link != 0)
		{
			Entry	   *entry = entry_of(number, *link);

			if (entry->until <= now)
			{
				forget(number, link);
				continue;
			}
			partition->earliest = Min(partition->earliest, entry->until);
			link = &entry->next;
		}
	}
}

/* A PnvsGuardWarning. */
static void
report_full(int64 cases, const void *unused)
{
	ereport(WARNING,
			(errmsg("the memory of pnvs for verifications is full, so codes of others are not checked"),
			 errdetail("Codes since the last such line: %lld.", (long long) cases),
			 errhint("If this is no attack, raise \"pnvs.guard_memory\"."),
			 pnvs_errhide()));
}

/* For a snapshot: the entries of a partition that count. */
static int
copy_entries(int number, void *items)
{
	const Partition *partition = &partitions[number];
	Entry	   *copies = items;
	int			n = 0;

	LWLockAcquire(&locks[number].lock, LW_SHARED);
	for (uint32 i = 1; i <= partition->nused; i++)
	{
		const Entry *entry = entry_of(number, i);

		if (entry->until > partition->latest)
			copies[n++] = *entry;
	}
	LWLockRelease(&locks[number].lock);
	return n;
}

/*
 * From a snapshot.  There may be less memory than when it was written: what has no room
 * must not be tried as if it were new.
 */
static void
load_entry(const void *item, TimestampTz now)
{
	Search		search = {.now = now};
	Entry		loaded;

	memcpy(&loaded, item, sizeof(loaded));
	if (loaded.until <= now)
		return;
	locate(&search, &loaded.id, loaded.database);
	if (add(&search, &loaded.id, loaded.database, loaded.until))
	{
		loaded.next = search.entry->next;
		*search.entry = loaded;
	}
	else
	{
		Partition  *partition = &partitions[search.partition];

		partition->lost_until = Max(partition->lost_until, loaded.until);
	}
}
