/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Statements of others that concern the queue.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE, and CREATE DATABASE
 * ... TEMPLATE want a database for themselves and give up when somebody is in it
 * after five seconds.  A worker that waits for the next message would be: so it
 * is asked to leave first, and none is started before the statement has ended, or
 * the transaction block that it is in.
 *
 * COMMIT PREPARED makes rows visible that another session has queued, which
 * nobody has announced, and both it and ROLLBACK PREPARED free rows that another
 * session was taking back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/registry/prepared.h"
#include "queue/registry/registry.h"

/* Longer than a worker takes to leave, shorter than PostgreSQL's own patience. */
#define LEAVE_PATIENCE_US INT64CONST(4500000)
#define LEAVE_CHECK_MS 10

#define DEFAULT_TEMPLATE "template1"

static ProcessUtility_hook_type next_utility = NULL;

static void on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
					   ProcessUtilityContext context, ParamListInfo parameters,
					   QueryEnvironment *environment, DestReceiver *receiver,
					   QueryCompletion *completion);
static bool ends_prepared(Node *statement);
static Oid	wanted_database(Node *statement);
static const char *template_of(CreatedbStmt *statement);
static const char *moved_database(AlterDatabaseStmt *statement);
static bool may_want(Oid database, bool as_template);
static bool is_template(Oid database);
static void wait_for_leave(Oid database);

void
pnvs_utility_init(void)
{
	next_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = on_utility;
}

static void
on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo parameters,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	Node	   *node = statement->utilityStmt;
	bool		frees_rows = pnvs_registry_is_shared() && ends_prepared(node);
	volatile Oid wanted = pnvs_registry_is_shared() ? wanted_database(node) : InvalidOid;

	/*
	 * there PostgreSQL keeps the database locked until the end; elsewhere SET
	 * TABLESPACE commits halfway
	 */
	const bool	in_block = IsInTransactionBlock(context == PROCESS_UTILITY_TOPLEVEL);

	if (OidIsValid(wanted))
		pnvs_registry_keep_out(wanted, in_block);
	PG_TRY();
	{
		if (OidIsValid(wanted))
			wait_for_leave(wanted);
		next_utility(statement, text, read_only_tree, context, parameters, environment,
					 receiver, completion);

		/* before anybody is let in: no worker could be there any longer */
		if (OidIsValid(wanted) && IsA(node, DropdbStmt))
			pnvs_registry_drop(wanted);
	}
	PG_FINALLY();
	{
		if (OidIsValid(wanted) && !in_block)
			pnvs_registry_let_in(wanted);
	}
	PG_END_TRY();

	/* They are due from any time on. */
	if (frees_rows)
		pnvs_registry_wake(DT_NOBEGIN);
}

/*
 * Whether the statement ends a prepared transaction that has to do with the queue.
 * One that prepares a transaction is noted on the way.
 */
static bool
ends_prepared(Node *statement)
{
	const TransactionStmt *transaction;

	if (!IsA(statement, TransactionStmt))
		return false;
	transaction = castNode(TransactionStmt, statement);
	if (transaction->kind == TRANS_STMT_PREPARE)
		pnvs_prepared_note_name(transaction->gid);
	return (transaction->kind == TRANS_STMT_COMMIT_PREPARED ||
			transaction->kind == TRANS_STMT_ROLLBACK_PREPARED) &&
		pnvs_prepared_is_remembered(transaction->gid);
}

/* The database that a statement wants for itself, and may have, or 0. */
static Oid
wanted_database(Node *statement)
{
	const char *name = NULL;
	bool		as_template = false;
	Oid			database;

	if (IsA(statement, DropdbStmt))
		name = castNode(DropdbStmt, statement)->dbname;
	else if (IsA(statement, RenameStmt) &&
			 castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		name = castNode(RenameStmt, statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt))
		name = moved_database(castNode(AlterDatabaseStmt, statement));
	else if (IsA(statement, CreatedbStmt))
	{
		name = template_of(castNode(CreatedbStmt, statement));
		as_template = true;
	}
	if (name == NULL || !IsTransactionState())
		return InvalidOid;
	database = get_database_oid(name, true);
	return OidIsValid(database) && database != MyDatabaseId &&
		may_want(database, as_template) ? database : InvalidOid;
}

static const char *
template_of(CreatedbStmt *statement)
{
	const char *name = DEFAULT_TEMPLATE;
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			name = defGetString(option);
	}
	return name;
}

static const char *
moved_database(AlterDatabaseStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return statement->dbname;
	}
	return NULL;
}

/* Who has no right to the statement must not send a worker away by it. */
static bool
may_want(Oid database, bool as_template)
{
	HeapTuple	role;
	bool		may_create = false;

	if (superuser() || pnvs_owns_database(database, GetUserId()))
		return true;
	if (!as_template || !is_template(database))
		return false;
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(role))
	{
		may_create = ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return may_create;
}

/* Whether who may create databases may copy it. */
static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return result;
}

static void
wait_for_leave(Oid database)
{
	static uint32 wait_event = 0;
	int64		end_us = pnvs_monotonic_us() + LEAVE_PATIENCE_US;

	pnvs_name_wait_event(&wait_event, "PnvsWorkerLeave");
	while (pnvs_registry_is_present(database) && pnvs_monotonic_us() < end_us)
	{
		CHECK_FOR_INTERRUPTS();
		pnvs_wait_latch(LEAVE_CHECK_MS, wait_event);
	}
}
