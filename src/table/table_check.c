/*-------------------------------------------------------------------------
 *
 * table_check.c
 *	  Checks that a table of the extension is as the install script made it.
 *
 * Its owner need not be a superuser and can alter it.  Nothing that somebody has
 * put on it may run in a transaction of pnvs's, which can be a superuser's session
 * or the worker: so an altered table is an error, and neither read nor written.  A
 * table is checked once after each change that PostgreSQL tells of, under a lock that
 * keeps it as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "errcodes.h"
#include "table/index_entries.h"
#include "table/table.h"

/* A table that changes during each of so many looks is refused. */
#define MAX_LOOKS 10

/* The tables that were checked, the last first. */
static PnvsTable *checked = NULL;

static void on_change(Datum arg, Oid relation);
static void on_schema_change(Datum arg, PNVS_SYSCACHE_ID cache, uint32 hash);
static void keep(PnvsTable *table);
static const char *find_alteration(PnvsTable *table, Relation relation);
static const char *find_column_alteration(const PnvsTable *table, TupleDesc descriptor);
static const char *find_trigger(PnvsTable *table, const TriggerDesc *triggers);
static const char *find_foreign_index(PnvsTable *table, Relation relation);
static void note_index(PnvsTable *table, Relation index);
static bool holds_all(const PnvsTable *table, Relation index, int column);
static Expr *is_not_negative(const PnvsTable *table, int column);
static Node *column_of(const PnvsTable *table, int column);
static bool is_foreign_constraint(const PnvsTable *table, Relation index);
static Node *predicate_of(Relation index);
static bool is_foreign_function(Oid function, void *context);
static bool has_foreign_function(Node *node, void *context);

/* Throws if the relation, which the caller has locked, is not the table as it was made. */
void
pnvs_table_check(PnvsTable *table, Oid oid)
{
	Relation	relation;
	const char *alteration = NULL;

	if (oid == table->passed)
		return;
	keep(table);
	relation = table_open(oid, NoLock);
	table->passed = table->begun = InvalidOid;
	table->schema_hash = GetSysCacheHashValue1(NAMESPACEOID,
											   ObjectIdGetDatum(RelationGetNamespace(relation)));
	for (int i = 0; i < MAX_LOOKS && alteration == NULL && table->begun != oid; i++)
	{
		/* while it waits for a lock the owner can make another change */
		table->begun = oid;
		alteration = find_alteration(table, relation);
	}
	table_close(relation, NoLock);
	if (alteration == NULL && table->begun != oid)
		alteration = "It is changed again and again.";
	if (alteration != NULL)
		pnvs_table_refuse(table, alteration);
	table->passed = oid;
}

/* Says that the table is altered; alteration: a sentence. */
void
pnvs_table_refuse(const PnvsTable *table, const char *alteration)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the table \"%s\" is not as pnvs made it",
					psprintf("%s.%s", PNVS_TABLE_SCHEMA, table->name)),
			 errdetail("%s", alteration),
			 errhint("%s", table->hint),
			 pnvs_errhide()));
}

/* Whether a foreign key refers to the table, which has passed. */
bool
pnvs_table_is_referenced(const PnvsTable *table)
{
	return table->referenced;
}

/* Lets the table know of its changes from now on. */
static void
keep(PnvsTable *table)
{
	if (table->is_kept)
		return;
	if (checked == NULL)
	{
		CacheRegisterRelcacheCallback(on_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, (Datum) 0);
	}
	table->next = checked;
	table->is_kept = true;
	checked = table;
}

/* A callback of the relation cache. */
static void
on_change(Datum arg, Oid relation)
{
	for (PnvsTable *table = checked; table != NULL; table = table->next)
	{
		if (relation == table->begun || !OidIsValid(relation))
			table->begun = table->passed = InvalidOid;
	}
}

/* A callback of the cache of schemas: a table has another name if its schema has. */
static void
on_schema_change(Datum arg, PNVS_SYSCACHE_ID cache, uint32 hash)
{
	for (PnvsTable *table = checked; table != NULL; table = table->next)
	{
		if (hash == table->schema_hash || hash == 0)
			table->begun = table->passed = InvalidOid;
	}
}

/* An alteration of the table, as a sentence, or NULL. */
static const char *
find_alteration(PnvsTable *table, Relation relation)
{
	const char *found;

	if (relation->rd_rel->relkind != RELKIND_RELATION ||
		relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return "It is no permanent table.";
	if (relation->rd_rel->relispartition || has_superclass(RelationGetRelid(relation)) ||
		(relation->rd_rel->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(relation), NoLock) != NIL))
		return "It has a parent, children or partitions.";
	if (pnvs_table_oid(table) != RelationGetRelid(relation))
		return "It has another name.";
	/* the planner would evaluate their expressions */
	if (RelationGetStatExtList(relation) != NIL)
		return "It has extended statistics.";
	/* relhasrules stays true for a while after the last rule was dropped */
	if (relation->rd_rules != NULL && relation->rd_rules->numLocks > 0)
		return "It has rules.";
	found = find_column_alteration(table, RelationGetDescr(relation));
	if (found == NULL)
		found = find_trigger(table, relation->trigdesc);
	if (found == NULL)
		found = find_foreign_index(table, relation);
	return found;
}

static const char *
find_column_alteration(const PnvsTable *table, TupleDesc descriptor)
{
	if (descriptor->natts < table->ncolumns)
		return "It has another number of columns.";
	/* a column that somebody has added and dropped again keeps its place */
	for (int i = table->ncolumns; i < descriptor->natts; i++)
	{
		if (!TupleDescAttr(descriptor, i)->attisdropped)
			return "It has another number of columns.";
	}
	if (descriptor->constr != NULL &&
		(descriptor->constr->num_check > 0 || descriptor->constr->num_defval > 0))
		return "It has a check, a default or a generated column.";
	for (int i = 0; i < table->ncolumns; i++)
	{
		const PnvsTableColumn *made = &table->columns[i];
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (column->attisdropped || strcmp(NameStr(column->attname), made->name) != 0)
			return psprintf("The column \"%s\" is missing.", made->name);
		if (column->atttypid != made->type || column->atttypmod != -1 ||
			column->attcollation != get_typcollation(made->type))
			return psprintf("The column \"%s\" has another type.", made->name);
		if (column->attnotnull != made->not_null || column->attidentity != '\0')
			return psprintf("The column \"%s\" has lost or gained NOT NULL, or is an identity.",
							made->name);
	}
	return NULL;
}

/*
 * Triggers, except those of foreign keys that refer to the table.  PostgreSQL's
 * own code fires these only if a row is deleted or its key changes, and pnvs
 * does neither as long as there is a foreign key.
 */
static const char *
find_trigger(PnvsTable *table, const TriggerDesc *triggers)
{
	table->referenced = false;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK)
			return "It has triggers.";
		table->referenced = true;
	}
	return NULL;
}

/*
 * An index that would run somebody's function for each row, or refuse rows.  What an index
 * runs is prepared only when the index was looked at: another may appear meanwhile.  All
 * stay locked: otherwise the planner could wait for them, after the check.
 */
static const char *
find_foreign_index(PnvsTable *table, Relation relation)
{
	List	   *indexes = RelationGetIndexList(relation);
	const char *found = NULL;
	ListCell   *cell;

	memset(table->indexes, 0, sizeof(table->indexes));
	pnvs_index_entries_begin(table, list_length(indexes));
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
		if (is_foreign_constraint(table, index))
			found = "It has a unique index or an exclusion constraint that is not pnvs's.";
		if (found == NULL)
		{
			note_index(table, index);
			pnvs_index_entries_add(table, index);
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
	return found;
}

/* Notes an index by whose first column rows are found, as the table's own are. */
static void
note_index(PnvsTable *table, Relation index)
{
	int			column = index->rd_index->indkey.values[0];
	Oid			type;

	if (column <= 0 || column > table->ncolumns || OidIsValid(table->indexes[column - 1]))
		return;
	type = table->columns[column - 1].type;
	if (index->rd_index->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
		index->rd_opfamily[0] == lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf &&
		index->rd_indcollation[0] == get_typcollation(type) && holds_all(table, index, column))
		table->indexes[column - 1] = RelationGetRelid(index);
}

/* Whether an index has all rows with a value in a column. */
static bool
holds_all(const PnvsTable *table, Relation index, int column)
{
	NullTest   *has_value = makeNode(NullTest);
	List	   *known = list_make1(has_value);

	has_value->arg = (Expr *) column_of(table, column);
	has_value->nulltesttype = IS_NOT_NULL;
	has_value->location = -1;
	if (table->not_negative != 0)
		known = lappend(known, is_not_negative(table, table->not_negative));
	/* no OID is negative */
	for (int i = 1; i <= table->ncolumns; i++)
	{
		if (table->columns[i - 1].type == OIDOID && table->columns[i - 1].not_null)
			known = lappend(known, is_not_negative(table, i));
	}
	return predicate_implied_by(RelationGetIndexPredicate(index), known, false);
}

/* A condition on a column of four bytes. */
static Expr *
is_not_negative(const PnvsTable *table, int column)
{
	Oid			type = table->columns[column - 1].type;
	Oid			family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	Const	   *zero = makeConst(type, -1, InvalidOid, sizeof(int32), Int32GetDatum(0), false, true);

	return make_opclause(get_opfamily_member(family, type, type, BTGreaterEqualStrategyNumber),
						 BOOLOID, false, (Expr *) column_of(table, column), (Expr *) zero,
						 InvalidOid, InvalidOid);
}

static Node *
column_of(const PnvsTable *table, int column)
{
	Oid			type = table->columns[column - 1].type;

	return (Node *) makeVar(1, column, type, -1, get_typcollation(type), 0);
}

/*
 * Whether an index refuses rows by a value that somebody has written: its error would
 * show the value, a number for example, in the log.
 */
static bool
is_foreign_constraint(const PnvsTable *table, Relation index)
{
	const Form_pg_index form = index->rd_index;
	bool		shows_text = false;

	for (int i = 0; i < form->indnkeyatts; i++)
	{
		int			column = form->indkey.values[i];

		if (column == PNVS_TABLE_ID_COLUMN)
			return form->indisexclusion;
		shows_text = shows_text || (column > 0 && table->columns[column - 1].type == TEXTOID &&
									strcmp(table->columns[column - 1].name, "state") != 0);
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
