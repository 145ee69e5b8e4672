/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Rows of unknown fate, looked up at the service.
 *
 * The service knows its messages by number, service, channel and time, and by
 * an ID that a row of unknown fate does not have.  A record is a row's where it
 * fits all of that, no other row has its ID, and no other row could have it
 * with better reason:
 *
 * - While another row of the number is being sent, nothing is decided: what was
 *	 found may be that one's.
 * - Of several rows of unknown fate, each record goes to the one that was
 *	 dispatched closest to its time.
 *
 * Decisions are made one after the other, under a lock, so that no two rows get
 * the same record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/matching.h"
#include "queue/rows/lock_class.h"
#include "queue/rows/unknown.h"
#include "queue/attempt/lookup.h"
#include "settings.h"

#define PAGE_SIZE "100"

/* A number with more messages in 30 days than that is not one of a person. */
#define MAX_PAGES 20

/* As many as so many pages have, of a service that makes them as large as it is asked to. */
#define MAX_FOUND (MAX_PAGES * 100)

/* The service tells of the last 30 days. */
#define MAX_OUTAGE_DAYS 30

/* A row is looked for at once, again after this, and then ever more seldom. */
#define FIRST_WAIT_MS 1000
#define LONGEST_WAIT_MS 60000

/* A row that a record may belong to. */
typedef struct Sibling
{
	PnvsClaim	claim;
	const PnvsFoundRecord *found;
} Sibling;

/* Why no record can be anybody's yet. */
typedef struct Obstacle
{
	const char *words;			/* or NULL: there is none */
	bool		of_all;			/* it is everybody's fault */
} Obstacle;

static bool tells_of(const PnvsAttempt *attempt, const PnvsClaim *claim, const char *obstacle);
static PnvsVerdict *decide(PnvsAttempt *attempt, const Sibling *sibling,
						   const Obstacle *obstacle, PnvsVerdicts *verdicts);
static void blame(const PnvsAttempt *attempt, const PnvsAnswer *answer, PnvsVerdict *verdict);
static Sibling *find_siblings(const PnvsAttempt *attempt, int *nsiblings);
static bool is_of_claim(const PnvsRecord *record, const PnvsClaim *claim);
static void assign(const PnvsAttempt *attempt, Sibling *siblings, int nsiblings,
				   const PnvsFoundRecord *found_records, int nfound);
static int	find_free(const PnvsAttempt *attempt, PnvsFoundRecord *found_records);
static int	drop_repeats(PnvsFoundRecord *found_records, int nfound);
static int	compare_ids(const void *a, const void *b);
static int	compare_texts(const void *a, const void *b);
static int	compare_times(const void *a, const void *b);
static void give_up_or_wait(const PnvsAttempt *attempt, const PnvsClaim *claim,
							PnvsVerdict *verdict, const Obstacle *obstacle);
static int64 epoch_ms(TimestampTz time);

/* The parameters of a search for the attempt's number. */
void
pnvs_lookup_values(const PnvsAttempt *attempt, const char **values)
{
	values[PNVS_SEARCH_SERVICE_SID] = attempt->claim.service_sid;
	values[PNVS_SEARCH_TO] = attempt->claim.recipient;
	values[PNVS_SEARCH_PAGE_SIZE] = PAGE_SIZE;
	values[PNVS_SEARCH_CURRENT_PAGE] = psprintf("%d", attempt->page);
}

/* Keeps the records of a page that may fit; whether there is another page. */
bool
pnvs_lookup_collect(PnvsAttempt *attempt, const PnvsReply *reply)
{
	MemoryContext caller;

	if (attempt->collected == attempt->page)
		return false;
	attempt->collected = attempt->page;
	caller = MemoryContextSwitchTo(attempt->context);
	if (attempt->found_records == NULL)
		attempt->found_records = palloc(sizeof(PnvsFoundRecord));
	attempt->found_records = repalloc(attempt->found_records,
									  Min(attempt->nfound + reply->nrecords + 1, MAX_FOUND) *
									  sizeof(PnvsFoundRecord));
	for (int i = 0; i < reply->nrecords && attempt->nfound < MAX_FOUND; i++)
	{
		const PnvsRecord *record = &reply->records[i];
		PnvsFoundRecord *found = &attempt->found_records[attempt->nfound];

		if (!is_of_claim(record, &attempt->claim))
			continue;
		found->verification_id = pstrdup(record->verification_id);
		found->status = record->status ? pstrdup(record->status) : NULL;
		found->send_date_ms = record->send_date_ms;
		attempt->nfound++;
	}
	MemoryContextSwitchTo(caller);
	return reply->nrecords > 0 && attempt->page < reply->total_pages &&
		attempt->page < MAX_PAGES;
}

/*
 * Whether a record can be of the message that a claim is for.  The service was asked
 * for number and service, but whether it goes by them nobody has said: a record that
 * names another one, or none, is a stranger's, whose verification ID would let his
 * code approve this number.
 */
static bool
is_of_claim(const PnvsRecord *record, const PnvsClaim *claim)
{
	return record->verification_id != NULL && record->send_date_ms >= 0 &&
		pnvs_matching_fits_number(record->recipient, claim->recipient) &&
		record->service_sid != NULL && strcmp(record->service_sid, claim->service_sid) == 0 &&
		record->channel != NULL && pg_strcasecmp(record->channel, claim->channel) == 0;
}

/*
 * The verdict on a row that was looked up, and on its siblings; answer is that of
 * the last page, or NULL where the search could not be started.  A row that was
 * queued before a promotion, and has provably not gone out, has none: it is to
 * be sent now, and its attempt is in that phase.
 */
void
pnvs_lookup_decide(PnvsAttempt *attempt, const PnvsAnswer *answer, PnvsVerdicts *verdicts)
{
	Obstacle	obstacle = {NULL, false};
	Sibling    *siblings;
	int			nsiblings;
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, PNVS_LOCK_LOOK_UP);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (answer == NULL || !answer->succeeded)
		obstacle.words = "it could not be looked up whether it was sent";
	else if (pnvs_unknown_is_number_busy(&attempt->claim, attempt->phase == PNVS_PHASE_VERIFYING))
		obstacle.words = "another message to the same number is being sent";
	if (answer == NULL)
		obstacle.of_all = attempt->start_cause != PNVS_CAUSE_NONE;
	else
		obstacle.of_all = pnvs_verdict_fault(answer) == PNVS_FAULT_EVERYBODY;

	siblings = find_siblings(attempt, &nsiblings);
	if (obstacle.words == NULL && attempt->nfound > 0)
	{
		PnvsFoundRecord *found_records = palloc(attempt->nfound * sizeof(PnvsFoundRecord));
		int			nfound = find_free(attempt, found_records);

		assign(attempt, siblings, nsiblings, found_records, nfound);
	}
	for (int i = 0; i < nsiblings; i++)
	{
		PnvsVerdict *verdict;

		if (!tells_of(attempt, &siblings[i].claim, obstacle.words))
			continue;
		verdict = decide(attempt, &siblings[i], &obstacle, verdicts);
		if (i == 0 && verdict != NULL)
			blame(attempt, answer, verdict);
	}
}

/*
 * Whether the search says something of a row.  One that met an obstacle does so of
 * the rows alone that it was begun for: the look at another one is still to come, or
 * is under way, and may be its last.
 */
static bool
tells_of(const PnvsAttempt *attempt, const PnvsClaim *claim, const char *obstacle)
{
	if (claim->id == attempt->claim.id)
		return true;
	for (int i = 0; i < attempt->njoined; i++)
	{
		if (claim->id == attempt->joined_ids[i])
			return true;
	}
	/* what became unknown after the search began is for the next one */
	return obstacle == NULL && claim->unknown_since < attempt->asked_at;
}

/* The verdict, which is added, or NULL: the row is to be sent. */
static PnvsVerdict *
decide(PnvsAttempt *attempt, const Sibling *sibling, const Obstacle *obstacle,
	   PnvsVerdicts *verdicts)
{
	PnvsVerdict *verdict;
	const PnvsClaim *claim = &sibling->claim;
	bool		verify = attempt->phase == PNVS_PHASE_VERIFYING && claim->id == attempt->claim.id;

	if (verify && sibling->found == NULL && obstacle->words == NULL)
	{
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_NOT_SENT_YET);
		return NULL;
	}
	verdict = pnvs_verdicts_add(verdicts);
	if (sibling->found != NULL)
	{
		pnvs_verdict_settled(verdict, claim, verify ? "sending" : "unknown", "sent", "OK",
							 "found by a search");
		verdict->verification_id = sibling->found->verification_id;
		verdict->status = sibling->found->status;
	}
	else if (!verify)
		give_up_or_wait(attempt, claim, verdict, obstacle);
	else if (obstacle->of_all)
		pnvs_verdict_waits(verdict, claim, "Local.Unverified", obstacle->words);
	else
		pnvs_verdict_unsent(verdict, claim, "Local.Unverified", obstacle->words, -1);
	return verdict;
}

/* Notes what the search tells of others, once. */
static void
blame(const PnvsAttempt *attempt, const PnvsAnswer *answer, PnvsVerdict *verdict)
{
	if (answer != NULL)
		pnvs_verdict_blame_answer(verdict, answer);
	else
		pnvs_verdict_blame(verdict, attempt->start_cause == PNVS_CAUSE_NONE ?
						   PNVS_FAULT_UNCLEAR : PNVS_FAULT_EVERYBODY,
						   attempt->start_cause, attempt->start_message);
}

/* All rows that a record may belong to, the attempt's own first. */
static Sibling *
find_siblings(const PnvsAttempt *attempt, int *nsiblings)
{
	PnvsClaim  *claims;
	Sibling    *siblings;

	*nsiblings = pnvs_unknown_siblings(&attempt->claim, &claims);
	siblings = palloc0(*nsiblings * sizeof(Sibling));
	for (int i = 0; i < *nsiblings; i++)
		siblings[i].claim = claims[i];
	return siblings;
}

/* Gives each record to the row that was dispatched closest to it. */
static void
assign(const PnvsAttempt *attempt, Sibling *siblings, int nsiblings,
	   const PnvsFoundRecord *found_records, int nfound)
{
	PnvsCandidate *candidates = palloc(nsiblings * sizeof(PnvsCandidate));
	PnvsMatchingSlot *slots = palloc((nfound + 1) * sizeof(PnvsMatchingSlot));
	int64	   *sent_ms = palloc((nfound + 1) * sizeof(int64));

	for (int i = 0; i < nsiblings; i++)
	{
		const PnvsClaim *claim = &siblings[i].claim;
		bool		verify = i == 0 && attempt->phase == PNVS_PHASE_VERIFYING;

		/* sent before a promotion, if at all: any time since it was queued */
		candidates[i].from_ms = epoch_ms(verify ? claim->created_at : claim->dispatched_at);
		candidates[i].until_ms = epoch_ms(verify ? claim->dispatched_at : claim->unknown_since);
	}
	for (int i = 0; i < nfound; i++)
		sent_ms[i] = found_records[i].send_date_ms;
	pnvs_matching_assign(candidates, nsiblings, sent_ms, nfound, slots);
	for (int i = 0; i < nsiblings; i++)
	{
		if (candidates[i].record >= 0)
			siblings[i].found = &found_records[candidates[i].record];
	}
	CHECK_FOR_INTERRUPTS();
}

/* The records that no row has yet, by time, into found_records; their number. */
static int
find_free(const PnvsAttempt *attempt, PnvsFoundRecord *found_records)
{
	int			nfound = attempt->nfound;
	const char **ids;
	const char **taken;
	int			ntaken;
	int			nfree = 0;

	memcpy(found_records, attempt->found_records, nfound * sizeof(PnvsFoundRecord));
	nfound = drop_repeats(found_records, nfound);
	ids = palloc(nfound * sizeof(char *));
	for (int i = 0; i < nfound; i++)
		ids[i] = found_records[i].verification_id;
	ntaken = pnvs_unknown_taken_ids(ids, nfound, &taken);
	qsort(taken, ntaken, sizeof(char *), compare_texts);
	for (int i = 0; i < nfound; i++)
	{
		if (bsearch(&found_records[i].verification_id, taken, ntaken, sizeof(char *),
					compare_texts) == NULL)
			found_records[nfree++] = found_records[i];
	}
	qsort(found_records, nfree, sizeof(PnvsFoundRecord), compare_times);
	CHECK_FOR_INTERRUPTS();
	return nfree;
}

/* A service may have the same record on two pages, and it is one row's alone. */
static int
drop_repeats(PnvsFoundRecord *found_records, int nfound)
{
	int			nkept = 0;

	qsort(found_records, nfound, sizeof(PnvsFoundRecord), compare_ids);
	for (int i = 0; i < nfound; i++)
	{
		if (nkept == 0 || compare_ids(&found_records[i], &found_records[nkept - 1]) != 0)
			found_records[nkept++] = found_records[i];
	}
	return nkept;
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(((const PnvsFoundRecord *) a)->verification_id,
				  ((const PnvsFoundRecord *) b)->verification_id);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int
compare_times(const void *a, const void *b)
{
	int64		first = ((const PnvsFoundRecord *) a)->send_date_ms;
	int64		second = ((const PnvsFoundRecord *) b)->send_date_ms;

	return (first > second) - (first < second);
}

/*
 * Another look later, or, where it was looked for long enough, none.  A look that
 * was due before that and comes after it, for there was no server, is the first
 * for a while: where it meets an obstacle it is not the last.  Nor is one that meets
 * what is everybody's fault, for as long as the service may know the message: the
 * sender pauses, so that the row can be due at once, and a look follows that counts.
 */
static void
give_up_or_wait(const PnvsAttempt *attempt, const PnvsClaim *claim, PnvsVerdict *verdict,
				const Obstacle *obstacle)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = claim->unknown_since + pnvs_reconcile_for_s * USECS_PER_SEC;
	bool		late = attempt->asked_at >= end || (attempt->call == NULL && now >= end);
	bool		over = late;
	TimestampTz next;
	long		wait_ms;

	pnvs_verdict_settled(verdict, claim, "unknown", "unknown",
						 obstacle->words ? "Local.Unreconciled" : "Local.NotFound",
						 obstacle->words ? obstacle->words : "the service knows of no such message");
	if (late && obstacle->of_all)
		over = now - claim->unknown_since >= MAX_OUTAGE_DAYS * USECS_PER_DAY;
	else if (late)
		over = obstacle->words == NULL || claim->not_before >= end;
	if (over)
		return;
	wait_ms = TimestampDifferenceMilliseconds(claim->unknown_since, now) / 2;
	wait_ms = Min(Max(wait_ms, FIRST_WAIT_MS), LONGEST_WAIT_MS);
	next = TimestampTzPlusMilliseconds(now, wait_ms);
	verdict->settled_at = 0;
	verdict->masked[0] = '\0';
	verdict->code = NULL;
	if (obstacle->of_all)
		verdict->not_before = now;
	else
		verdict->not_before = late ? next : Min(next, Max(end, now));
}

static int64
epoch_ms(TimestampTz time)
{
	const TimestampTz epoch = ((int64) UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;

	return (time - epoch) / 1000;
}
