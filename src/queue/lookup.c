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

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/matching.h"
#include "queue/array.h"
#include "queue/lock_class.h"
#include "queue/lookup.h"
#include "queue/statements.h"
#include "settings.h"

#define PAGE_SIZE "100"

/* A number with more messages in 30 days than that is not one of a person. */
#define MAX_PAGES 20

/* As many as so many pages have, of a service that makes them as large as it is asked to. */
#define MAX_SIGHTINGS (MAX_PAGES * 100)

/*
 * Rows of unknown fate that one search is for; more to one number, service and
 * channel are looked up once these are settled.
 */
#define MAX_SIBLINGS 2000

/* The service tells of the last 30 days. */
#define MAX_OUTAGE_DAYS 30

/* A row is looked for at once, again after this, and then ever more seldom. */
#define FIRST_WAIT_MS 1000
#define LONGEST_WAIT_MS 60000

/* A row that a record may belong to. */
typedef struct Sibling
{
	PnvsClaim	claim;
	const PnvsSighting *sighting;
} Sibling;

/* Why no record can be anybody's yet. */
typedef struct Obstacle
{
	const char *words;			/* or NULL: there is none */
	bool		of_all;			/* it is everybody's fault */
} Obstacle;

static bool tells_of(const PnvsFlight *flight, const PnvsClaim *claim, const char *obstacle);
static PnvsVerdict *decide(PnvsFlight *flight, const Sibling *sibling,
						   const Obstacle *obstacle, PnvsVerdicts *verdicts);
static void blame(const PnvsFlight *flight, const PnvsAnswer *answer, PnvsVerdict *verdict);
static bool has_rival(const PnvsFlight *flight);
static Sibling *find_siblings(const PnvsFlight *flight, int *nsiblings);
static bool is_of_claim(const PnvsRecord *record, const PnvsClaim *claim);
static void assign(const PnvsFlight *flight, Sibling *siblings, int nsiblings,
				   const PnvsSighting *sightings, int nsightings);
static int	find_free(const PnvsFlight *flight, PnvsSighting *sightings);
static int	drop_repeats(PnvsSighting *sightings, int nsightings);
static int	read_taken(const PnvsSighting *sightings, int nsightings, const char ***taken);
static int	compare_ids(const void *a, const void *b);
static int	compare_texts(const void *a, const void *b);
static int	compare_times(const void *a, const void *b);
static void give_up_or_wait(const PnvsFlight *flight, const PnvsClaim *claim,
							PnvsVerdict *verdict, const Obstacle *obstacle);
static int64 epoch_ms(TimestampTz time);

/* The parameters of a search for the flight's number. */
void
pnvs_lookup_values(const PnvsFlight *flight, const char **values)
{
	values[PNVS_SEARCH_SERVICE_SID] = flight->claim.service_sid;
	values[PNVS_SEARCH_TO] = flight->claim.recipient;
	values[PNVS_SEARCH_PAGE_SIZE] = PAGE_SIZE;
	values[PNVS_SEARCH_CURRENT_PAGE] = psprintf("%d", flight->page);
}

/* Keeps the records of a page that may fit; whether there is another page. */
bool
pnvs_lookup_collect(PnvsFlight *flight, const PnvsReply *reply)
{
	MemoryContext caller;

	if (flight->collected == flight->page)
		return false;
	flight->collected = flight->page;
	caller = MemoryContextSwitchTo(flight->context);
	if (flight->sightings == NULL)
		flight->sightings = palloc(sizeof(PnvsSighting));
	flight->sightings = repalloc(flight->sightings,
								 Min(flight->nsightings + reply->nrecords + 1, MAX_SIGHTINGS) *
								 sizeof(PnvsSighting));
	for (int i = 0; i < reply->nrecords && flight->nsightings < MAX_SIGHTINGS; i++)
	{
		const PnvsRecord *record = &reply->records[i];
		PnvsSighting *sighting = &flight->sightings[flight->nsightings];

		if (!is_of_claim(record, &flight->claim))
			continue;
		sighting->verification_id = pstrdup(record->verification_id);
		sighting->status = record->status ? pstrdup(record->status) : NULL;
		sighting->send_date_ms = record->send_date_ms;
		flight->nsightings++;
	}
	MemoryContextSwitchTo(caller);
	return reply->nrecords > 0 && flight->page < reply->total_pages &&
		flight->page < MAX_PAGES;
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
 * be sent now, and its flight is in that phase.
 */
void
pnvs_lookup_decide(PnvsFlight *flight, const PnvsAnswer *answer, PnvsVerdicts *verdicts)
{
	Obstacle	obstacle = {NULL, false};
	Sibling    *siblings;
	int			nsiblings;
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, PNVS_LOCK_SIGHTINGS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (answer == NULL || !answer->succeeded)
		obstacle.words = "it could not be looked up whether it was sent";
	else if (has_rival(flight))
		obstacle.words = "another message to the same number is being sent";
	if (answer == NULL)
		obstacle.of_all = flight->start_cause != PNVS_CAUSE_NONE;
	else
		obstacle.of_all = pnvs_verdict_fault(answer) == PNVS_FAULT_EVERYBODY;

	siblings = find_siblings(flight, &nsiblings);
	if (obstacle.words == NULL && flight->nsightings > 0)
	{
		PnvsSighting *sightings = palloc(flight->nsightings * sizeof(PnvsSighting));
		int			nsightings = find_free(flight, sightings);

		assign(flight, siblings, nsiblings, sightings, nsightings);
	}
	for (int i = 0; i < nsiblings; i++)
	{
		PnvsVerdict *verdict;

		if (!tells_of(flight, &siblings[i].claim, obstacle.words))
			continue;
		verdict = decide(flight, &siblings[i], &obstacle, verdicts);
		if (i == 0 && verdict != NULL)
			blame(flight, answer, verdict);
	}
}

/*
 * Reads up to max rows of unknown fate that are to be looked up now, except
 * those that are under way; their texts live as long as the visit.
 */
int
pnvs_lookup_select(PnvsClaim *claims, int max, const int64 *under_way, int nunder_way)
{
	Datum		values[3];
	int			nrows;

	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = Int64GetDatum(max);
	values[2] = pnvs_array_of_ids(under_way, nunder_way);
	nrows = (int) pnvs_table_run(PNVS_SELECT_UNKNOWN, values, NULL);
	for (int row = 0; row < nrows; row++)
	{
		PnvsClaim  *claim = &claims[row];

		memset(claim, 0, sizeof(*claim));
		claim->id = DatumGetInt64(pnvs_table_value(row, 1, NULL));
		claim->channel = pnvs_table_text(row, 2);
		claim->recipient = pnvs_table_text(row, 3);
		claim->service_sid = pnvs_table_text(row, 4);
		claim->dispatched_at = DatumGetTimestampTz(pnvs_table_value(row, 5, NULL));
		claim->unknown_since = DatumGetTimestampTz(pnvs_table_value(row, 6, NULL));
		claim->not_before = DatumGetTimestampTz(pnvs_table_value(row, 7, NULL));
	}
	return nrows;
}

/* When a row is to be looked up that is among neither, or DT_NOEND. */
TimestampTz
pnvs_lookup_next(const PnvsClaim *claims, int nclaims, const int64 *under_way,
				 int nunder_way)
{
	int64	   *ids = palloc((nclaims + nunder_way + 1) * sizeof(int64));
	Datum		value;

	for (int i = 0; i < nclaims; i++)
		ids[i] = claims[i].id;
	for (int i = 0; i < nunder_way; i++)
		ids[nclaims + i] = under_way[i];
	value = pnvs_array_of_ids(ids, nclaims + nunder_way);
	return pnvs_table_run(PNVS_NEXT_UNKNOWN, &value, NULL) == 1 ?
		DatumGetTimestampTz(pnvs_table_value(0, 1, NULL)) : DT_NOEND;
}

/*
 * Whether the search says something of a row.  One that met an obstacle does so of
 * the rows alone that it was begun for: the look at another one is still to come, or
 * is under way, and may be its last.
 */
static bool
tells_of(const PnvsFlight *flight, const PnvsClaim *claim, const char *obstacle)
{
	if (claim->id == flight->claim.id)
		return true;
	for (int i = 0; i < flight->ncompanions; i++)
	{
		if (claim->id == flight->companions[i])
			return true;
	}
	/* what became unknown after the search began is for the next one */
	return obstacle == NULL && claim->unknown_since < flight->asked_at;
}

/* The verdict, which is added, or NULL: the row is to be sent. */
static PnvsVerdict *
decide(PnvsFlight *flight, const Sibling *sibling, const Obstacle *obstacle,
	   PnvsVerdicts *verdicts)
{
	PnvsVerdict *verdict;
	const PnvsClaim *claim = &sibling->claim;
	bool		verify = flight->phase == PNVS_PHASE_VERIFYING && claim->id == flight->claim.id;

	if (verify && sibling->sighting == NULL && obstacle->words == NULL)
	{
		flight->phase = pnvs_phase_next(flight->phase, PNVS_PHASE_NOT_SENT_YET);
		return NULL;
	}
	verdict = pnvs_verdicts_add(verdicts);
	if (sibling->sighting != NULL)
	{
		pnvs_verdict_settled(verdict, claim, verify ? "sending" : "unknown", "sent", "OK",
							 "found by a search");
		verdict->verification_id = sibling->sighting->verification_id;
		verdict->status = sibling->sighting->status;
	}
	else if (!verify)
		give_up_or_wait(flight, claim, verdict, obstacle);
	else if (obstacle->of_all)
		pnvs_verdict_waits(verdict, claim, "Local.Unverified", obstacle->words);
	else
		pnvs_verdict_unsent(verdict, claim, "Local.Unverified", obstacle->words, -1);
	return verdict;
}

/* Notes what the search tells of others, once. */
static void
blame(const PnvsFlight *flight, const PnvsAnswer *answer, PnvsVerdict *verdict)
{
	if (answer != NULL)
		pnvs_verdict_blame_answer(verdict, answer);
	else
		pnvs_verdict_blame(verdict, flight->start_cause == PNVS_CAUSE_NONE ?
						   PNVS_FAULT_UNCLEAR : PNVS_FAULT_EVERYBODY,
						   flight->start_cause, flight->start_message);
}

/* Whether another row of this number is being sent right now. */
static bool
has_rival(const PnvsFlight *flight)
{
	Datum		values[4];

	values[0] = CStringGetTextDatum(flight->claim.recipient);
	values[1] = CStringGetTextDatum(flight->claim.service_sid);
	values[2] = Int64GetDatum(flight->claim.id);

	/*
	 * rows that are looked up before their first send are no rivals of each
	 * other
	 */
	values[3] = Int32GetDatum(flight->phase == PNVS_PHASE_VERIFYING ?
							  (int32) GetWALInsertionTimeLine() : PG_INT32_MIN);
	return pnvs_table_run(PNVS_SELECT_RIVALS, values, NULL) > 0;
}

/* All rows that a record may belong to, the flight's own first. */
static Sibling *
find_siblings(const PnvsFlight *flight, int *nsiblings)
{
	const PnvsClaim *claim = &flight->claim;
	Datum		values[3];
	Sibling    *siblings;
	int			nrows;

	values[0] = CStringGetTextDatum(claim->recipient);
	values[1] = CStringGetTextDatum(claim->service_sid);
	values[2] = CStringGetTextDatum(claim->channel);
	nrows = (int) pnvs_table_run(PNVS_SELECT_SIBLINGS, values, NULL);
	nrows = Min(nrows, MAX_SIBLINGS);
	siblings = palloc0((nrows + 1) * sizeof(Sibling));
	siblings[0].claim = *claim;
	*nsiblings = 1;
	for (int row = 0; row < nrows; row++)
	{
		Sibling    *sibling = &siblings[*nsiblings];

		sibling->claim = *claim;
		sibling->claim.id = DatumGetInt64(pnvs_table_value(row, 1, NULL));
		if (sibling->claim.id == claim->id)
			continue;
		sibling->claim.dispatched_at = DatumGetTimestampTz(pnvs_table_value(row, 2, NULL));
		sibling->claim.unknown_since = DatumGetTimestampTz(pnvs_table_value(row, 3, NULL));
		sibling->claim.not_before = DatumGetTimestampTz(pnvs_table_value(row, 4, NULL));
		(*nsiblings)++;
	}
	return siblings;
}

/* Gives each record to the row that was dispatched closest to it. */
static void
assign(const PnvsFlight *flight, Sibling *siblings, int nsiblings,
	   const PnvsSighting *sightings, int nsightings)
{
	PnvsCandidate *candidates = palloc(nsiblings * sizeof(PnvsCandidate));
	PnvsMatchingSlot *slots = palloc((nsightings + 1) * sizeof(PnvsMatchingSlot));
	int64	   *sent_ms = palloc((nsightings + 1) * sizeof(int64));

	for (int i = 0; i < nsiblings; i++)
	{
		const PnvsClaim *claim = &siblings[i].claim;
		bool		verify = i == 0 && flight->phase == PNVS_PHASE_VERIFYING;

		/* sent before a promotion, if at all: any time since it was queued */
		candidates[i].from_ms = epoch_ms(verify ? claim->created_at : claim->dispatched_at);
		candidates[i].until_ms = epoch_ms(verify ? claim->dispatched_at : claim->unknown_since);
	}
	for (int i = 0; i < nsightings; i++)
		sent_ms[i] = sightings[i].send_date_ms;
	pnvs_matching_assign(candidates, nsiblings, sent_ms, nsightings, slots);
	for (int i = 0; i < nsiblings; i++)
	{
		if (candidates[i].record >= 0)
			siblings[i].sighting = &sightings[candidates[i].record];
	}
	CHECK_FOR_INTERRUPTS();
}

/* The records that no row has yet, by time, into sightings; their number. */
static int
find_free(const PnvsFlight *flight, PnvsSighting *sightings)
{
	int			nsightings = flight->nsightings;
	const char **taken;
	int			ntaken;
	int			nfree = 0;

	memcpy(sightings, flight->sightings, nsightings * sizeof(PnvsSighting));
	nsightings = drop_repeats(sightings, nsightings);
	ntaken = read_taken(sightings, nsightings, &taken);
	for (int i = 0; i < nsightings; i++)
	{
		if (bsearch(&sightings[i].verification_id, taken, ntaken, sizeof(char *),
					compare_texts) == NULL)
			sightings[nfree++] = sightings[i];
	}
	qsort(sightings, nfree, sizeof(PnvsSighting), compare_times);
	CHECK_FOR_INTERRUPTS();
	return nfree;
}

/* A service may have the same record on two pages, and it is one row's alone. */
static int
drop_repeats(PnvsSighting *sightings, int nsightings)
{
	int			nkept = 0;

	qsort(sightings, nsightings, sizeof(PnvsSighting), compare_ids);
	for (int i = 0; i < nsightings; i++)
	{
		if (nkept == 0 || compare_ids(&sightings[i], &sightings[nkept - 1]) != 0)
			sightings[nkept++] = sightings[i];
	}
	return nkept;
}

/* The IDs among those of the records that a row has, in order; their number. */
static int
read_taken(const PnvsSighting *sightings, int nsightings, const char ***taken)
{
	Datum	   *ids = palloc((nsightings + 1) * sizeof(Datum));
	Datum		value;
	int			ntaken;

	for (int i = 0; i < nsightings; i++)
		ids[i] = CStringGetTextDatum(sightings[i].verification_id);
	value = PointerGetDatum(construct_array(ids, nsightings, TEXTOID, -1, false,
											TYPALIGN_INT));
	ntaken = (int) pnvs_table_run(PNVS_TAKEN_VERIFICATIONS, &value, NULL);
	*taken = palloc((ntaken + 1) * sizeof(char *));
	for (int row = 0; row < ntaken; row++)
		(*taken)[row] = pnvs_table_text(row, 1);
	qsort(*taken, ntaken, sizeof(char *), compare_texts);
	return ntaken;
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(((const PnvsSighting *) a)->verification_id,
				  ((const PnvsSighting *) b)->verification_id);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int
compare_times(const void *a, const void *b)
{
	int64		first = ((const PnvsSighting *) a)->send_date_ms;
	int64		second = ((const PnvsSighting *) b)->send_date_ms;

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
give_up_or_wait(const PnvsFlight *flight, const PnvsClaim *claim, PnvsVerdict *verdict,
				const Obstacle *obstacle)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = claim->unknown_since + pnvs_reconcile_for_s * USECS_PER_SEC;
	bool		late = flight->asked_at >= end || (flight->call == NULL && now >= end);
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
