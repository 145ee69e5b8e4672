/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Gives places back when the transaction or subtransaction ends that has taken them, or
 *	  when that commits which settles their message.
 *
 * Places are taken for a message that a transaction queues.  If its subtransaction or
 * transaction is rolled back, also by the end of the session, they are given back.  COMMIT
 * and PREPARE TRANSACTION make them final.  The other way round, a transaction that settles
 * a message as not sent gives its places back when it commits, and has a sent message counted
 * that its breaker has not counted yet.  What it has noted in a subtransaction that is rolled
 * back, or that is prepared, does neither.
 *
 * Noted are 32 bytes for each message.  The notes of a subtransaction stand behind those
 * of its parent, so its end moves or removes them all at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guard/hash.h"
#include "guard/transaction.h"

/* The first allocation; each further one doubles it. */
#define FIRST_ENTRIES 16
#define FIRST_LEVELS 8

/* More than this is freed at the end of the transaction. */
#define KEPT_ENTRIES 1024

/* An admission; its number is one of decimal digits. */
typedef struct Entry
{
	uint64		number;
	TimestampTz due;
	TimestampTz taken_at;
	uint64		key;
} Entry;

/* Of a channel and flags, beside the digits of a number, which need 50 bits. */
#define SENT_SHIFT 59			/* to be counted as sent */
#define CHANNEL_SHIFT 60
#define OWN_SHIFT 62			/* by_this_process */
#define TRUSTED_SHIFT 63
#define DIGITS_MASK ((UINT64CONST(1) << SENT_SHIFT) - 1)

/* The entries of the subtransactions of a level, from the first on. */
typedef struct Level
{
	int			level;
	Size		first;
} Level;

typedef struct Entries
{
	Entry	   *entries;
	Size		nentries;
	Size		max_entries;
	Level	   *levels;
	int			nlevels;
	int			max_levels;
} Entries;

static Entries at_abort;
static Entries at_commit;

static bool make_room(Entries *list);
static void add_at_commit(const PnvsAdmission *admission, bool sent);
static void add(Entries *list, const PnvsAdmission *admission, bool sent);
static void on_transaction_end(XactEvent event, void *arg);
static void on_subtransaction_end(SubXactEvent event, SubTransactionId subxact,
								  SubTransactionId parent, void *arg);
static void leave_level(Entries *list, int level, bool give_back, bool forget);
static void apply_from(Entries *list, Size first);
static void clear(Entries *list);

/*
 * Allocates what the next pnvs_guard_give_back_at_abort() needs, so that it cannot fail
 * after places were taken.  Throws if there is no memory.
 */
void
pnvs_guard_reserve_entry(void)
{
	if (!make_room(&at_abort))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

/* Gives an admission's places back if the subtransaction under way is rolled back. */
void
pnvs_guard_give_back_at_abort(const PnvsAdmission *admission)
{
	if (admission->due == 0)
		return;
	if (!make_room(&at_abort))
	{
		pnvs_guard_give_back(admission, GetCurrentTimestamp());
		pnvs_guard_reserve_entry();
	}
	add(&at_abort, admission, false);
}

/* Gives an admission's places back when the transaction commits. */
void
pnvs_guard_give_back_at_commit(const PnvsAdmission *admission)
{
	if (admission->due != 0)
		add_at_commit(admission, false);
}

/* Counts a message that was sent when the transaction commits, if it is to be counted then. */
void
pnvs_guard_count_sent_at_commit(const PnvsAdmission *admission)
{
	if (pnvs_guard_counts_sent(admission))
		add_at_commit(admission, true);
}

static void
add_at_commit(const PnvsAdmission *admission, bool sent)
{
	/* now, for what is needed then must not fail */
	pnvs_hash_prepare();
	if (!make_room(&at_commit))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	add(&at_commit, admission, sent);
}

/* Room for an entry and a level; false if there is no memory. */
static bool
make_room(Entries *list)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		RegisterSubXactCallback(on_subtransaction_end, NULL);
		registered = true;
	}
	if (list->nentries == list->max_entries)
	{
		Size		max = Max(FIRST_ENTRIES, list->max_entries * 2);
		Entry	   *entries = MemoryContextAllocExtended(TopMemoryContext, max * sizeof(Entry),
														 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

		if (entries == NULL)
			return false;
		if (list->entries != NULL)
		{
			memcpy(entries, list->entries, list->nentries * sizeof(Entry));
			pfree(list->entries);
		}
		list->entries = entries;
		list->max_entries = max;
	}
	if (list->nlevels == list->max_levels)
	{
		int			max = Max(FIRST_LEVELS, list->max_levels * 2);
		Level	   *levels = MemoryContextAllocExtended(TopMemoryContext, max * sizeof(Level),
														MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

		if (levels == NULL)
			return false;
		if (list->levels != NULL)
		{
			memcpy(levels, list->levels, list->nlevels * sizeof(Level));
			pfree(list->levels);
		}
		list->levels = levels;
		list->max_levels = max;
	}
	return true;
}

static void
add(Entries *list, const PnvsAdmission *admission, bool sent)
{
	int			level = GetCurrentTransactionNestLevel();
	Entry	   *entry;

	if (list->nlevels == 0 || list->levels[list->nlevels - 1].level < level)
	{
		list->levels[list->nlevels].level = level;
		list->levels[list->nlevels].first = list->nentries;
		list->nlevels++;
	}
	entry = &list->entries[list->nentries++];
	entry->number = 0;
	for (const char *digit = admission->recipient; *digit != '\0'; digit++)
		entry->number = entry->number * 10 + (uint64) (*digit - '0');
	entry->number |= (uint64) sent << SENT_SHIFT;
	entry->number |= (uint64) admission->channel << CHANNEL_SHIFT;
	entry->number |= (uint64) admission->by_this_process << OWN_SHIFT;
	entry->number |= (uint64) admission->trusted << TRUSTED_SHIFT;
	entry->due = admission->due;
	entry->taken_at = admission->taken_at;
	entry->key = admission->key;
}

/* Also called if FATAL ends the session.  Nothing here may throw. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		apply_from(&at_commit, 0);
	else if (event == XACT_EVENT_ABORT)
		apply_from(&at_abort, 0);
	else if (event != XACT_EVENT_PREPARE)
		return;
	clear(&at_abort);
	clear(&at_commit);
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subxact, SubTransactionId parent,
					  void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	leave_level(&at_abort, level, true, event == SUBXACT_EVENT_ABORT_SUB);
	leave_level(&at_commit, level, false, event == SUBXACT_EVENT_ABORT_SUB);
}

/* A subtransaction's entries go to its parent, or are forgotten, with give_back given back. */
static void
leave_level(Entries *list, int level, bool give_back, bool forget)
{
	Level	   *last;

	if (list->nlevels == 0)
		return;
	last = &list->levels[list->nlevels - 1];
	if (last->level < level)
		return;
	if (forget)
	{
		if (give_back)
			apply_from(list, last->first);
		list->nentries = last->first;
		list->nlevels--;
	}
	else if (list->nlevels > 1 && last[-1].level == level - 1)
		list->nlevels--;
	else
		last->level = level - 1;
}

/* Does for the entries what was noted: gives places back, or counts sent messages. */
static void
apply_from(Entries *list, Size first)
{
	TimestampTz now;

	if (first == list->nentries)
		return;
	now = GetCurrentTimestamp();
	for (Size i = first; i < list->nentries; i++)
	{
		const Entry *entry = &list->entries[i];
		PnvsAdmission admission = {
			.channel = (PnvsChannelWord) ((entry->number >> CHANNEL_SHIFT) % PNVS_CHANNEL_WORD_COUNT),
			.due = entry->due,
			.taken_at = entry->taken_at,
			.key = entry->key,
			.trusted = (entry->number >> TRUSTED_SHIFT) != 0,
			.by_this_process = ((entry->number >> OWN_SHIFT) & 1) != 0
		};

		snprintf(admission.recipient, sizeof(admission.recipient), UINT64_FORMAT,
				 entry->number & DIGITS_MASK);
		if ((entry->number >> SENT_SHIFT) & 1)
			pnvs_guard_count_sent(&admission, now);
		else
			pnvs_guard_give_back(&admission, now);
	}
}

static void
clear(Entries *list)
{
	list->nentries = 0;
	list->nlevels = 0;
	if (list->max_entries <= KEPT_ENTRIES)
		return;
	pfree(list->entries);
	list->entries = NULL;
	list->max_entries = 0;
}
