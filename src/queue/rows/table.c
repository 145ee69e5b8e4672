/*-------------------------------------------------------------------------
 *
 * table.c
 *	  The queue's table: where it is, and whether it is as it was made.
 *
 * The table stands in a schema of the extension's own, and is taken for ours only
 * if it is a member of the extension: a worker sends what it finds there, on the
 * server's account.
 *
 * Its owner need not be a superuser and can alter it.  Nothing that somebody has
 * put on it may run in a transaction of pnvs's, which can be a superuser's session
 * or the worker: so a table that is not as the install script made it is an error,
 * and neither read nor written.  That is looked at once for each time that
 * PostgreSQL says the table has changed, under a lock that keeps it as it is.
 *
 * Statements are run as the table's owner, whoever calls: callers have no
 * privilege on the table, and row security does not bind its owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/prs2lock.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/rows/table.h"

#define SCHEMA_NAME "pnvs_internal"
#define TABLE_NAME "queue"
#define SEQUENCE_NAME "queue_id_seq"

typedef struct Column
{
	const char *name;
	Oid			type;
	bool		not_null;
} Column;

static const Column columns[PNVS_COLUMN_COUNT] = {
	{"id", INT8OID, true},
	{"channel", TEXTOID, true},
	{"recipient", TEXTOID, true},
	{"service_sid", TEXTOID, true},
	{"state", TEXTOID, true},
	{"not_before", TIMESTAMPTZOID, true},
	{"send_before", TIMESTAMPTZOID, true},
	{"attempts", INT4OID, true},
	{"created_at", TIMESTAMPTZOID, true},
	{"settled_at", TIMESTAMPTZOID, false},
	{"requested_by", OIDOID, true},
	{"reference", TEXTOID, false},
	{"dedup_key", TEXTOID, false},
	{"request_id", TEXTOID, false},
	{"verification_id", TEXTOID, false},
	{"status", TEXTOID, false},
	{"code", TEXTOID, false},
	{"message", TEXTOID, false},
	{"http_status", INT4OID, false},
	{"claimer", INT8OID, false},
	{"dispatched_at", TIMESTAMPTZOID, false},
	{"unknown_since", TIMESTAMPTZOID, false},
	{"retain_from", TIMESTAMPTZOID, true},
	{"origin_system", INT8OID, true},
	{"origin_database", OIDOID, true},
	{"origin_timeline", INT4OID, true},
};

typedef struct Pin
{
	const char *name;
	const char *value;
} Pin;

/*
 * For every statement, whatever is set for the server, the database or the role.
 * Values are as GetConfigOption() has them.
 */
static const Pin pinned[] = {
	{"search_path", "pg_catalog, pg_temp"},
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
	{"enable_sort", "on"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"max_parallel_workers_per_gather", "0"},
	{"seq_page_cost", "1"},
	{"random_page_cost", "4"},
	{"cpu_tuple_cost", "0.01"},
	{"cpu_index_tuple_cost", "0.005"},
	{"cpu_operator_cost", "0.0025"},
	{"effective_cache_size", "524288"},

	/* they would log the parameters, numbers and keys among them */
	{"auto_explain.log_min_duration", "-1"},
	{"pgaudit.log_parameter", "off"},
};

/* For the worker and the procedure, which nobody could tell to go on. */
static const Pin unattended[] = {
	{"lock_timeout", "1000"},
	{"statement_timeout", "0"},
};

/* The table that was found to be as it was made, until it changes. */
static Oid	checked = InvalidOid;
static Oid	looked_at = InvalidOid; /* since its last change; perhaps halfway */
static bool referenced = false; /* by a foreign key */

static void enter(PnvsTableVisit *visit);
static void pin(const Pin *pin, int action);
static Oid	find_member(const char *name, Oid *known);
static void on_change(Datum arg, Oid relation);
static const char *find_alteration(Relation table);
static const char *find_column_alteration(Relation table);
static const char *find_trigger(Relation table);
static const char *find_foreign_index(Relation table);
static bool is_foreign_constraint(Relation index);
static Node *predicate_of(Relation index);
static bool is_foreign_function(Oid function, void *context);
static bool has_foreign_function(Node *node, void *context);

/*
 * The table's OID, or 0 where the extension is not in this database.  To be
 * called in a transaction.
 */
Oid
pnvs_table_oid(void)
{
	static Oid	known = InvalidOid;

	return find_member(TABLE_NAME, &known);
}

/* The sequence that gives the table's IDs; the table is there. */
Oid
pnvs_table_sequence(void)
{
	static Oid	known = InvalidOid;
	Oid			sequence = find_member(SEQUENCE_NAME, &known);

	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the sequence \"pnvs_internal.queue_id_seq\" is missing"),
				 errhint("Drop the extension pnvs and create it again."),
				 pnvs_errhide()));
	return sequence;
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

/* Opens and locks the table, which is as it was made; the lock stays. */
Relation
pnvs_table_open(LOCKMODE mode)
{
	Oid			table = pnvs_table_oid();

	if (!OidIsValid(table))
		(void) pnvs_table_owner();
	LockRelationOid(table, mode);
	pnvs_table_check(table);
	return table_open(table, NoLock);
}

/* Throws where the table, which the caller has locked, is not as it was made. */
void
pnvs_table_check(Oid table)
{
	static bool registered = false;
	Relation	relation;
	const char *alteration;

	if (table == checked)
		return;
	if (!registered)
		CacheRegisterRelcacheCallback(on_change, (Datum) 0);
	registered = true;
	relation = table_open(table, NoLock);
	looked_at = table;
	alteration = find_alteration(relation);
	table_close(relation, NoLock);
	if (alteration == NULL)
	{
		/* none, if the look has let us know of another change */
		checked = looked_at;
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the table \"pnvs_internal.queue\" is not as pnvs made it"),
			 errdetail("%s", alteration),
			 errhint("Undo the change. React to NOTIFY, or read verification_queue, instead of adding to the table."),
			 pnvs_errhide()));
}

/* Whether a foreign key refers to the table, which was checked. */
bool
pnvs_table_is_referenced(void)
{
	return referenced;
}

/*
 * Begins a visit of a session's, under a lock on the table that stays.  Within it
 * statements have the same plans in every session.
 */
void
pnvs_table_enter(PnvsTableVisit *visit, LOCKMODE mode)
{
	table_close(pnvs_table_open(mode), NoLock);
	enter(visit);
}

/* Begins a visit of a sender's, who has locked the table. */
void
pnvs_table_enter_unattended(PnvsTableVisit *visit)
{
	pnvs_table_check(pnvs_table_oid());
	enter(visit);
	for (size_t i = 0; i < lengthof(unattended); i++)
		pin(&unattended[i], GUC_ACTION_SAVE);
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

/* Pins for good what a sender's visits pin, which then find it as it should be. */
void
pnvs_table_pin_settings(void)
{
	for (size_t i = 0; i < lengthof(unattended); i++)
		pin(&unattended[i], GUC_ACTION_SET);
	for (size_t i = 0; i < lengthof(pinned); i++)
		pin(&pinned[i], GUC_ACTION_SET);
}

static void
enter(PnvsTableVisit *visit)
{
	Oid			owner = pnvs_table_owner();

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	GetUserIdAndSecContext(&visit->user, &visit->security_context);
	SetUserIdAndSecContext(owner, visit->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	visit->guc_level = NewGUCNestLevel();
	for (size_t i = 0; i < lengthof(pinned); i++)
		pin(&pinned[i], GUC_ACTION_SAVE);

	/* SPI wants one around; each statement still takes its own */
	visit->snapshot_pushed = !ActiveSnapshotSet();
	if (visit->snapshot_pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
}

/* Settings of other extensions are there only with their libraries. */
static void
pin(const Pin *pin, int action)
{
	const char *value = GetConfigOption(pin->name, true, false);

	if (value == NULL || strcmp(value, pin->value) == 0)
		return;
	(void) set_config_option(pin->name, pin->value, PGC_SUSET, PGC_S_SESSION,
							 (GucAction) action, true, 0, false);
}

/*
 * A relation of our schema that is a member of the extension, or 0.  Statements name it,
 * so it is looked up each time: renamed, it leaves its name to another one.
 */
static Oid
find_member(const char *name, Oid *known)
{
	Oid			schema = get_namespace_oid(SCHEMA_NAME, true);
	Oid			relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	Oid			extension;

	if (!OidIsValid(relation) || relation == *known)
		return relation;
	extension = get_extension_oid("pnvs", true);
	if (!OidIsValid(extension) ||
		getExtensionOfObject(RelationRelationId, relation) != extension)
		return InvalidOid;
	*known = relation;
	return relation;
}

static void
on_change(Datum arg, Oid relation)
{
	if (relation == looked_at || !OidIsValid(relation))
		looked_at = checked = InvalidOid;
}

/* What is not as it was made, as a sentence, or NULL. */
static const char *
find_alteration(Relation table)
{
	const char *found;

	if (table->rd_rel->relkind != RELKIND_RELATION ||
		table->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return "It is no permanent table.";
	if (table->rd_rel->relispartition || has_superclass(RelationGetRelid(table)) ||
		(table->rd_rel->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(table), NoLock) != NIL))
		return "It has a parent, children or partitions.";
	if (pnvs_table_oid() != RelationGetRelid(table))
		return "It has another name.";
	/* the planner would evaluate their expressions */
	if (RelationGetStatExtList(table) != NIL)
		return "It has extended statistics.";
	/* relhasrules stays true for a while after the last has gone */
	if (table->rd_rules != NULL && table->rd_rules->numLocks > 0)
		return "It has rules.";
	found = find_column_alteration(table);
	if (found == NULL)
		found = find_trigger(table);
	if (found == NULL)
		found = find_foreign_index(table);
	return found;
}

static const char *
find_column_alteration(Relation table)
{
	TupleDesc	descriptor = RelationGetDescr(table);

	if (descriptor->natts < PNVS_COLUMN_COUNT)
		return "It has another number of columns.";
	/* a column that somebody has added and dropped again keeps its place */
	for (int i = PNVS_COLUMN_COUNT; i < descriptor->natts; i++)
	{
		if (!TupleDescAttr(descriptor, i)->attisdropped)
			return "It has another number of columns.";
	}
	if (descriptor->constr != NULL &&
		(descriptor->constr->num_check > 0 || descriptor->constr->num_defval > 0))
		return "It has a check, a default or a generated column.";
	for (int i = 0; i < PNVS_COLUMN_COUNT; i++)
	{
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (column->attisdropped || strcmp(NameStr(column->attname), columns[i].name) != 0)
			return psprintf("The column \"%s\" is missing.", columns[i].name);
		if (column->atttypid != columns[i].type || column->atttypmod != -1 ||
			column->attcollation != get_typcollation(columns[i].type))
			return psprintf("The column \"%s\" has another type.", columns[i].name);
		if (column->attnotnull != columns[i].not_null || column->attidentity != '\0')
			return psprintf("The column \"%s\" has lost or gained NOT NULL, or is an identity.",
							columns[i].name);
	}
	return NULL;
}

/*
 * Triggers, but for those of foreign keys that refer to the table.  PostgreSQL's
 * own code fires these only where a row is deleted or its key changes, and pnvs
 * does neither then.
 */
static const char *
find_trigger(Relation table)
{
	referenced = false;
	for (int i = 0; table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &table->trigdesc->triggers[i];

		if (!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK)
			return "It has triggers.";
		referenced = true;
	}
	return NULL;
}

/* An index that would run somebody's function for each row, or refuse some. */
static const char *
find_foreign_index(Relation table)
{
	List	   *indexes = RelationGetIndexList(table);
	const char *found = NULL;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
			has_foreign_function(predicate_of(index), NULL))
			found = "It has an index on an expression, or with a function or a domain.";
		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		{
			if (is_foreign_function(index->rd_opfamily[i], NULL))
				found = "It has an index with operators that are not PostgreSQL's own.";
		}
		if (is_foreign_constraint(index))
			found = "It has a unique index or an exclusion constraint that is not pnvs's.";
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/*
 * Whether an index refuses rows by what somebody has written in them: its error would
 * show that, a number say, in the log.
 */
static bool
is_foreign_constraint(Relation index)
{
	const Form_pg_index form = index->rd_index;
	bool		shows_text = false;

	for (int i = 0; i < form->indnkeyatts; i++)
	{
		int			column = form->indkey.values[i];

		if (column == PNVS_COLUMN_ID)
			return form->indisexclusion;
		shows_text = shows_text || (column > 0 && columns[column - 1].type == TEXTOID &&
									column != PNVS_COLUMN_STATE);
	}
	return form->indisexclusion || (form->indisunique && shows_text);
}

/* As it is stored: PostgreSQL's own reader would evaluate what is constant in it. */
static Node *
predicate_of(Relation index)
{
	bool		isnull;
	Datum		predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
											Anum_pg_index_indpred, &isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(predicate));
}

/* Whether an object is not one that PostgreSQL came with. */
static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
has_foreign_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	/* the checks of a domain are no functions of the node's */
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, has_foreign_function, context);
}
