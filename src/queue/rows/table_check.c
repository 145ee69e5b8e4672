/*-------------------------------------------------------------------------
 *
 * table_check.c
 *	  Checks that the queue's table is as the install script made it.
 *
 * Its owner need not be a superuser and can alter it.  Nothing that somebody has
 * put on it may run in a transaction of pnvs's, which can be a superuser's session
 * or the worker: so an altered table is an error, and neither read nor written.  The
 * table is checked once after each change that PostgreSQL tells of, under a lock that
 * keeps it as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/rows/table.h"

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
	{"admission_due", TIMESTAMPTZOID, false},
	{"admission_key", INT8OID, false},
	{"admission_trusted", BOOLOID, false},
};

/* The table that a check has passed, until it changes. */
static Oid	passed = InvalidOid;

/* The table that is being checked, or was, until it changes. */
static Oid	begun = InvalidOid;

/* Whether a foreign key refers to the table. */
static bool referenced = false;

static void on_change(Datum arg, Oid relation);
static const char *find_alteration(Relation table);
static const char *find_column_alteration(Relation table);
static const char *find_trigger(Relation table);
static const char *find_foreign_index(Relation table);
static bool is_foreign_constraint(Relation index);
static Node *predicate_of(Relation index);
static bool is_foreign_function(Oid function, void *context);
static bool has_foreign_function(Node *node, void *context);

/* Throws if the table, which the caller has locked, is not as it was made. */
void
pnvs_table_check(Oid table)
{
	static bool registered = false;
	Relation	relation;
	const char *alteration;

	if (table == passed)
		return;
	if (!registered)
		CacheRegisterRelcacheCallback(on_change, (Datum) 0);
	registered = true;
	relation = table_open(table, NoLock);
	begun = table;
	alteration = find_alteration(relation);
	table_close(relation, NoLock);
	if (alteration == NULL)
	{
		/* the check itself may have let us know of another change */
		passed = begun;
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the table \"pnvs_internal.queue\" is not as pnvs made it"),
			 errdetail("%s", alteration),
			 errhint("Undo the change. React to NOTIFY, or read verification_queue, instead of adding to the table."),
			 pnvs_errhide()));
}

/* Whether a foreign key refers to the table, which has passed. */
bool
pnvs_table_is_referenced(void)
{
	return referenced;
}

/* A callback of the relation cache. */
static void
on_change(Datum arg, Oid relation)
{
	if (relation == begun || !OidIsValid(relation))
		begun = passed = InvalidOid;
}

/* An alteration of the table, as a sentence, or NULL. */
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
	/* relhasrules stays true for a while after the last rule was dropped */
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
 * Triggers, except those of foreign keys that refer to the table.  PostgreSQL's
 * own code fires these only if a row is deleted or its key changes, and pnvs
 * does neither as long as there is a foreign key.
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

/* An index that would run somebody's function for each row, or refuse rows. */
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
 * Whether an index refuses rows by a value that somebody has written: its error would
 * show the value, a number for example, in the log.
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

/* An index's predicate as it is stored: PostgreSQL's reader would evaluate constant parts. */
static Node *
predicate_of(Relation index)
{
	bool		isnull;
	Datum		predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
											Anum_pg_index_indpred, &isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(predicate));
}

/* Whether an object did not come with PostgreSQL. */
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
	/* a domain's checks are not among the functions of the node */
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, has_foreign_function, context);
}
