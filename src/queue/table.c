/*-------------------------------------------------------------------------
 *
 * table.c
 *	  The queue's table: where it is, and how its statements are run.
 *
 * The table stands in the schema that the extension is in, which can change its
 * name, and the extension can move, go and come back.  So each visit looks again,
 * in caches; a statement is prepared anew only when the table's name is another.
 *
 * Statements are run as the table's owner, whoever calls: callers have no
 * privilege on the table, and row security does not bind its owner.  The
 * owner's triggers run with the owner's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/table.h"

#define TABLE_NAME "verification_queue"

/*
 * What is not settled is asked for in a way that the index of open rows does not
 * fit: a row is to be found by its ID, or by its place.  found_by leaves no other
 * way, not even where the planner expects a handful of rows and would look for
 * each of them among ours: there may be a million when the plan is used.
 */
#define SETTLE(found_by) \
	"UPDATE %1$s AS q SET state = u.state, settled_at = u.settled_at," \
	" recipient = coalesce(u.recipient, q.recipient)," \
	" not_before = coalesce(u.not_before, q.not_before)," \
	" request_id = coalesce(u.request_id, q.request_id)," \
	" verification_id = coalesce(u.verification_id, q.verification_id)," \
	" status = coalesce(u.status, q.status)," \
	" http_status = coalesce(u.http_status, q.http_status)," \
	" code = coalesce(u.code, q.code)," \
	" message = CASE WHEN u.code IS NULL THEN q.message ELSE u.message END," \
	" unknown_since = coalesce(u.unknown_since, q.unknown_since), claimer = NULL" \
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)" \
	" AS u(id, was, state, settled_at, recipient, not_before, request_id," \
	" verification_id, status, code, message, http_status, unknown_since, place)" \
	" WHERE " found_by " AND q.state = u.was AND coalesce(q.settled_at, 'infinity') = 'infinity'" \
	" AND (q.claimer IS NULL OR q.claimer = $15)"

#define SETTLE_TYPES \
	{INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, \
	 TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
	 TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIDARRAYOID, INT8OID}

typedef struct Statement
{
	const char *text;			/* %1$s is the table */
	Oid			types[PNVS_MAX_STATEMENT_PARAMETERS];	/* up to a 0 */
} Statement;

static const Statement statements[PNVS_STATEMENT_COUNT] = {
	[PNVS_ENQUEUE] = {
		"INSERT INTO %1$s (channel, recipient, service_sid, not_before, send_before,"
		" created_at, requested_by, reference, dedup_key,"
		" origin_system, origin_database, origin_timeline)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id",
		{TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		REGROLEOID, TEXTOID, TEXTOID, INT8OID, OIDOID, INT4OID}
	},
	[PNVS_FIND_DUPLICATE] = {
		"SELECT id FROM %1$s WHERE requested_by = $1 AND dedup_key = $2 AND created_at > $3"
		" AND state NOT IN ('failed', 'expired', 'canceled') ORDER BY created_at, id LIMIT 1",
		{REGROLEOID, TEXTOID, TIMESTAMPTZOID}
	},
	[PNVS_LOCK_QUEUED] = {
		"SELECT recipient, requested_by, not_before FROM %1$s"
		" WHERE id = $1 AND state = 'queued' FOR UPDATE",
		{INT8OID}
	},
	[PNVS_CANCEL] = {
		"UPDATE %1$s SET state = 'canceled', settled_at = $2, recipient = $3"
		" WHERE id = $1 AND state = 'queued'",
		{INT8OID, TIMESTAMPTZOID, TEXTOID}
	},
	[PNVS_FIND] = {
		"SELECT q, state, settled_at IS NOT NULL, requested_by, verification_id,"
		" service_sid, xmin FROM %1$s q WHERE id = $1",
		{INT8OID}
	},
	/* Texts last: what stands behind one in a row takes longer to find. */
	[PNVS_SELECT_DUE] = {
		"SELECT ctid, id, attempts, not_before, send_before, created_at,"
		" origin_system, origin_database, origin_timeline, channel, recipient, service_sid"
		" FROM %1$s WHERE settled_at IS NULL AND state = 'queued'"
		" AND (not_before, id) > ($1, $2) AND not_before <= $3 AND id <> ALL ($5)"
		" AND origin_timeline >= $6 ORDER BY not_before, id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED",
		{TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT4OID}
	},
	[PNVS_CLAIM] = {
		"UPDATE %1$s SET state = 'sending', attempts = attempts + 1, claimer = $2,"
		" dispatched_at = $3 WHERE ctid = ANY ($1) RETURNING id, ctid",
		{TIDARRAYOID, INT8OID, TIMESTAMPTZOID}
	},

	[PNVS_SETTLE] = {SETTLE("q.id = u.id AND q.id = ANY ($1)"), SETTLE_TYPES},
	/* Rows that nobody has moved are found without an index. */
	[PNVS_SETTLE_IN_PLACE] = {SETTLE("q.ctid = u.place AND q.id + 0 = u.id"), SETTLE_TYPES},
	[PNVS_FIND_UNSETTLED] = {
		"SELECT FROM %1$s WHERE id = ANY ($1) AND claimer = $2"
		" AND state = 'sending' LIMIT 1",
		{INT8ARRAYOID, INT8OID}
	},
	[PNVS_NEXT_QUEUED] = {
		"SELECT not_before FROM %1$s WHERE settled_at IS NULL AND state = 'queued'"
		" AND (not_before, id) > ($1, $2) AND id <> ALL ($3) AND origin_timeline >= $4"
		" ORDER BY not_before, id LIMIT 1",
		{TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT4OID}
	},
	[PNVS_NEXT_UNKNOWN] = {
		"SELECT not_before FROM %1$s WHERE settled_at IS NULL AND state = 'unknown'"
		" AND id <> ALL ($1) ORDER BY not_before, id LIMIT 1",
		{INT8ARRAYOID}
	},
	[PNVS_OLDEST_SETTLED] = {
		"SELECT settled_at FROM %1$s WHERE settled_at IS NOT NULL AND settled_at >= $1"
		" ORDER BY settled_at LIMIT 1",
		{TIMESTAMPTZOID}
	},
	[PNVS_CLAIMERS] = {
		"SELECT DISTINCT claimer FROM %1$s WHERE settled_at IS NULL AND state = 'sending'",
		{0}
	},
	[PNVS_SELECT_CLAIMED] = {
		"SELECT id FROM %1$s WHERE settled_at IS NULL AND state = 'sending' AND claimer = $1",
		{INT8OID}
	},
	/* A row of which only the claim is known: the request may have gone out. */
	[PNVS_INTERRUPT] = {
		"UPDATE %1$s SET state = 'unknown', claimer = NULL, unknown_since = $2, not_before = $2,"
		" code = 'Local.Interrupted', message = 'the sender ended before the reply came'"
		" WHERE id = ANY ($1) AND settled_at IS NULL AND state = 'sending'",
		{INT8ARRAYOID, TIMESTAMPTZOID}
	},
	[PNVS_PURGE] = {
		"DELETE FROM %1$s WHERE id = ANY (ARRAY(SELECT id FROM %1$s"
		" WHERE settled_at IS NOT NULL AND settled_at >= $1 AND settled_at < $2"
		" ORDER BY settled_at LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING settled_at",
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_SELECT_UNKNOWN] = {
		"SELECT id, channel, recipient, service_sid, dispatched_at, unknown_since, not_before"
		" FROM %1$s WHERE settled_at IS NULL AND state = 'unknown' AND not_before <= $1"
		" AND id <> ALL ($3) ORDER BY not_before, id LIMIT $2",
		{TIMESTAMPTZOID, INT8OID, INT8ARRAYOID}
	},
	/* Still under way: what is found for their number may be theirs. */
	[PNVS_SELECT_RIVALS] = {
		"SELECT id FROM %1$s WHERE settled_at IS NULL AND state = 'sending'"
		" AND recipient = $1 AND service_sid = $2 AND id <> $3 AND origin_timeline >= $4 LIMIT 1",
		{TEXTOID, TEXTOID, INT8OID, INT4OID}
	},

	/*
	 * Of the same number: what is found for it may be theirs, too.  The state
	 * is asked for in a way that the index of open rows does not fit, in
	 * which all of unknown fate would be read.
	 */
	[PNVS_SELECT_SIBLINGS] = {
		"SELECT id, dispatched_at, unknown_since, not_before FROM %1$s"
		" WHERE settled_at IS NULL AND unknown_since IS NOT NULL AND recipient = $1"
		" AND service_sid = $2 AND channel = $3 AND state || '' = 'unknown'",
		{TEXTOID, TEXTOID, TEXTOID}
	},
	[PNVS_TAKEN_VERIFICATIONS] = {
		"SELECT verification_id FROM %1$s WHERE verification_id = ANY ($1)",
		{TEXTARRAYOID}
	},
};

typedef struct Pin
{
	const char *name;
	const char *value;
} Pin;

/*
 * For every statement: triggers, and what else the owner has put on the table, run as
 * the owner, and must not find their names where the caller wants them.
 */
static const Pin search_path = {"search_path", "pg_catalog, pg_temp"};

/* For the worker and the procedure, which nobody could tell to go on. */
static const Pin unattended[] = {
	{"lock_timeout", "1s"},
	{"statement_timeout", "0"},
};

/*
 * For every statement but the one that queues, whatever is set for the server, the
 * database or the role.
 */
static const Pin pinned[] = {
	{"session_replication_role", "origin"},
	{"row_security", "on"},
	{"jit", "off"},

	/*
	 * every statement has one good plan, by an index, whatever the statistics
	 * say
	 */
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_indexscan", "on"},
	{"enable_tidscan", "on"},
	{"enable_nestloop", "on"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"max_parallel_workers_per_gather", "0"},
};

/* Prepared for the table of this name. */
static SPIPlanPtr plans[PNVS_STATEMENT_COUNT];
static char *planned_name = NULL;	/* qualified */
static NameData planned_schema;
static NameData planned_relation;

static void enter(PnvsTableVisit *visit, int security);
static void pin(const Pin *pin, int action);
static Oid	find_table(void);
static Oid	find_extension_schema(void);
static SPIPlanPtr plan_of(PnvsStatementId id);
static void forget_plans_of_another_table(void);
static uint64 run_plan(PnvsStatementId id, Datum *values, const char *nulls,
					   bool read_only);

/*
 * The table's OID, or 0 where the extension is not in this database.  To be
 * called in a transaction.
 */
Oid
pnvs_table_oid(void)
{
	static Oid	known = InvalidOid;

	if (!OidIsValid(known) || !OidIsValid(get_rel_namespace(known)))
		known = find_table();
	return known;
}

/* The role that the table belongs to. */
Oid
pnvs_table_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(pnvs_table_oid()));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the extension pnvs is not in this database"),
				 pnvs_errhide()));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Begins a visit for the statement that queues, as fast as that can be. */
void
pnvs_table_enter(PnvsTableVisit *visit)
{
	enter(visit, 0);
}

/* Begins a visit with plans that do not depend on the session's settings. */
void
pnvs_table_enter_pinned(PnvsTableVisit *visit)
{
	enter(visit, 0);
	for (size_t i = 0; i < lengthof(pinned); i++)
		pin(&pinned[i], GUC_ACTION_SAVE);
}

/*
 * Begins a visit in a transaction that is the queue's own, on no session's behalf.
 * Deferred triggers would run at its commit, as whoever the session is, in the
 * worker the bootstrap superuser: here they run at once, as the owner, and
 * PostgreSQL forbids them to defer others in their turn.
 */
void
pnvs_table_enter_alone(PnvsTableVisit *visit)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	enter(visit, SECURITY_RESTRICTED_OPERATION);
	pnvs_table_pin_settings(GUC_ACTION_SAVE);
	all->constraints = NIL;
	all->deferred = false;
	AfterTriggerSetState(all);
}

void
pnvs_table_leave(PnvsTableVisit *visit)
{
	AtEOXact_GUC(true, visit->guc_level);
	if (visit->snapshot_pushed)
		PopActiveSnapshot();
	SetUserIdAndSecContext(visit->user, visit->security_context);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

/* Pins all settings, for the session or for a visit: a GucAction. */
void
pnvs_table_pin_settings(int action)
{
	pin(&search_path, action);
	for (size_t i = 0; i < lengthof(unattended); i++)
		pin(&unattended[i], action);
	for (size_t i = 0; i < lengthof(pinned); i++)
		pin(&pinned[i], action);
}

/* Runs a statement within a visit and returns the number of rows. */
uint64
pnvs_table_run(PnvsStatementId id, Datum *values, const char *nulls)
{
	return run_plan(id, values, nulls, false);
}

/*
 * Runs a query and sees what has been committed by now and what this
 * transaction has done, also where the transaction's own snapshot is older.
 */
uint64
pnvs_table_read(PnvsStatementId id, Datum *values, const char *nulls)
{
	uint64		nrows;

	PushActiveSnapshot(GetLatestSnapshot());
	nrows = run_plan(id, values, nulls, true);
	PopActiveSnapshot();
	return nrows;
}

/* A column, counted from 1, of a row, counted from 0, of the last result. */
Datum
pnvs_table_value(uint64 row, int column, bool *isnull)
{
	bool		ignored;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull ? isnull : &ignored);
}

/* The same of a text, copied to the current memory context; NULL is SQL's. */
char *
pnvs_table_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = pnvs_table_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
enter(PnvsTableVisit *visit, int security)
{
	Oid			owner = pnvs_table_owner();

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	GetUserIdAndSecContext(&visit->user, &visit->security_context);
	SetUserIdAndSecContext(owner, visit->security_context | security |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	visit->guc_level = NewGUCNestLevel();
	pin(&search_path, GUC_ACTION_SAVE);

	/* SPI wants one around; each statement still takes its own */
	visit->snapshot_pushed = !ActiveSnapshotSet();
	if (visit->snapshot_pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	forget_plans_of_another_table();
}

static void
pin(const Pin *pin, int action)
{
	(void) set_config_option(pin->name, pin->value, PGC_SUSET, PGC_S_SESSION,
							 (GucAction) action, true, 0, false);
}

static Oid
find_table(void)
{
	Oid			schema = find_extension_schema();

	return OidIsValid(schema) ? get_relname_relid(TABLE_NAME, schema) : InvalidOid;
}

static Oid
find_extension_schema(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pnvs"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return schema;
}

static SPIPlanPtr
plan_of(PnvsStatementId id)
{
	const Statement *statement = &statements[id];
	int			nparameters = 0;
	SPIPlanPtr	plan;

	if (plans[id] != NULL)
		return plans[id];
	while (nparameters < PNVS_MAX_STATEMENT_PARAMETERS &&
		   OidIsValid(statement->types[nparameters]))
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

static void
forget_plans_of_another_table(void)
{
	Oid			table = pnvs_table_oid();
	char	   *schema = get_namespace_name(get_rel_namespace(table));
	char	   *relation = get_rel_name(table);

	if (schema == NULL || relation == NULL)
		elog(ERROR, "the queue's table has gone");
	if (planned_name != NULL && namestrcmp(&planned_schema, schema) == 0 &&
		namestrcmp(&planned_relation, relation) == 0)
		return;
	for (int i = 0; i < PNVS_STATEMENT_COUNT; i++)
	{
		if (plans[i] != NULL)
			SPI_freeplan(plans[i]);
		plans[i] = NULL;
	}
	if (planned_name != NULL)
		pfree(planned_name);
	planned_name = NULL;
	planned_name = MemoryContextStrdup(TopMemoryContext,
									   quote_qualified_identifier(schema, relation));
	namestrcpy(&planned_schema, schema);
	namestrcpy(&planned_relation, relation);
}

static uint64
run_plan(PnvsStatementId id, Datum *values, const char *nulls, bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result = SPI_execute_plan(plan_of(id), values, nulls, read_only, 0);

	/* SPI leaves its own behind, whatever was there before */
	MemoryContextSwitchTo(caller);
	if (result < 0)
		elog(ERROR, "could not run a statement of the queue: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}
