/*-------------------------------------------------------------------------
 *
 * settings_invalid.c
 *	  What is done about a setting that is not valid: nothing is sent.
 *
 * pnvs_settings_refuse_if_invalid() is asked before each request, and
 * pnvs_settings_invalid_name() before rows are claimed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "errcodes.h"
#include "settings.h"
#include "settings_name.h"
#include "settings_value.h"

/* The log says no more often that nothing is sent. */
#define COMPLAINT_MS 60000

/* The name of a setting for which nothing may be sent, or NULL. */
const char *
pnvs_settings_invalid_name(void)
{
	const PnvsSettingValue *value;
	const char *name = pnvs_settings_find_invalid(&value);

	return name ? name : pnvs_settings_unknown_name();
}

/* Throws where nothing may be sent. */
void
pnvs_settings_refuse_if_invalid(void)
{
	const PnvsSettingValue *value;
	const char *name = pnvs_settings_find_invalid(&value);

	if (name != NULL)
		pnvs_settings_refuse(name, value);
	name = pnvs_settings_unknown_name();
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
 * Logs that nothing is sent, once a minute for a setting, and returns when it wants to
 * again, or DT_NOEND.  The launcher does for what is the server's, a worker for what
 * its database has of its own.
 */
TimestampTz
pnvs_settings_complain(bool of_server)
{
	static char told[NAMEDATALEN] = "";
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	const PnvsSettingValue *value;
	const char *known = pnvs_settings_find_invalid(&value);
	const char *name = known ? known : pnvs_settings_unknown_name();

	if (name == NULL || (!of_server && (known == NULL || value->is_servers)))
		return DT_NOEND;
	if (strncmp(told, name, NAMEDATALEN - 1) == 0 && told_at <= now &&
		!TimestampDifferenceExceeds(told_at, now, COMPLAINT_MS))
		return TimestampTzPlusMilliseconds(told_at, COMPLAINT_MS);
	told_at = now;
	strlcpy(told, name, sizeof(told));
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 known ? errmsg("pnvs sends nothing while the value of \"%s\" is not valid", name) :
			 errmsg("pnvs sends nothing while \"%s\" is set, which it has no parameter for", name),
			 known ? errdetail("%s", value->fault) : 0,
			 errhint("Put it right and reload. What is queued waits."),
			 pnvs_errhide()));
	return TimestampTzPlusMilliseconds(told_at, COMPLAINT_MS);
}
