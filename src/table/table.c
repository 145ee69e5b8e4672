/*-------------------------------------------------------------------------
 *
 * table.c
 *	  Finds a table of the extension, and enters it: locked, checked, as its owner.
 *
 * Tables stand in a schema of the extension's own, and are taken for ours only if they
 * are members of the extension: a worker sends what it finds there, on the server's
 * account.
 *
 * Statements are run as the table's owner, whoever calls: callers have no
 * privilege on the table, and row security does not bind its owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "errcodes.h"
#include "table/table.h"

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

	/* each statement has a plan by an index, whatever the statistics say */
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

	/* these would log the parameters, numbers and keys among them */
	{"auto_explain.log_min_duration", "-1"},
	{"pgaudit.log_parameter", "off"},
};

/* A value has the same text in each session. */
static const Pin texts[] = {
	{"bytea_output", "hex"},
	{"DateStyle", "ISO, MDY"},
	{"extra_float_digits", "1"},
	{"IntervalStyle", "postgres"},
	{"quote_all_identifiers", "off"},
	{"TimeZone", "GMT"},
};

/* For the worker and the procedure, which nobody watches. */
static const Pin unattended[] = {
	{"lock_timeout", "1000"},
	{"statement_timeout", "0"},
};

static Relation open_checked(PnvsTable *table, Oid relation, LOCKMODE mode);
static void enter(PnvsTable *table, PnvsTableVisit *visit);
static void pin_all(const Pin *pins, size_t npins, int action);
static void pin(const Pin *pin, int action);

/*
 * The table's OID, or 0 if the extension is not in this database.  To be
 * called in a transaction.
 */
Oid
pnvs_table_oid(PnvsTable *table)
{
	return pnvs_table_find_member(table->name, &table->known);
}

/*
 * The same for rows: the table that was checked, as long as neither it nor its schema has
 * changed.  Statements go by the name, and so by pnvs_table_oid().
 */
Oid
pnvs_table_checked_oid(PnvsTable *table)
{
	return OidIsValid(table->passed) ? table->passed : pnvs_table_oid(table);
}

/*
 * A relation of our schema that is a member of the extension, or 0; known: the last one, or
 * 0.  Statements use its name, so the name is looked up each time: another relation may have
 * it by now.
 */
Oid
pnvs_table_find_member(const char *name, Oid *known)
{
	Oid			schema = get_namespace_oid(PNVS_TABLE_SCHEMA, true);
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

/* The role that the table belongs to. */
Oid
pnvs_table_owner(PnvsTable *table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(pnvs_table_oid(table)));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the extension pnvs is not in this database"),
				 errhint("Create it by CREATE EXTENSION."),
				 pnvs_errhide()));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Whether a role may see a requester's rows: they are its own, or it has the owner's rights. */
bool
pnvs_table_may_see(PnvsTable *table, Oid role, Oid requester)
{
	return role == requester || has_privs_of_role(role, pnvs_table_owner(table));
}

/* Whether a row with these marks of its origin was written in this database. */
bool
pnvs_table_is_own_origin(int64 system, Oid database)
{
	return system == (int64) GetSystemIdentifier() && database == MyDatabaseId;
}

/* Opens and locks the table, which is as it was made, for its rows; the lock stays. */
Relation
pnvs_table_open(PnvsTable *table, LOCKMODE mode)
{
	return open_checked(table, pnvs_table_checked_oid(table), mode);
}

/* Begins a visit of a session, under a lock on the table that stays. */
void
pnvs_table_enter(PnvsTable *table, PnvsTableVisit *visit, LOCKMODE mode)
{
	table_close(open_checked(table, pnvs_table_oid(table), mode), NoLock);
	enter(table, visit);
}

static Relation
open_checked(PnvsTable *table, Oid relation, LOCKMODE mode)
{
	/* not even to read: the snapshot is of now */
	PreventCommandIfParallelMode("functions of pnvs");
	if (!OidIsValid(relation))
		(void) pnvs_table_owner(table);
	LockRelationOid(relation, mode);
	/* whoever held it may have dropped the extension */
	if (pnvs_table_checked_oid(table) != relation)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the extension pnvs was dropped while its table \"%s\" was waited for",
						table->name),
				 errhint("Run the statement again, if the extension was created again."),
				 pnvs_errhide()));
	pnvs_table_check(table, relation);
	return table_open(relation, NoLock);
}

/* Begins a visit of a sender, which has locked the table. */
void
pnvs_table_enter_unattended(PnvsTable *table, PnvsTableVisit *visit)
{
	pnvs_table_check(table, pnvs_table_oid(table));
	enter(table, visit);
	pin_all(unattended, lengthof(unattended), GUC_ACTION_SAVE);
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

/* Pins a sender's settings for the life of the process, so that its visits need not. */
void
pnvs_table_pin_settings(void)
{
	pin_all(unattended, lengthof(unattended), GUC_ACTION_SET);
	pin_all(pinned, lengthof(pinned), GUC_ACTION_SET);
}

/*
 * Pins what the texts of values depend on, until AtEOXact_GUC() ends the level that is
 * returned, or the transaction ends.
 */
int
pnvs_table_pin_texts(void)
{
	int			guc_level = NewGUCNestLevel();

	pin_all(texts, lengthof(texts), GUC_ACTION_SAVE);
	return guc_level;
}

static void
enter(PnvsTable *table, PnvsTableVisit *visit)
{
	Oid			owner = pnvs_table_owner(table);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	GetUserIdAndSecContext(&visit->user, &visit->security_context);
	SetUserIdAndSecContext(owner, visit->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	visit->guc_level = NewGUCNestLevel();
	pin_all(pinned, lengthof(pinned), GUC_ACTION_SAVE);

	/* SPI wants a snapshot around; each statement still takes its own */
	visit->snapshot_pushed = !ActiveSnapshotSet();
	if (visit->snapshot_pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
}

static void
pin_all(const Pin *pins, size_t npins, int action)
{
	for (size_t i = 0; i < npins; i++)
		pin(&pins[i], action);
}

/* Settings of other extensions exist only with their libraries. */
static void
pin(const Pin *pin, int action)
{
	const char *value = GetConfigOption(pin->name, true, false);

	if (value == NULL || strcmp(value, pin->value) == 0)
		return;
	(void) set_config_option(pin->name, pin->value, PGC_SUSET, PGC_S_SESSION,
							 (GucAction) action, true, 0, false);
}
