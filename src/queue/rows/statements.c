/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  The statements on the queue's table: their texts, plans, parameters and results.
 *
 * Every column that is read has a cast, so that a result has the types that the
 * library expects whatever the table has become; a NULL that must not be there raises
 * an error.  The conditions on origin_timeline, and on origin_database, let the planner
 * use an index that no other role's query can (see the install script).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/rows/statements.h"
#include "queue/rows/table.h"

/* The most parameters that a statement has. */
#define MAX_PARAMETERS 16

/*
 * A row is to be found by its ID, or by its place.  found_by leaves no other way, not
 * even if the planner expects a handful of rows and would look for each of them among
 * ours: there may be a million when the plan is used.  For the same reason the condition
 * that a row is not settled is not written in the way of the index of open rows.
 */
#define SETTLE(found_by) \
	"UPDATE ONLY %1$s AS q SET state = u.state, settled_at = u.settled_at," \
	" attempts = q.attempts - coalesce(u.uncounted, 0)," \
	" recipient = coalesce(u.recipient, q.recipient)," \
	" not_before = coalesce(u.not_before, q.not_before)," \
	" request_id = coalesce(u.request_id, q.request_id)," \
	" verification_id = coalesce(u.verification_id, q.verification_id)," \
	" status = coalesce(u.status, q.status)," \
	" http_status = coalesce(u.http_status, q.http_status)," \
	" code = coalesce(u.code, q.code)," \
	" message = CASE WHEN u.code IS NULL THEN q.message ELSE u.message END," \
	" unknown_since = coalesce(u.unknown_since, q.unknown_since)," \
	" retain_from = greatest(q.retain_from, u.settled_at), claimer = NULL" \
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)" \
	" AS u(id, was, state, settled_at, recipient, not_before, request_id," \
	" verification_id, status, code, message, http_status, unknown_since, uncounted, place)" \
	" WHERE " found_by " AND q.state = u.was AND coalesce(q.settled_at, 'infinity') = 'infinity'" \
	" AND (q.claimer IS NULL OR q.claimer = $16) RETURNING q.id::bigint"

#define SETTLE_TYPES \
	{INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, \
	 TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
	 TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TIDARRAYOID, INT8OID}

/* What pnvs_admission_read() reads. */
#define ADMISSION \
	" origin_system::bigint, origin_database::oid, origin_timeline::integer," \
	" admission_due::timestamptz, admission_key::bigint, admission_trusted::boolean"

/*
 * A row that is claimed or looked up; the columns are those of PnvsRowColumn.  Texts
 * last: a column behind a text takes longer to find in a row.
 */
#define SELECT_ROWS \
	"SELECT ctid::tid, id::bigint, attempts::integer, not_before::timestamptz," \
	" send_before::timestamptz, created_at::timestamptz," \
	" coalesce(dispatched_at, created_at)::timestamptz," \
	" coalesce(unknown_since, dispatched_at, created_at)::timestamptz," \
	ADMISSION ", channel::text, recipient::text, service_sid::text" \
	" FROM ONLY %1$s WHERE settled_at IS NULL"

#define SELECT_DUE(condition) \
	SELECT_ROWS " AND state = 'queued' AND origin_timeline >= 0" \
	" AND (not_before, id) > ($1, $2) AND not_before <= $3" condition \
	" AND origin_timeline >= $5 ORDER BY not_before, id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED"

#define SELECT_DUE_TYPES {TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID, INT4OID}

typedef struct Statement
{
	const char *text;			/* %1$s is the table */
	Oid			types[MAX_PARAMETERS];	/* up to a 0 */
} Statement;

static const Statement statements[PNVS_STATEMENT_COUNT] = {
	[PNVS_FIND_DUPLICATE] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE requested_by = $1 AND dedup_key = $2"
		" AND created_at > $3 AND state NOT IN ('failed', 'expired', 'canceled')"
		" ORDER BY created_at, id LIMIT 1",
		{OIDOID, TEXTOID, TIMESTAMPTZOID}
	},

	/* By the requester, so that nobody waits for the lock of another's row. */
	[PNVS_CANCEL] = {
		"UPDATE ONLY %1$s SET state = 'canceled', settled_at = $2, recipient = $3,"
		" retain_from = greatest(retain_from, $2)"
		" WHERE requested_by = $4 AND id = $1 AND state = 'queued'",
		{INT8OID, TIMESTAMPTZOID, TEXTOID, OIDOID}
	},
	[PNVS_FIND] = {
		"SELECT id::bigint, channel::text, recipient::text, service_sid::text, state::text,"
		" not_before::timestamptz, send_before::timestamptz, attempts::integer,"
		" created_at::timestamptz, settled_at::timestamptz, pg_get_userbyid(requested_by)::text,"
		" reference::text, dedup_key::text, request_id::text, verification_id::text,"
		" status::text, code::text, message::text, http_status::integer,"
		" requested_by::oid, xmin::xid," ADMISSION
		" FROM ONLY %1$s WHERE id = $1 AND origin_database >= '0'",
		{INT8OID}
	},
	[PNVS_HIGHEST_ID] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE origin_database >= '0' ORDER BY id DESC LIMIT 1",
		{0}
	},
	[PNVS_SELECT_DUE] = {SELECT_DUE(""), SELECT_DUE_TYPES},
	[PNVS_SELECT_LATE] = {SELECT_DUE(" AND send_before <= $3"), SELECT_DUE_TYPES},
	[PNVS_CLAIM] = {
		"UPDATE ONLY %1$s SET state = 'sending', attempts = attempts + 1, claimer = $2,"
		" dispatched_at = $3 WHERE ctid = ANY ($1) RETURNING id::bigint, ctid::tid",
		{TIDARRAYOID, INT8OID, TIMESTAMPTZOID}
	},

	/* Locks those that nobody else has locked. */
	[PNVS_LOCK_ROWS] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE id = ANY ($1) AND origin_database >= '0'"
		" FOR NO KEY UPDATE SKIP LOCKED",
		{INT8ARRAYOID}
	},
	[PNVS_SELECT_EXISTING] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE id = ANY ($1) AND id <> ALL ($2)"
		" AND origin_database >= '0'",
		{INT8ARRAYOID, INT8ARRAYOID}
	},
	[PNVS_SETTLE] = {SETTLE("q.id = u.id AND q.id = ANY ($1) AND q.origin_database >= '0'"), SETTLE_TYPES},
	/* Rows that nobody has moved are found without an index. */
	[PNVS_SETTLE_IN_PLACE] = {SETTLE("q.ctid = u.place AND q.id + 0 = u.id"), SETTLE_TYPES},
	[PNVS_NEXT_QUEUED] = {
		"SELECT not_before::timestamptz FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'queued' AND origin_timeline >= 0"
		" AND (not_before, id) > ($1, $2) AND origin_timeline >= $3"
		" ORDER BY not_before, id LIMIT 1",
		{TIMESTAMPTZOID, INT8OID, INT4OID}
	},
	[PNVS_NEXT_UNKNOWN] = {
		"SELECT not_before::timestamptz FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'unknown' AND origin_timeline >= 0"
		" AND id <> ALL ($1) ORDER BY not_before, id LIMIT 1",
		{INT8ARRAYOID}
	},
	[PNVS_OLDEST_RETAINED] = {
		"SELECT retain_from::timestamptz FROM ONLY %1$s WHERE settled_at IS NOT NULL"
		" AND retain_from >= $1 ORDER BY retain_from LIMIT 1",
		{TIMESTAMPTZOID}
	},
	[PNVS_CLAIMERS] = {
		"SELECT DISTINCT claimer::bigint FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'sending' AND origin_timeline >= 0 AND claimer IS NOT NULL",
		{0}
	},
	[PNVS_SELECT_CLAIMED] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE settled_at IS NULL AND state = 'sending'"
		" AND origin_timeline >= 0 AND claimer = $1",
		{INT8OID}
	},
	/* A row of which only the claim is known: the request may have gone out. */
	[PNVS_INTERRUPT] = {
		"UPDATE ONLY %1$s SET state = 'unknown', claimer = NULL, unknown_since = $2, not_before = $2,"
		" code = 'Local.Interrupted', message = 'the sender ended before the reply came'"
		" WHERE id = ANY (ARRAY(SELECT id FROM ONLY %1$s WHERE id = ANY ($1)"
		" AND origin_database >= '0' FOR NO KEY UPDATE SKIP LOCKED))"
		" AND origin_database >= '0' AND settled_at IS NULL AND state = 'sending'",
		{INT8ARRAYOID, TIMESTAMPTZOID}
	},
	[PNVS_PURGE] = {
		"DELETE FROM ONLY %1$s WHERE origin_database >= '0' AND id = ANY (ARRAY(SELECT id"
		" FROM ONLY %1$s WHERE settled_at IS NOT NULL AND retain_from >= $1 AND retain_from < $2"
		" ORDER BY retain_from LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING retain_from::timestamptz",
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_SELECT_UNKNOWN] = {
		SELECT_ROWS " AND state = 'unknown' AND origin_timeline >= 0"
		" AND not_before <= $1"
		" AND id <> ALL ($3) ORDER BY not_before, id LIMIT $2",
		{TIMESTAMPTZOID, INT8OID, INT8ARRAYOID}
	},

	/*
	 * A record of the number may be of a message that is still being sent.
	 * The state is not written in the way of the index of open rows, here and
	 * below: all rows that are being sent, or were, would be read in it.
	 */
	[PNVS_SELECT_BEING_SENT] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE settled_at IS NULL AND claimer IS NOT NULL"
		" AND recipient = $1 AND service_sid = $2 AND id <> $3 AND origin_timeline >= $4"
		" AND state || '' = 'sending' LIMIT 1",
		{TEXTOID, TEXTOID, INT8OID, INT4OID}
	},

	/* A record of the number may be of any of these. */
	[PNVS_SELECT_SIBLINGS] = {
		SELECT_ROWS " AND unknown_since IS NOT NULL AND recipient = $1"
		" AND service_sid = $2 AND channel = $3 AND state || '' = 'unknown'",
		{TEXTOID, TEXTOID, TEXTOID}
	},
	[PNVS_TAKEN_VERIFICATIONS] = {
		"SELECT verification_id::text FROM ONLY %1$s WHERE verification_id = ANY ($1)"
		" AND origin_timeline >= 0",
		{TEXTARRAYOID}
	},
};

static SPIPlanPtr plans[PNVS_STATEMENT_COUNT];
static Oid	planned_table = InvalidOid;
static char *planned_name = NULL;	/* qualified */

static int	run_plan(PnvsStatementId id, Datum *values, bool read_only);
static SPIPlanPtr plan_of(PnvsStatementId id);
static void forget_plans_of_another_table(void);
pg_noreturn static void raise_null(int column);

/* An array of a type, in the current memory context; nulls can be NULL: there are none. */
Datum
pnvs_array_make(Oid type, Datum *values, bool *nulls, int n)
{
	int			lower_bound = 1;
	int16		len;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &len, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, n > 0 ? 1 : 0, &n, &lower_bound,
											  type, len, by_value, align));
}

Datum
pnvs_array_of_ids(const int64 *ids, int nids)
{
	Datum	   *values = palloc((nids + 1) * sizeof(Datum));

	for (int i = 0; i < nids; i++)
		values[i] = Int64GetDatum(ids[i]);
	return pnvs_array_make(INT8OID, values, NULL, nids);
}

Datum
pnvs_array_of_texts(const char *const *texts, int ntexts)
{
	Datum	   *values = palloc((ntexts + 1) * sizeof(Datum));

	for (int i = 0; i < ntexts; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return pnvs_array_make(TEXTOID, values, NULL, ntexts);
}

/* Runs a statement within a visit and returns the number of rows. */
int
pnvs_table_run(PnvsStatementId id, Datum *values)
{
	return run_plan(id, values, false);
}

/*
 * Runs a query and sees what has been committed by now and what this
 * transaction has done, also if the transaction's own snapshot is older.
 */
int
pnvs_table_read(PnvsStatementId id, Datum *values)
{
	int			nrows;

	PushActiveSnapshot(GetLatestSnapshot());
	nrows = run_plan(id, values, true);
	PopActiveSnapshot();
	return nrows;
}

/* Runs a statement whose first column is an ID; the rows' IDs, and their number. */
int
pnvs_table_run_for_ids(PnvsStatementId id, Datum *values, int64 **ids)
{
	int			nrows = run_plan(id, values, false);

	*ids = palloc((nrows + 1) * sizeof(int64));
	for (int row = 0; row < nrows; row++)
		(*ids)[row] = pnvs_result_int64(row, PNVS_FIRST_COLUMN);
	return nrows;
}

/* Runs a statement whose first column is a time; that of the first row, or DT_NOEND. */
TimestampTz
pnvs_table_run_for_time(PnvsStatementId id, Datum *values)
{
	return run_plan(id, values, false) == 0 ? DT_NOEND : pnvs_result_time(0, PNVS_FIRST_COLUMN);
}

/* A column, counted from 1, of a row, counted from 0, of the last result. */
Datum
pnvs_result_value(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* The same of a column that must not be NULL: an error otherwise. */
Datum
pnvs_result_datum(int row, int column)
{
	bool		isnull;
	Datum		value = pnvs_result_value(row, column, &isnull);

	if (isnull)
		raise_null(column);
	return value;
}

/* The same of a text that may be NULL, copied to the current memory context. */
char *
pnvs_result_optional_text(int row, int column)
{
	bool		isnull;
	Datum		value = pnvs_result_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int
run_plan(PnvsStatementId id, Datum *values, bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result = SPI_execute_plan(plan_of(id), values, NULL, read_only, 0);

	/* SPI leaves its own behind, whatever was there before */
	MemoryContextSwitchTo(caller);
	if (result < 0)
		elog(ERROR, "could not run a statement of the queue: %s",
			 SPI_result_code_string(result));
	return (int) SPI_processed;
}

static SPIPlanPtr
plan_of(PnvsStatementId id)
{
	const Statement *statement = &statements[id];
	int			nparameters = 0;
	SPIPlanPtr	plan;

	forget_plans_of_another_table();
	if (plans[id] != NULL)
		return plans[id];
	while (nparameters < MAX_PARAMETERS && OidIsValid(statement->types[nparameters]))
		nparameters++;
	plan = SPI_prepare(psprintf(statement->text, planned_name), nparameters,
					   (Oid *) statement->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement of the queue: %s",
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	plans[id] = plan;
	return plan;
}

/* The extension may have gone and come back since. */
static void
forget_plans_of_another_table(void)
{
	Oid			table = pnvs_table_oid();
	char	   *schema;
	char	   *relation;

	if (table == planned_table)
		return;
	schema = get_namespace_name(get_rel_namespace(table));
	relation = get_rel_name(table);
	if (schema == NULL || relation == NULL)
		elog(ERROR, "the queue's table has gone");
	for (int i = 0; i < PNVS_STATEMENT_COUNT; i++)
	{
		if (plans[i] != NULL)
			SPI_freeplan(plans[i]);
		plans[i] = NULL;
	}
	planned_table = InvalidOid;
	if (planned_name != NULL)
		pfree(planned_name);
	planned_name = NULL;
	planned_name = MemoryContextStrdup(TopMemoryContext,
									   quote_qualified_identifier(schema, relation));
	planned_table = table;
}

static void
raise_null(int column)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column %d of a row of the queue is NULL", column),
			 errhint("A row of \"pnvs_internal.queue\" was changed by hand, or a NOT NULL was dropped."),
			 pnvs_errhide()));
}
