/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Which execution of which statement is calling.
 *
 * A function's call frame does not tell.  What it has is the memory context
 * that the expression was prepared in.  In a statement that the executor runs,
 * that is the executor state's own, which lives exactly as long as the
 * execution.  But PL/pgSQL prepares a simple expression such as
 *
 *	   row := start_verification(...);
 *
 * once for a whole transaction and evaluates it anew each time that the line is
 * reached.  There the per-tuple context, which PL/pgSQL resets after each
 * evaluation, lives as long as the execution.  The two are told apart by
 * following which executor state is the running one.  A row that somebody else
 * has changed meanwhile is checked again in an executor state of its own, whose
 * context is a child of the running one's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "compat.h"
#include "sql/statement.h"

/* The context of the innermost execution under way, or NULL. */
static MemoryContext running = NULL;

/* The client's statement that loaded the library: it is not followed. */
static TimestampTz loaded_by = 0;

static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;

static void follow_run(PNVS_EXECUTOR_RUN_ARGS);
static void follow_finish(QueryDesc *query);

/* Begins to follow the executor.  Called once, when the library is loaded. */
void
pnvs_statement_init(void)
{
	loaded_by = GetCurrentStatementStartTimestamp();
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = follow_run;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = follow_finish;
}

/*
 * A memory context that goes with the execution of the statement that the
 * caller belongs to, so that what hangs on it lasts as long as that, or NULL
 * where the caller is no part of a statement.
 */
MemoryContext
pnvs_statement_context(FunctionCallInfo fcinfo)
{
	MemoryContext prepared = fcinfo->flinfo ? fcinfo->flinfo->fn_mcxt : NULL;

	if (prepared == NULL)
		return NULL;
	for (MemoryContext context = prepared; running && context;
		 context = MemoryContextGetParent(context))
	{
		if (context == running)
			return running;
	}
	if (MemoryContextGetParent(CurrentMemoryContext) == prepared)
		return CurrentMemoryContext;

	/*
	 * A row of VALUES is prepared when it is reached, which may have loaded
	 * the library: below the context of an executor state that is not
	 * followed.
	 */
	if (loaded_by == 0 || loaded_by != GetCurrentStatementStartTimestamp())
		return NULL;
	for (MemoryContext context = MemoryContextGetParent(prepared); context;
		 context = MemoryContextGetParent(context))
	{
		if (strcmp(context->name, "ExecutorState") == 0)
			return context;
	}
	return NULL;
}

static void
follow_run(PNVS_EXECUTOR_RUN_ARGS)
{
	MemoryContext outer = running;

	running = query->estate->es_query_cxt;
	PG_TRY();
	{
		if (next_run)
			next_run(PNVS_EXECUTOR_RUN_PASS);
		else
			standard_ExecutorRun(PNVS_EXECUTOR_RUN_PASS);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
}

/* A data-modifying WITH that nobody reads is run here. */
static void
follow_finish(QueryDesc *query)
{
	MemoryContext outer = running;

	running = query->estate->es_query_cxt;
	PG_TRY();
	{
		if (next_finish)
			next_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
}
