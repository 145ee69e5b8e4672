/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Follows which statement is running, so that a function knows which execution of
 *	  which statement calls it.
 *
 * A function's call frame does not say so.  It has the memory context that the
 * expression was prepared in.  In a statement that the executor runs, that is the
 * executor state's own context.  In a utility statement that computes rows itself (COPY,
 * ALTER TABLE), it is the context that the statement was called in, or a child of that.
 * But PL/pgSQL prepares a simple expression such as
 *
 *	   row := start_verification(...);
 *
 * once for a whole transaction and evaluates it each time that the line is reached.
 * There it is the per-tuple context, which PL/pgSQL resets after each evaluation, that
 * lives as long as the execution.  Hooks that follow the running statement tell these
 * cases apart.  If another session has changed a row meanwhile, the row is checked again
 * in an executor state of its own, whose context is a child of the running one's.
 *
 * A rule turns one statement into several executions.  They share the portal that runs
 * the statement or, inside a function, the call of SPI.  So the statement's rows are kept
 * in the context of the portal or of that call.  A portal runs only one statement.  A
 * call of SPI can run several ("EXECUTE 'a; b'"): at most one execution of each sets the
 * command tag, so a second execution that sets it is another statement.
 *
 * The hooks also keep statements that set a secret out of the log, see
 * settings_statement.c.
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
#include "sql/sql.h"

/* An execution under way, on the stack of the hook that follows it. */
typedef struct Execution
{
	MemoryContext root;			/* its expressions are prepared here or in a
								 * child; or NULL */
	bool		by_executor;
	uint64		number;			/* 0 if it sets no tag, as a rule's others */
} Execution;

/* The innermost one, or NULL. */
static const Execution *running = NULL;

static uint64 last_number = 0;

/* Of the execution that ended last: ExecutorFinish() continues it. */
static uint64 ended_number = 0;

/* When the client's statement began that loaded the library: the hooks missed it. */
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
 * Finds the statement that the caller belongs to; false if there is none.  If a context
 * comes with another number than before, and neither is 0, it is another statement.
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
	 * COPY, ALTER TABLE and a row of VALUES prepare their expressions while
	 * they run.  That may have loaded the library, so the hooks have missed
	 * the statement.
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

/* Runs a data-modifying WITH whose rows are not read. */
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
 * DO computes no rows itself, but the expressions of its code are prepared in children
 * of the context that it was called in.
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

/* Whether a context lives as long as the run of a portal or a call of SPI. */
static bool
is_of_statement(MemoryContext context)
{
	return context != NULL && (context == PortalContext || is_call_of_spi(context));
}

/* SPI marks it by nothing but the name. */
static bool
is_call_of_spi(MemoryContext context)
{
	return strcmp(context->name, "SPI Exec") == 0;
}
