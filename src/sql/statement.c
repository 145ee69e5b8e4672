/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Which execution of which statement is calling.
 *
 * A function's call frame does not tell.  What it has is the memory context
 * that the expression was prepared in.  In a statement that the executor runs,
 * that is the executor state's own.  In a utility statement that computes rows
 * itself (COPY, ALTER TABLE), it is the context that the statement was called in,
 * or one below it.  But PL/pgSQL prepares a simple expression such as
 *
 *	   row := start_verification(...);
 *
 * once for a whole transaction and evaluates it anew each time that the line is
 * reached.  There the per-tuple context, which PL/pgSQL resets after each
 * evaluation, lives as long as the execution.  The cases are told apart by
 * following which statement is the running one.  A row that somebody else
 * has changed meanwhile is checked again in an executor state of its own, whose
 * context is a child of the running one's.
 *
 * A rule makes several executions of one statement.  They have the portal that
 * runs the statement in common, or, inside a function, the call of SPI, and so
 * what a statement keeps hangs on the context of that.  A portal runs nothing
 * but one statement.  A call of SPI can run several ("EXECUTE 'a; b'"): each has
 * one execution at the most that sets the command's tag, and another one of that
 * kind is another statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "compat.h"
#include "settings.h"
#include "sql/statement.h"

/* An execution under way, on the stack of the hook that follows it. */
typedef struct Execution
{
	MemoryContext root;			/* what it computes is prepared there or
								 * below; or NULL */
	bool		by_executor;
	uint64		number;			/* of those that set a tag; 0: of a rule's
								 * others */
} Execution;

/* The innermost one, or NULL. */
static const Execution *running = NULL;

static uint64 last_number = 0;

/* Of the run that ended last; ExecutorFinish() goes on with that one. */
static uint64 ended_number = 0;

/* The client's statement that loaded the library: it is not followed. */
static TimestampTz loaded_by = 0;

static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;
static ProcessUtility_hook_type next_utility = NULL;

static void follow_run(PNVS_EXECUTOR_RUN_ARGS);
static void follow_finish(QueryDesc *query);
static void follow_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
						   ProcessUtilityContext context, ParamListInfo parameters,
						   QueryEnvironment *environment, DestReceiver *receiver,
						   QueryCompletion *completion);
static Execution of_query(const QueryDesc *query, uint64 number);
static bool is_within(MemoryContext context, MemoryContext root);
static bool is_of_statement(MemoryContext context);
static bool is_call_of_spi(MemoryContext context);

/* Begins to follow the executor.  Called once, when the library is loaded. */
void
pnvs_statement_init(void)
{
	loaded_by = GetCurrentStatementStartTimestamp();
	next_run = ExecutorRun_hook ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = follow_run;
	next_finish = ExecutorFinish_hook ? ExecutorFinish_hook : standard_ExecutorFinish;
	ExecutorFinish_hook = follow_finish;
	next_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = follow_utility;
}

/*
 * Finds the statement that the caller belongs to; false where it is no part of
 * one.  What hangs on its context lasts as long as the statement or longer: where
 * its number is another one than before, and neither is 0, it is another one.
 */
bool
pnvs_statement_find(FunctionCallInfo fcinfo, PnvsStatement *statement)
{
	MemoryContext prepared = fcinfo->flinfo ? fcinfo->flinfo->fn_mcxt : NULL;

	if (prepared == NULL)
		return false;
	statement->number = 0;
	statement->context = prepared;
	if (running && running->root && is_within(prepared, running->root))
	{
		statement->context = running->root;
		if (running->by_executor && is_of_statement(MemoryContextGetParent(running->root)))
			statement->context = MemoryContextGetParent(running->root);
		if (is_call_of_spi(statement->context))
			statement->number = running->number;
		return true;
	}
	if (MemoryContextGetParent(CurrentMemoryContext) == prepared)
	{
		statement->context = CurrentMemoryContext;
		return true;
	}

	/*
	 * COPY, ALTER TABLE and a row of VALUES prepare what they compute when
	 * they are running already.  That may have loaded the library, so the
	 * statement is not followed.
	 */
	if (loaded_by == 0 || loaded_by != GetCurrentStatementStartTimestamp())
		return false;
	while (statement->context && !is_of_statement(statement->context))
		statement->context = MemoryContextGetParent(statement->context);
	return statement->context != NULL;
}

static void
follow_run(PNVS_EXECUTOR_RUN_ARGS)
{
	const Execution *outer = running;
	Execution	execution = of_query(query, query->plannedstmt->canSetTag ? ++last_number : 0);
	ErrorContextCallback hide = {error_context_stack, pnvs_settings_hide_statement, NULL};

	error_context_stack = &hide;
	running = &execution;
	PG_TRY();
	{
		next_run(PNVS_EXECUTOR_RUN_PASS);
	}
	PG_FINALLY();
	{
		ended_number = execution.number;
		running = outer;
	}
	PG_END_TRY();
	error_context_stack = hide.previous;
}

/* A data-modifying WITH that nobody reads is run here. */
static void
follow_finish(QueryDesc *query)
{
	const Execution *outer = running;
	Execution	execution = of_query(query, ended_number);

	running = &execution;
	PG_TRY();
	{
		next_finish(query);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
}

/*
 * DO computes nothing itself, but the expressions of its code are prepared below
 * the context that it was called in.
 */
static void
follow_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
			   ProcessUtilityContext context, ParamListInfo parameters,
			   QueryEnvironment *environment, DestReceiver *receiver,
			   QueryCompletion *completion)
{
	const Execution *outer = running;
	Execution	execution = {0};
	ErrorContextCallback hide = {error_context_stack, pnvs_settings_hide_statement,
	statement->utilityStmt};

	error_context_stack = &hide;
	pnvs_settings_in_alter_system = IsA(statement->utilityStmt, AlterSystemStmt);
	if (is_of_statement(CurrentMemoryContext) && !IsA(statement->utilityStmt, DoStmt))
		execution.root = CurrentMemoryContext;
	if (context != PROCESS_UTILITY_SUBCOMMAND)
	{
		execution.number = ++last_number;
		running = &execution;
	}
	PG_TRY();
	{
		next_utility(statement, text, read_only_tree, context, parameters, environment,
					 receiver, completion);
	}
	PG_FINALLY();
	{
		running = outer;
		pnvs_settings_in_alter_system = false;
	}
	PG_END_TRY();
	error_context_stack = hide.previous;
}

static Execution
of_query(const QueryDesc *query, uint64 number)
{
	Execution	execution = {0};

	execution.root = query->estate->es_query_cxt;
	execution.by_executor = true;
	execution.number = number;
	return execution;
}

static bool
is_within(MemoryContext context, MemoryContext root)
{
	while (context != NULL && context != root)
		context = MemoryContextGetParent(context);
	return context != NULL;
}

/* Whether a context goes with the run of a portal or with a call of SPI. */
static bool
is_of_statement(MemoryContext context)
{
	return context != NULL && (context == PortalContext || is_call_of_spi(context));
}

/* SPI has no other mark of it. */
static bool
is_call_of_spi(MemoryContext context)
{
	return strcmp(context->name, "SPI Exec") == 0;
}
