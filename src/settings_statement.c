/*-------------------------------------------------------------------------
 *
 * settings_statement.c
 *	  Statements that set something of pnvs.
 *
 * PostgreSQL logs a statement that fails, and the context, with the literals in
 * them.  Where it is one that sets a secret, or would have but for a typing error or
 * a missing right, they are kept out of the log.  A callback judges that, so that it
 * costs nothing where nothing fails.  What fails before it is executed, by its syntax
 * say, no hook sees.
 *
 * It is the text that is judged which would be logged: the client's whole message,
 * other statements of it included.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"

#include "compat.h"
#include "errcodes.h"
#include "settings.h"

#define PREFIX "pnvs"

static ProcessUtility_hook_type next_utility = NULL;
static ExecutorRun_hook_type next_run = NULL;

static void on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
					   ProcessUtilityContext context, ParamListInfo parameters,
					   QueryEnvironment *environment, DestReceiver *receiver,
					   QueryCompletion *completion);
static void on_run(PNVS_EXECUTOR_RUN_ARGS);
static void hide_if_setting(void *arg);
static bool sets_ours(Node *statement);
static bool is_ours(const VariableSetStmt *statement);
static bool has_ours(List *options);
static bool mentions_setting(const char *text);
static bool is_set(const char *name);

void
pnvs_settings_statement_init(void)
{
	next_utility = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = on_utility;
	next_run = ExecutorRun_hook ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = on_run;
}

static void
on_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo parameters,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	bool		is_alter_system = IsA(statement->utilityStmt, AlterSystemStmt);
	ErrorContextCallback callback = {error_context_stack, hide_if_setting,
	statement->utilityStmt};

	error_context_stack = &callback;
	if (is_alter_system)
		pnvs_settings_in_alter_system = true;
	PG_TRY();
	{
		next_utility(statement, text, read_only_tree, context, parameters, environment,
					 receiver, completion);
	}
	PG_FINALLY();
	{
		if (is_alter_system)
			pnvs_settings_in_alter_system = false;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
}

/* set_config() is a function. */
static void
on_run(PNVS_EXECUTOR_RUN_ARGS)
{
	ErrorContextCallback callback = {error_context_stack, hide_if_setting, NULL};

	error_context_stack = &callback;
	next_run(PNVS_EXECUTOR_RUN_PASS);
	error_context_stack = callback.previous;
}

/* An ErrorContextCallback; arg is a utility statement, or NULL. */
static void
hide_if_setting(void *arg)
{
	if ((arg != NULL && sets_ours(arg)) || mentions_setting(debug_query_string))
		(void) pnvs_errhide();
}

static bool
sets_ours(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VariableSetStmt:
			return is_ours(castNode(VariableSetStmt, statement));
		case T_AlterSystemStmt:
			return is_ours(castNode(AlterSystemStmt, statement)->setstmt);
		case T_AlterRoleSetStmt:
			return is_ours(castNode(AlterRoleSetStmt, statement)->setstmt);
		case T_AlterDatabaseSetStmt:
			return is_ours(castNode(AlterDatabaseSetStmt, statement)->setstmt);
		case T_CreateFunctionStmt:
			return has_ours(castNode(CreateFunctionStmt, statement)->options);
		case T_AlterFunctionStmt:
			return has_ours(castNode(AlterFunctionStmt, statement)->actions);
		default:
			return false;
	}
}

static bool
is_ours(const VariableSetStmt *statement)
{
	return statement->name != NULL &&
		pg_strncasecmp(statement->name, PREFIX ".", strlen(PREFIX ".")) == 0;
}

static bool
has_ours(List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		const DefElem *option = lfirst_node(DefElem, cell);

		if (option->arg != NULL && IsA(option->arg, VariableSetStmt) &&
			is_ours(castNode(VariableSetStmt, option->arg)))
			return true;
	}
	return false;
}

/* Whether a text has "pnvs", a dot, and a name that is given a value. */
static bool
mentions_setting(const char *text)
{
	if (text == NULL)
		return false;
	for (; *text != '\0'; text++)
	{
		const char *name = text + strlen(PREFIX);

		if (pg_strncasecmp(text, PREFIX, strlen(PREFIX)) != 0)
			continue;
		while (*name == '"' || isspace((unsigned char) *name))
			name++;
		if (*name == '.' && is_set(name + 1))
			return true;
	}
	return false;
}

/* Whether "=" or TO stands behind a name, or a quote: set_config('pnvs.name', ...). */
static bool
is_set(const char *name)
{
	while (*name == '"' || isspace((unsigned char) *name))
		name++;
	while (isalnum((unsigned char) *name) || *name == '_' || *name == '$')
		name++;
	if (*name == '\'')
		return true;
	while (*name == '"' || isspace((unsigned char) *name))
		name++;
	return *name == '=' ||
		(pg_strncasecmp(name, "to", 2) == 0 && !isalnum((unsigned char) name[2]));
}
