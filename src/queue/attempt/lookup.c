/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Finds out by a search at the service whether a message was sent.
 *
 * The service knows its messages by number, service, channel and time, and by
 * an ID that a row of unknown fate does not have.  A record belongs to a row if it
 * fits all of that, no other row has its ID, and no other row fits it better:
 *
 * - While another message to the number is being sent, nothing is decided: a record may
 *	 be that message's.
 * - Of several rows of unknown fate, each record goes to the row that was
 *	 dispatched closest to its time (see core/matching).
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
#include "utils/timestamp.h"

#include "compat.h"
#include "core/matching.h"
#include "queue/attempt/lookup.h"
#include "queue/rows/lock_class.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"
#include "remote/failure.h"
#include "settings.h"

#define PAGE_SIZE "100"

/* A number with more messages in 30 days than that does not belong to a person. */
#define MAX_PAGES 20

/* The newest come first, and a person waits. */
#define MAX_PAGES_NOW 3

/* A service may make its pages larger than it was asked to. */
#define MAX_FOUND (MAX_PAGES * 100)

/* From when on the service counts milliseconds. */
#define UNIX_EPOCH (((int64) UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

static bool is_certain(const PnvsAnswer *answer);
static void search_for(const char *verification_id, const char *service_sid, PnvsTimeouts timeouts,
					   PnvsCallState *search);
static const PnvsRecord *find_record(const char *verification_id, const PnvsAnswer *answer);
static bool has_time(const PnvsRecord *record);
static TimestampTz sent_at(const PnvsRecord *record);
static const char *match_now(const PnvsAttempt *attempt, bool *decided);
static void lock_decisions(void);
static const char *find_obstacle(const PnvsAttempt *attempt);
static bool tells_of(const PnvsAttempt *attempt, const PnvsClaim *row, const char *obstacle);
static PnvsVerdict *decide(PnvsAttempt *attempt, const PnvsClaim *row,
						   const PnvsFoundRecord *found, const char *obstacle,
						   PnvsVerdicts *verdicts);
static bool is_of_claim(const PnvsRecord *record, const PnvsClaim *claim);
static void assign(const PnvsAttempt *attempt, const PnvsClaim *rows, int nrows,
				   const PnvsFoundRecord **found);
static int	find_free(const PnvsAttempt *attempt, PnvsFoundRecord **records);
static int	compare_times(const void *a, const void *b);
static void give_up_or_wait(const PnvsAttempt *attempt, const PnvsClaim *row,
							const char *obstacle, PnvsVerdict *verdict);

/* The parameters of a search for the attempt's number. */
void
pnvs_lookup_values(const PnvsAttempt *attempt, const char **values)
{
	values[PNVS_SEARCH_SERVICE_SID] = attempt->claim.service_sid;
	values[PNVS_SEARCH_TO] = attempt->claim.recipient;
	values[PNVS_SEARCH_PAGE_SIZE] = PAGE_SIZE;
	values[PNVS_SEARCH_CURRENT_PAGE] = psprintf("%d", attempt->page);
}

/* Keeps the records of a page that may belong to the attempt's row. */
void
pnvs_lookup_collect(PnvsAttempt *attempt, const PnvsReply *reply)
{
	MemoryContext caller = MemoryContextSwitchTo(attempt->context);

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
		found->sent_at = sent_at(record);
		attempt->nfound++;
	}
	MemoryContextSwitchTo(caller);
}

/* Whether the answer to a search is followed by another page. */
bool
pnvs_lookup_has_next_page(const PnvsAttempt *attempt)
{
	return attempt->answer->succeeded && attempt->answer->reply.nrecords > 0 &&
		attempt->page < attempt->answer->reply.total_pages && attempt->page < MAX_PAGES;
}

/*
 * The verdicts on the row that was looked up, and on others that the search tells of; the
 * search is complete, or has failed.  A row that was queued before a promotion, and
 * provably has not been sent, has no verdict: it is to be sent now, says the phase.
 */
void
pnvs_lookup_decide(PnvsAttempt *attempt, PnvsVerdicts *verdicts)
{
	const PnvsFoundRecord **found;
	const char *obstacle;
	PnvsClaim  *rows;
	int			nrows;

	lock_decisions();
	obstacle = find_obstacle(attempt);
	nrows = pnvs_unknown_siblings(&attempt->claim, &rows);
	found = palloc0(nrows * sizeof(PnvsFoundRecord *));
	if (obstacle == NULL && attempt->nfound > 0)
		assign(attempt, rows, nrows, found);
	for (int i = 0; i < nrows; i++)
	{
		PnvsVerdict *verdict = !tells_of(attempt, &rows[i], obstacle) ? NULL :
		decide(attempt, &rows[i], found[i], obstacle, verdicts);

		/* the search was one request, and shows its evidence once */
		if (i == 0 && verdict != NULL)
			pnvs_verdict_show(verdict, &attempt->evidence);
	}
}

/*
 * Looks a message of unknown fate up for a session that waits, and returns its ID of the
 * service, in the current memory context, or NULL: there is none, or, if not decided, that
 * may be another time.  Nothing is written: a worker comes to the same.
 */
const char *
pnvs_lookup_now(const PnvsClaim *claim, bool *decided)
{
	PnvsAttempt *attempt = pnvs_attempt_create(CurrentMemoryContext, claim, PNVS_PHASE_TO_LOOK_UP);
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	const char *verification_id = NULL;
	PnvsAnswer	answer;

	attempt->answer = &answer;
	for (;;)
	{
		pnvs_lookup_values(attempt, values);
		pnvs_client_call(pnvs_operation_get(PNVS_SEARCH_VERIFICATION), values,
						 PNVS_TIMEOUTS_NOT_SHORTENED, &answer);
		if (!answer.succeeded)
			break;
		pnvs_lookup_collect(attempt, &answer.reply);
		if (!pnvs_lookup_has_next_page(attempt) || attempt->page == MAX_PAGES_NOW)
			break;
		attempt->page++;
	}
	*decided = is_certain(&answer);
	if (attempt->nfound > 0)
		verification_id = match_now(attempt, decided);
	pnvs_attempt_destroy(attempt);
	return verification_id;
}

/*
 * Whether the service has approved the code of a message to this number, as far as it says
 * so.  If it is overloaded, it is to be asked later.  Throws if its answer is lost.
 */
bool
pnvs_lookup_is_approved(const char *verification_id, const char *service_sid, const char *number,
						bool *is_overloaded)
{
	PnvsCallState search;
	const PnvsRecord *record;

	search_for(verification_id, service_sid, PNVS_TIMEOUTS_NOT_SHORTENED, &search);
	pnvs_failure_throw_if_unjudged(&search);
	if (search.answer.outcome == PNVS_AMBIGUOUS)
		pnvs_failure_throw_if_refused(&search);
	*is_overloaded = search.answer.outcome == PNVS_THROTTLED;
	record = find_record(verification_id, &search.answer);
	return record != NULL && record->status != NULL &&
		strcmp(record->status, PNVS_STATUS_APPROVED) == 0 &&
		pnvs_matching_fits_number(record->recipient, number);
}

/*
 * What the service tells of a message by its ID, in the current memory context; all zero if
 * nothing.  False if it may tell more at another time.  Throws if it cannot be reached.
 */
bool
pnvs_lookup_message(const char *verification_id, PnvsRecord *message)
{
	PnvsCallState search;
	const PnvsRecord *record;

	search_for(verification_id, NULL, PNVS_TIMEOUTS_AS_SET, &search);
	if (search.answer.outcome == PNVS_UNSENT)
		pnvs_failure_throw_if_unjudged(&search);
	record = find_record(verification_id, &search.answer);
	if (record != NULL)
		*message = *record;
	else
		memset(message, 0, sizeof(*message));
	return is_certain(&search.answer);
}

/*
 * Whether a search would come to the same at another time: who may not search learns nothing
 * then, either.  Of a Code that nobody knows nothing is certain.
 */
static bool
is_certain(const PnvsAnswer *answer)
{
	return answer->outcome == PNVS_ACCEPTED || answer->code_group == PNVS_CODE_REFUSED ||
		answer->code_group == PNVS_CODE_CREDENTIALS;
}

/* Asks the service for an ID; service_sid may be NULL. */
static void
search_for(const char *verification_id, const char *service_sid, PnvsTimeouts timeouts,
		   PnvsCallState *search)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	search->operation = pnvs_operation_get(PNVS_SEARCH_VERIFICATION);
	values[PNVS_SEARCH_VERIFICATION_ID] = verification_id;
	values[PNVS_SEARCH_SERVICE_SID] = service_sid;
	pnvs_client_call(search->operation, values, timeouts, &search->answer);
}

/* The record of the ID, within the answer, or NULL. */
static const PnvsRecord *
find_record(const char *verification_id, const PnvsAnswer *answer)
{
	for (int i = 0; answer->succeeded && i < answer->reply.nrecords; i++)
	{
		const char *found = answer->reply.records[i].verification_id;

		if (found != NULL && strcmp(found, verification_id) == 0)
			return &answer->reply.records[i];
	}
	return NULL;
}

/*
 * Whether a record can be of a message that was sent between two times, as far as it tells.
 */
bool
pnvs_lookup_fits_time(const PnvsRecord *record, TimestampTz from, TimestampTz until)
{
	PnvsCandidate candidate = {.from_us = from,.until_us = until};
	PnvsSentRecord sent;

	if (record->send_date_ms == 0 || !has_time(record))
		return true;
	sent.sent_us = sent_at(record);
	return pnvs_matching_is_in_time(&candidate, &sent);
}

/* Whether a record's time can be one; 0 if it has none. */
static bool
has_time(const PnvsRecord *record)
{
	return record->send_date_ms >= 0 && record->send_date_ms < END_TIMESTAMP / 1000;
}

/* Of a record whose time can be one. */
static TimestampTz
sent_at(const PnvsRecord *record)
{
	return record->send_date_ms * 1000 + UNIX_EPOCH;
}

/*
 * The ID of the record that belongs to the attempt's row, or NULL.  Not decided: a search
 * that has failed, or another message on its way, stands in the way.
 */
static const char *
match_now(const PnvsAttempt *attempt, bool *decided)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *verification_id = NULL;
	PnvsTableVisit visit;

	pnvs_table_enter(&pnvs_queue_table, &visit, AccessShareLock);
	*decided = find_obstacle(attempt) == NULL;
	if (*decided)
	{
		PnvsClaim  *rows;
		int			nrows = pnvs_unknown_siblings(&attempt->claim, &rows);
		const PnvsFoundRecord **found = palloc0(nrows * sizeof(PnvsFoundRecord *));

		assign(attempt, rows, nrows, found);
		if (found[0] != NULL)
			verification_id = MemoryContextStrdup(caller, found[0]->verification_id);
	}
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return verification_id;
}

/* Until the end of the transaction. */
static void
lock_decisions(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, PNVS_LOCK_LOOK_UP);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Why no record can be given to any row yet, or NULL. */
static const char *
find_obstacle(const PnvsAttempt *attempt)
{
	if (attempt->answer == NULL || !attempt->answer->succeeded)
		return "it could not be looked up whether it was sent";
	if (pnvs_unknown_is_number_busy(&attempt->claim, attempt->phase == PNVS_PHASE_VERIFYING))
		return "another message to the same number is being sent";
	return NULL;
}

/*
 * Whether the search says something about a row.  If it met an obstacle, it does so only
 * about the rows that it was begun for: another row is still to be looked up, or being
 * looked up, perhaps for the last time.
 */
static bool
tells_of(const PnvsAttempt *attempt, const PnvsClaim *row, const char *obstacle)
{
	if (row->id == attempt->claim.id)
		return true;
	for (int i = 0; i < attempt->njoined; i++)
	{
		if (row->id == attempt->joined_ids[i])
			return true;
	}
	/* a row that became unknown after the search began is for the next one */
	return obstacle == NULL && row->unknown_since < attempt->asked_at;
}

/* The verdict, which is added, or NULL: the row is to be sent. */
static PnvsVerdict *
decide(PnvsAttempt *attempt, const PnvsClaim *row, const PnvsFoundRecord *found,
	   const char *obstacle, PnvsVerdicts *verdicts)
{
	PnvsVerdict *verdict;
	bool		verifying = attempt->phase == PNVS_PHASE_VERIFYING && row->id == attempt->claim.id;

	if (verifying && found == NULL && obstacle == NULL)
	{
		attempt->phase = pnvs_phase_next(attempt->phase, PNVS_PHASE_NOT_SENT_YET);
		return NULL;
	}
	verdict = pnvs_verdicts_add(verdicts);
	if (found != NULL)
	{
		pnvs_verdict_settled(verdict, row, verifying ? PNVS_STATE_SENDING : PNVS_STATE_UNKNOWN,
							 PNVS_STATE_SENT);
		pnvs_verdict_explain(verdict, "OK", "found by a search");
		verdict->verification_id = found->verification_id;
		verdict->status = found->status;
	}
	else if (!verifying)
		give_up_or_wait(attempt, row, obstacle, verdict);
	else if (attempt->evidence.fault == PNVS_FAULT_ALL)
		pnvs_verdict_waits(verdict, row, "Local.Unverified", obstacle);
	else
		pnvs_verdict_unsent(verdict, row, "Local.Unverified", obstacle);
	return verdict;
}

/* A row of unknown fate that was not found. */
static void
give_up_or_wait(const PnvsAttempt *attempt, const PnvsClaim *row, const char *obstacle,
				PnvsVerdict *verdict)
{
	const PnvsNotFoundFacts facts = {
		.obstacle = obstacle != NULL,
		.outage = attempt->evidence.fault == PNVS_FAULT_ALL,
		.unknown_since_us = row->unknown_since,
		.due_us = row->not_before,
		/* a search that could not be started has failed just now */
		.asked_us = attempt->call != NULL ? attempt->asked_at :
		Max(attempt->asked_at, GetCurrentTimestamp()),
		.look_for_us = pnvs_reconcile_for_s * USECS_PER_SEC
	};

	pnvs_verdict_not_found(verdict, row, &facts);
	if (verdict->settled_at == 0)
		return;
	if (obstacle != NULL)
		pnvs_verdict_explain(verdict, "Local.Unreconciled", obstacle);
	else
		pnvs_verdict_explain(verdict, "Local.NotFound", "the service knows of no such message");
}

/*
 * Whether a record can be of the message that a claim is for.  The service was asked
 * for number and service, but it does not promise to go by them.  A record that names
 * another number, or none, is a stranger's: with its verification ID the stranger's code
 * would approve this number.
 */
static bool
is_of_claim(const PnvsRecord *record, const PnvsClaim *claim)
{
	return record->verification_id != NULL &&
		has_time(record) &&
		pnvs_matching_fits_number(record->recipient, claim->recipient) &&
		record->service_sid != NULL && strcmp(record->service_sid, claim->service_sid) == 0 &&
		record->channel != NULL && pg_strcasecmp(record->channel, claim->channel) == 0;
}

/* Gives each record that was found to the row that was dispatched closest to it. */
static void
assign(const PnvsAttempt *attempt, const PnvsClaim *rows, int nrows,
	   const PnvsFoundRecord **found)
{
	PnvsFoundRecord *free_records;
	int			nfree = find_free(attempt, &free_records);
	PnvsSentRecord *sent = palloc((nfree + 1) * sizeof(PnvsSentRecord));
	PnvsCandidate *candidates = palloc(nrows * sizeof(PnvsCandidate));

	for (int i = 0; i < nfree; i++)
		sent[i].sent_us = free_records[i].sent_at;
	for (int i = 0; i < nrows; i++)
	{
		bool		verifying = i == 0 && attempt->phase == PNVS_PHASE_VERIFYING;

		/* sent before a promotion, if at all: any time since it was queued */
		candidates[i].from_us = verifying ? rows[i].created_at : rows[i].dispatched_at;
		candidates[i].until_us = verifying ? rows[i].dispatched_at : rows[i].unknown_since;
	}
	pnvs_matching_assign(candidates, nrows, sent, nfree);
	for (int i = 0; i < nrows; i++)
	{
		if (candidates[i].record >= 0)
			found[i] = &free_records[candidates[i].record];
	}
	CHECK_FOR_INTERRUPTS();
}

/* The records whose ID no row has yet, each once, by their time; their number. */
static int
find_free(const PnvsAttempt *attempt, PnvsFoundRecord **records)
{
	const int	nfound = attempt->nfound;
	PnvsFoundRecord *sorted = palloc(nfound * sizeof(PnvsFoundRecord));
	const char **ids = palloc(nfound * sizeof(char *));
	const char **taken;
	int			ntaken;
	int			nfree = 0;

	memcpy(sorted, attempt->found_records, nfound * sizeof(PnvsFoundRecord));
	qsort(sorted, nfound, sizeof(PnvsFoundRecord), pg_qsort_strcmp);
	for (int i = 0; i < nfound; i++)
		ids[i] = sorted[i].verification_id;
	ntaken = pnvs_unknown_taken_ids(ids, nfound, &taken);
	qsort(taken, ntaken, sizeof(char *), pg_qsort_strcmp);
	for (int i = 0; i < nfound; i++)
	{
		/* a service may have the same record on two pages */
		if ((i == 0 || strcmp(ids[i], ids[i - 1]) != 0) &&
			bsearch(&ids[i], taken, ntaken, sizeof(char *), pg_qsort_strcmp) == NULL)
			sorted[nfree++] = sorted[i];
	}
	qsort(sorted, nfree, sizeof(PnvsFoundRecord), compare_times);
	CHECK_FOR_INTERRUPTS();
	*records = sorted;
	return nfree;
}

static int
compare_times(const void *a, const void *b)
{
	TimestampTz first = ((const PnvsFoundRecord *) a)->sent_at;
	TimestampTz second = ((const PnvsFoundRecord *) b)->sent_at;

	return (first > second) - (first < second);
}
