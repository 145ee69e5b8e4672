/*-------------------------------------------------------------------------
 *
 * settings_statement.c
 *	  Keeps statements that set something of pnvs out of the server's log.
 *
 * PostgreSQL logs a statement that fails, and its context, with the literals in them.
 * If it sets a secret, or would have set one without a typing error or a missing right,
 * the literal is that secret.  A statement that fails before it is executed, because of
 * its syntax for example, is logged, for no hook sees it.
 *
 * The text that is searched is the text that would be logged: the client's whole
 * message, with all of its statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"

#include "compat.h"
#include "errcodes.h"
#include "settings.h"

#define PREFIX "pnvs"

static bool sets_ours(Node *statement);
static bool is_ours(const VariableSetStmt *statement);
static bool has_ours(List *options);
static bool mentions_setting(const char *text);
static bool is_set(const char *name);
static const char *skip_quotes(const char *text);

/*
 * An ErrorContextCallback, so that a statement that succeeds costs nothing; the argument
 * is a utility statement, or NULL: set_config() is a function.
 */
void
pnvs_settings_hide_statement(void *statement)
{
	if ((statement != NULL && sets_ours(statement)) || mentions_setting(debug_query_string))
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

/* Whether a text has "pnvs", a dot, and a name that gets a value. */
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
		name = skip_quotes(name);
		if (*name == '.' && is_set(name + 1))
			return true;
	}
	return false;
}

/* Whether a name is followed by "=" or TO, or by a quote as in set_config('pnvs.name', ...). */
static bool
is_set(const char *name)
{
	name = skip_quotes(name);
	while (isalnum((unsigned char) *name) || *name == '_' || *name == '$')
		name++;
	if (*name == '\'')
		return true;
	name = skip_quotes(name);
	return *name == '=' ||
		(pg_strncasecmp(name, "to", 2) == 0 && !isalnum((unsigned char) name[2]));
}

/* Skips quotes of names, and white space. */
static const char *
skip_quotes(const char *text)
{
	while (*text == '"' || isspace((unsigned char) *text))
		text++;
	return text;
}
