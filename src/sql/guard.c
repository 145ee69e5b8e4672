/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  What the guard shows and lets support do: pnvs_stat_guard, pnvs_breakers,
 *	  unblock_phone_number() and pnvs_guard_reset().
 *
 * Nothing here shows a number, a key or a hash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "errcodes.h"
#include "guard/guard.h"
#include "sql/sql.h"

PG_FUNCTION_INFO_V1(pnvs_stat_guard);
PG_FUNCTION_INFO_V1(pnvs_breakers);
PG_FUNCTION_INFO_V1(pnvs_unblock_phone_number);
PG_FUNCTION_INFO_V1(pnvs_guard_reset_scope);

/* Of the view pnvs_stat_guard. */
static const Oid rule_types[] = {
	TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID
};

/* Of the view pnvs_breakers. */
static const Oid breaker_types[] = {
	TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID
};

static ReturnSetInfo *begin_rows(FunctionCallInfo fcinfo, const Oid *types, int ncolumns);
static void require_memory(void);
static const char *breaker_state(const PnvsGuardBreakerStat *stat);
static PnvsScope scope_argument(FunctionCallInfo fcinfo, int n);

/* pnvs_internal.guard_rules(): a row for each rule of "pnvs.limits". */
Datum
pnvs_stat_guard(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_rows(fcinfo, rule_types, lengthof(rule_types));
	PnvsGuardRuleStat *stats = palloc(PNVS_GUARD_MAX_RULES * sizeof(PnvsGuardRuleStat));
	int			nstats = pnvs_guard_read_rules(stats, PNVS_GUARD_MAX_RULES);

	for (int i = 0; i < nstats; i++)
	{
		Datum		values[lengthof(rule_types)];
		bool		nulls[lengthof(rule_types)];
		PnvsRow		row = {.values = values,.nulls = nulls};

		pnvs_row_add_text(&row, stats[i].rule);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].admitted), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].refused), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].observed), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].observed_approved), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].keys), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stats[i].forgotten), false);
		pnvs_row_add_value(&row, TimestampTzGetDatum(stats[i].since), false);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* pnvs_internal.breakers(): a row for each country that messages were sent to. */
Datum
pnvs_breakers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_rows(fcinfo, breaker_types, lengthof(breaker_types));
	PnvsGuardBreakerStat *stats = palloc(PNVS_GUARD_MAX_BREAKERS * sizeof(PnvsGuardBreakerStat));
	int			nstats = pnvs_guard_read_breakers(stats, PNVS_GUARD_MAX_BREAKERS);

	for (int i = 0; i < nstats; i++)
	{
		const PnvsGuardBreakerStat *stat = &stats[i];
		Datum		values[lengthof(breaker_types)];
		bool		nulls[lengthof(breaker_types)];
		PnvsRow		row = {.values = values,.nulls = nulls};

		pnvs_row_add_text(&row, stat->country[0] ? stat->country : NULL);
		pnvs_row_add_text(&row, breaker_state(stat));
		pnvs_row_add_value(&row, TimestampTzGetDatum(stat->open_until), !stat->open);
		pnvs_row_add_value(&row, Int64GetDatum(stat->sent), false);
		pnvs_row_add_value(&row, Int64GetDatum(stat->approved), false);
		pnvs_row_add_value(&row, Int64GetDatum(stat->judged_sent), !stat->open);
		pnvs_row_add_value(&row, Int64GetDatum(stat->judged_approved), !stat->open);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stat->refused), false);
		pnvs_row_add_value(&row, Int64GetDatum((int64) stat->observed), false);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * unblock_phone_number("to" text)
 *
 * Frees a number of what it has used up of its limits, those for tries included.  The log
 * says who did it.
 */
Datum
pnvs_unblock_phone_number(PG_FUNCTION_ARGS)
{
	const char *number = pnvs_argument_required(pnvs_argument_number(fcinfo, 0), "to");
	char		masked[PNVS_PHONE_NUMBER_SIZE];

	require_memory();
	pnvs_guard_unblock(number);
	pnvs_phone_number_mask(number, masked);
	ereport(LOG,
			(errmsg("the limits of phone number %s were reset by role \"%s\"",
					masked, GetUserNameFromId(GetUserId(), false)),
			 pnvs_errhide()));
	PG_RETURN_VOID();
}

/*
 * pnvs_guard_reset(scope text)
 *
 * Forgets all places and counters of a scope, or of all.  For superusers, whatever has
 * been granted.
 */
Datum
pnvs_guard_reset_scope(PG_FUNCTION_ARGS)
{
	bool		all = PG_ARGISNULL(0);
	PnvsScope	scope = all ? PNVS_SCOPE_TOTAL : scope_argument(fcinfo, 0);

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser may reset the limits of pnvs"),
				 errhint("Use unblock_phone_number() for the limits of one number."),
				 pnvs_errhide()));
	require_memory();
	pnvs_guard_reset(all, scope);
	ereport(LOG,
			(errmsg("the limits of %s were reset by role \"%s\"",
					all ? "all scopes" : psprintf("the scope \"%s\"", pnvs_scope_name(scope)),
					GetUserNameFromId(GetUserId(), false)),
			 pnvs_errhide()));
	PG_RETURN_VOID();
}

static ReturnSetInfo *
begin_rows(FunctionCallInfo fcinfo, const Oid *types, int ncolumns)
{
	ReturnSetInfo *result;

	require_memory();
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	pnvs_row_check_type(result->setDesc, types, ncolumns);
	return result;
}

static void
require_memory(void)
{
	if (pnvs_guard_is_shared())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("the limits of pnvs need shared memory"),
			 errhint("Add \"pnvs\" to shared_preload_libraries, and restart the server."),
			 pnvs_errhide()));
}

/*
 * "unarmed" until the server has seen the first approval: codes that are checked elsewhere
 * must not shut a country out.
 */
static const char *
breaker_state(const PnvsGuardBreakerStat *stat)
{
	return stat->open ? "open" : stat->armed ? "closed" : "unarmed";
}

static PnvsScope
scope_argument(FunctionCallInfo fcinfo, int n)
{
	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(n));

	for (PnvsScope scope = 0; scope < PNVS_SCOPE_COUNT; scope++)
	{
		if (pg_strcasecmp(name, pnvs_scope_name(scope)) == 0)
			return scope;
	}
	pnvs_argument_refuse("invalid scope",
						 "The scopes are number, prefix, country, key, total and tries.");
}
