/*-------------------------------------------------------------------------
 *
 * settings_name.c
 *	  Names that begin like a setting's of pnvs and are none.
 *
 * "pnvs.endpont" is a typing error, by which the real service is asked instead of
 * the one that is meant: so nothing is sent then, as for a value that is not valid.
 *
 * Before the library is loaded PostgreSQL takes any such name as a placeholder, and
 * so it can be found when it is loaded.  Later it takes none, says so in the log and
 * forgets it: no hook learns of what a reload has met.  So each process reads
 * the names in the configuration files again, by PostgreSQL's own reader, after a
 * reload, when it next wants to send.
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
#include "settings_name.h"

#define PREFIX "pnvs."

/* One of them, or empty; what has come with the command line does not go. */
static char unknown[NAMEDATALEN];
static char unknown_for_good[NAMEDATALEN];

/* The load of the configuration by which the first of them was found. */
static TimestampTz found_at = 0;

static bool begins_like_ours(const char *name);
static void look_into_files(void);

/* To be called when all settings are defined and before their prefix is reserved. */
void
pnvs_settings_note_unknown_names(void)
{
	int			n;
	struct config_generic **variables = pnvs_guc_variables(&n);

	for (int i = 0; i < n; i++)
	{
		const struct config_generic *variable = variables[i];

		/* what a session has set it can set again, and is told so */
		if (!(variable->flags & GUC_CUSTOM_PLACEHOLDER) || !begins_like_ours(variable->name) ||
			variable->source == PGC_S_DEFAULT || variable->source > PGC_S_CLIENT)
			continue;
		strlcpy(variable->source == PGC_S_FILE ? unknown : unknown_for_good, variable->name,
				NAMEDATALEN);
	}
	found_at = PgReloadTime;
}

/* Such a name that the configuration has, or NULL.  Valid until the next reload. */
const char *
pnvs_settings_unknown_name(void)
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

/* Where a file cannot be read, PostgreSQL has not taken it over either. */
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
