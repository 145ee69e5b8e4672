/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Watches for statements that need a database without a worker, or end a prepared
 *	  transaction.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE, and CREATE DATABASE
 * ... TEMPLATE need a database without other sessions, and fail if a session stays for
 * five seconds.  So its worker is asked to leave first, and no worker is started until
 * the statement, or its transaction block, has ended.
 *
 * COMMIT PREPARED makes rows visible that no session has announced.  It and ROLLBACK
 * PREPARED also unlock rows that the transaction was canceling.
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
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/registry/registry.h"

/* Longer than a worker takes to leave, shorter than the 5 s of PostgreSQL. */
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
static DefElem *find_option(List *options, const char *name);
static bool may_use(Oid database, bool as_template);
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
	 * in a block PostgreSQL keeps the database locked until its end; outside,
	 * SET TABLESPACE commits halfway
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

		/* before a worker may start again: none is present now */
		if (OidIsValid(wanted) && IsA(node, DropdbStmt))
			pnvs_registry_drop(wanted);
	}
	PG_FINALLY();
	{
		if (OidIsValid(wanted) && !in_block)
			pnvs_registry_let_in(wanted);
	}
	PG_END_TRY();

	/* the rows may be due at any time */
	if (frees_rows)
		pnvs_registry_wake(DT_NOBEGIN);
}

/*
 * Whether the statement ends a prepared transaction that has queued or canceled messages.
 * The name in a PREPARE TRANSACTION is noted on the way.
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

/* The database that a statement needs without a worker, if its user may run it; or 0. */
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
	{
		AlterDatabaseStmt *alter = castNode(AlterDatabaseStmt, statement);

		if (find_option(alter->options, "tablespace") != NULL)
			name = alter->dbname;
	}
	else if (IsA(statement, CreatedbStmt))
	{
		DefElem    *option = find_option(castNode(CreatedbStmt, statement)->options, "template");

		name = option != NULL && option->arg != NULL ? defGetString(option) : DEFAULT_TEMPLATE;
		as_template = true;
	}
	if (name == NULL || !IsTransactionState())
		return InvalidOid;
	database = get_database_oid(name, true);
	return OidIsValid(database) && database != MyDatabaseId &&
		may_use(database, as_template) ? database : InvalidOid;
}

/* The option of that name, or NULL. */
static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* A user without the right to run the statement must not stop a worker by it. */
static bool
may_use(Oid database, bool as_template)
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

/* Whether every user with CREATEDB may copy the database. */
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
