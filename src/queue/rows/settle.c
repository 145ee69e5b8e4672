/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  Writes what became of messages into their rows, gives their places under the limits
 *	  back if they were not sent, has them counted if they were, and lets observers know.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "queue/rows/statements.h"
#include "queue/rows/rows.h"

/* Each module above registers one at most. */
#define MAX_OBSERVERS 4

/* A member of a verdict that is written, with its SQL type. */
typedef struct Field
{
	size_t		offset;
	Oid			type;
} Field;

#define FIELD(member, type) {offsetof(PnvsVerdict, member), type}

/* In the order of the parameters of PNVS_SETTLE. */
static const Field fields[] = {
	FIELD(id, INT8OID),
	FIELD(was, TEXTOID),
	FIELD(state, TEXTOID),
	FIELD(settled_at, TIMESTAMPTZOID),
	FIELD(recipient, TEXTOID),
	FIELD(not_before, TIMESTAMPTZOID),
	FIELD(request_id, TEXTOID),
	FIELD(verification_id, TEXTOID),
	FIELD(status, TEXTOID),
	FIELD(code, TEXTOID),
	FIELD(message, TEXTOID),
	FIELD(http_status, INT4OID),
	FIELD(unknown_since, TIMESTAMPTZOID),
	FIELD(uncounted, INT4OID),
	FIELD(place, TIDOID),
};

static PnvsSettleObserver observers[MAX_OBSERVERS];
static int	nobservers = 0;

static bool contains(const int64 *ids, int nids, int64 id);
static Datum field_array(const Field *field, const PnvsVerdict *verdicts, int nverdicts);
static Datum field_value(const void *member, Oid type, bool *isnull);

/*
 * Has a function called with the verdicts that were written, in the transaction that
 * wrote them: it may be rolled back.  To be called when the library is loaded.
 */
void
pnvs_settle_observe(PnvsSettleObserver observer)
{
	if (nobservers == MAX_OBSERVERS)
		elog(ERROR, "too many observers of settled messages");
	observers[nobservers++] = observer;
}

/*
 * Writes verdicts, one at least, into their rows.  A row that has gone is skipped, and so
 * is a row that was settled or recovered by somebody else meanwhile.
 */
void
pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts, int nverdicts)
{
	Datum		values[lengthof(fields) + 1];
	bool		in_place = true;
	int64	   *in_place_ids = NULL;
	int64	   *ids;
	int			nin_place = 0;
	int			n;

	for (int i = 0; i < nverdicts; i++)
		in_place = in_place && ItemPointerIsValid(&verdicts[i].place);
	for (size_t i = 0; i < lengthof(fields); i++)
		values[i] = field_array(&fields[i], verdicts, nverdicts);
	values[lengthof(fields)] = Int64GetDatum(claimer->number);
	if (in_place)
		nin_place = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_SETTLE_IN_PLACE, values, &in_place_ids);
	if (nin_place == nverdicts)
	{
		pnvs_settle_note_written(verdicts, nverdicts);
		return;
	}

	/* rows that were settled just now are skipped: their state has changed */
	n = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_SETTLE, values, &ids);
	for (int i = 0; i < nverdicts; i++)
	{
		if (contains(in_place_ids, nin_place, verdicts[i].id) || contains(ids, n, verdicts[i].id))
			pnvs_settle_note_written(&verdicts[i], 1);
	}
}

/*
 * Cancels a row that its requester has queued; false if it is no longer queued.  Waits
 * for whoever has locked the row.  claim: ID, recipient, requester and admission;
 * not_needed: the row says so.
 */
bool
pnvs_settle_cancel(const PnvsClaim *claim, bool not_needed)
{
	PnvsVerdict verdict;
	Datum		values[6];

	pnvs_verdict_settled(&verdict, claim, PNVS_STATE_QUEUED, PNVS_STATE_CANCELED);
	values[0] = Int64GetDatum(claim->id);
	values[1] = TimestampTzGetDatum(verdict.settled_at);
	values[2] = CStringGetTextDatum(verdict.recipient);
	values[3] = ObjectIdGetDatum(claim->requester);
	if (not_needed)
	{
		pnvs_verdict_explain(&verdict, PNVS_NOT_NEEDED, PNVS_NOT_NEEDED_MESSAGE);
		values[4] = CStringGetTextDatum(verdict.code);
		values[5] = CStringGetTextDatum(verdict.message);
	}
	if (pnvs_table_write(&pnvs_queue_table, PNVS_CANCEL, values, not_needed ? NULL : "    nn") != 1)
		return false;
	pnvs_settle_note_written(&verdict, 1);
	return true;
}

/*
 * Those of the rows that somebody else has locked, in ids; their number.  The
 * others are locked by this transaction.
 */
int
pnvs_settle_find_locked(int64 *ids, int nids)
{
	Datum		values[2];
	int64	   *lockable;
	int64	   *locked;
	int			nlockable;
	int			nlocked;

	values[0] = pnvs_array_of_ids(ids, nids);
	nlockable = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_LOCK_ROWS, values, &lockable);
	values[1] = pnvs_array_of_ids(lockable, nlockable);
	nlocked = pnvs_table_run_for_ids(&pnvs_queue_table, PNVS_SELECT_EXISTING, values, &locked);
	memcpy(ids, locked, nlocked * sizeof(int64));
	return nlocked;
}

static bool
contains(const int64 *ids, int nids, int64 id)
{
	for (int i = 0; i < nids; i++)
	{
		if (ids[i] == id)
			return true;
	}
	return false;
}

/* One member of all verdicts, as an array. */
static Datum
field_array(const Field *field, const PnvsVerdict *verdicts, int nverdicts)
{
	Datum	   *values = palloc(nverdicts * sizeof(Datum));
	bool	   *nulls = palloc(nverdicts * sizeof(bool));

	for (int i = 0; i < nverdicts; i++)
		values[i] = field_value((const char *) &verdicts[i] + field->offset, field->type, &nulls[i]);
	return pnvs_array_make(field->type, values, nulls, nverdicts);
}

/* NULL and 0 stand for SQL's NULL, but an ID can be 0: somebody may have written the row. */
static Datum
field_value(const void *member, Oid type, bool *isnull)
{
	const char *text;

	switch (type)
	{
		case TIDOID:
			*isnull = false;
			return PointerGetDatum(member);
		case INT8OID:
			*isnull = false;
			return Int64GetDatum(*(const int64 *) member);
		case TEXTOID:
			text = *(const char *const *) member;
			*isnull = text == NULL;
			return text ? CStringGetTextDatum(text) : (Datum) 0;
		case INT4OID:
			*isnull = *(const int32 *) member == 0;
			return Int32GetDatum(*(const int32 *) member);
		default:				/* timestamptz */
			*isnull = *(const TimestampTz *) member == 0;
			return TimestampTzGetDatum(*(const TimestampTz *) member);
	}
}

/* Does what follows from verdicts that were written: places, and observers. */
void
pnvs_settle_note_written(const PnvsVerdict *verdicts, int nverdicts)
{
	for (int i = 0; i < nverdicts; i++)
	{
		if (verdicts[i].unsent)
			pnvs_guard_give_back_at_commit(&verdicts[i].admission);
		else
			pnvs_guard_count_sent_at_commit(&verdicts[i].admission);
	}
	for (int i = 0; i < nobservers; i++)
		observers[i] (verdicts, nverdicts);
}
