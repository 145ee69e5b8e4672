/*-------------------------------------------------------------------------
 *
 * settings_invalid.c
 *	  Stops all sending while a setting is invalid or the configuration has a name
 *	  that begins with "pnvs." and is no setting.
 *
 * An unknown name such as "pnvs.endpont" is a typing error: the real service would be
 * used instead of the intended one.
 *
 * Until the library is loaded, PostgreSQL keeps such a name as a placeholder, which
 * is found when the library is loaded.  After that, PostgreSQL reports an unknown name in
 * the log and drops it, and no hook is told.  So after each reload a process that wants
 * to send reads the names in the configuration files again, with PostgreSQL's own reader.
 *
 * pnvs_settings_refuse_if_invalid() is called before each request, and
 * pnvs_settings_invalid_name() before rows are claimed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/log_limit.h"
#include "errcodes.h"
#include "monotonic.h"
#include "settings.h"
#include "settings_value.h"

#define PREFIX "pnvs."

/* An unknown name, or empty; a reload cannot remove one of the command line. */
static char unknown[NAMEDATALEN];
static char unknown_for_good[NAMEDATALEN];

/* The load of the configuration after which "unknown" was determined. */
static TimestampTz found_at = 0;

static int64 complain_of_switch(PnvsLogLimit *limit, int64 now_us);
static const char *unknown_name(void);
static bool begins_like_ours(const char *name);
static void look_into_files(void);

/* The name of a setting that stops all sending, or NULL.  Valid until the next reload. */
const char *
pnvs_settings_invalid_name(void)
{
	const PnvsSettingValue *value;
	const char *name = pnvs_settings_find_invalid(&value);

	return name ? name : unknown_name();
}

/* Throws if nothing may be sent. */
void
pnvs_settings_refuse_if_invalid(void)
{
	const PnvsSettingValue *value;
	const char *name = pnvs_settings_find_invalid(&value);

	if (name != NULL)
		pnvs_settings_refuse(name, value);
	name = unknown_name();
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pnvs has no parameter \"%s\"", name),
				 errdetail("Nothing is sent until it is put right."),
				 errhint("Look for a typing error in the configuration, put it right and reload."),
				 pnvs_errhide()));
}

void
pnvs_settings_refuse(const char *name, const PnvsSettingValue *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\"", name),
			 errdetail("%s Nothing is sent until it is put right.", value->fault),
			 value->hint ? errhint("%s", value->hint) :
			 errhint("Put it right where it is set: in the configuration, of the database or the role, or in the session."),
			 pnvs_errhide()));
}

/*
 * Logs that nothing is sent, because a setting is invalid or pnvs.sending is off, once a
 * minute for each setting.  Returns in how many us to call this again, or PNVS_NEVER if
 * nothing is wrong.  The launcher calls it for the
 * server's values (of_server), a worker for those of its database.
 */
int64
pnvs_settings_complain(bool of_server)
{
	static PnvsLogLimit limit;
	int64		now_us = pnvs_monotonic_us();
	const PnvsSettingValue *value;
	const char *known = pnvs_settings_find_invalid(&value);
	const char *name = known ? known : unknown_name();

	if (name == NULL && of_server && !pnvs_sending)
		return complain_of_switch(&limit, now_us);
	if (name == NULL || (!of_server && (known == NULL || value->is_servers)))
		return PNVS_NEVER;
	if (pnvs_log_limit_count(&limit, name, now_us, PNVS_LOG_LIMIT_INTERVAL_US) > 0)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 known ? errmsg("pnvs sends nothing while the value of \"%s\" is not valid", name) :
				 errmsg("pnvs sends nothing while \"%s\" is set, which it has no parameter for", name),
				 known ? errdetail("%s", value->fault) : 0,
				 errhint("Put it right and reload. What is queued waits."),
				 pnvs_errhide()));
	return pnvs_log_limit_next_us(&limit, name) - now_us;
}

static int64
complain_of_switch(PnvsLogLimit *limit, int64 now_us)
{
	static const char name[] = "pnvs.sending";

	if (pnvs_log_limit_count(limit, name, now_us, PNVS_LOG_LIMIT_INTERVAL_US) > 0)
		ereport(WARNING,
				(errcode(PNVS_ERRCODE_GUARD),
				 errmsg("pnvs sends nothing while \"%s\" is off", name),
				 errhint("Set it to \"on\" and reload. What is queued waits until its time is over."),
				 pnvs_errhide()));
	return pnvs_log_limit_next_us(limit, name) - now_us;
}

/*
 * Looks for unknown names among PostgreSQL's placeholders.  To be called after all
 * settings are declared and before their prefix is reserved.
 */
void
pnvs_settings_note_unknown_names(void)
{
	int			n;
	struct config_generic **variables = pnvs_guc_variables(&n);

	for (int i = 0; i < n; i++)
	{
		const struct config_generic *variable = variables[i];

		/* a session is told of its own, and can set it again */
		if (!(variable->flags & GUC_CUSTOM_PLACEHOLDER) || !begins_like_ours(variable->name) ||
			variable->source == PGC_S_DEFAULT || variable->source > PGC_S_CLIENT)
			continue;
		strlcpy(variable->source == PGC_S_FILE ? unknown : unknown_for_good, variable->name,
				NAMEDATALEN);
	}
	found_at = PgReloadTime;
}

/* An unknown name that the configuration has, or NULL. */
static const char *
unknown_name(void)
{
	if (unknown_for_good[0] != '\0')
		return unknown_for_good;
	if (found_at != PgReloadTime)
	{
		found_at = PgReloadTime;
		look_into_files();
	}
	return unknown[0] != '\0' ? unknown : NULL;
}

static bool
begins_like_ours(const char *name)
{
	return pg_strncasecmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* If a file cannot be read, PostgreSQL has not applied it either. */
static void
look_into_files(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "pnvs configuration",
												  ALLOCSET_DEFAULT_SIZES);
	ConfigVariable *first = NULL;
	ConfigVariable *last = NULL;

	MemoryContextSwitchTo(context);
	if (ConfigFileName != NULL &&
		ParseConfigFile(ConfigFileName, true, NULL, 0, 0, DEBUG2, &first, &last) &&
		ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, DEBUG2, &first, &last))
	{
		unknown[0] = '\0';
		for (ConfigVariable *item = first; item != NULL; item = item->next)
		{
			if (item->name != NULL && begins_like_ours(item->name) &&
				GetConfigOption(item->name, true, false) == NULL)
				strlcpy(unknown, item->name, NAMEDATALEN);
		}
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
