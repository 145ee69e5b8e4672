/*-------------------------------------------------------------------------
 *
 * settings_value.h
 *	  What a setting is, and what a value of it is taken for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTINGS_VALUE_H
#define PNVS_SETTINGS_VALUE_H

#include "utils/guc.h"

#include "compat.h"
#include "core/endpoint.h"

/*
 * What is shown of a secret, and of a value that is not valid.  The first is also what
 * GUC has for every secret, be there one or not.
 */
#define PNVS_MASK "********"
#define PNVS_NO_SECRET "(none)"
#define PNVS_NOT_VALID "(not valid)"

typedef enum PnvsSettingKind
{
	PNVS_SETTING_SECRET,
	PNVS_SETTING_ENDPOINT,
	PNVS_SETTING_PROXY,
	PNVS_SETTING_FILE,
	PNVS_SETTING_WORD,
	PNVS_SETTING_SWITCH,
	PNVS_SETTING_CHOICE,
	PNVS_SETTING_NUMBER
} PnvsSettingKind;

/*
 * What the check made of a value: what GUC calls its extra.  One that is not valid
 * has the number of the default.
 */
typedef struct PnvsSettingValue
{
	const char *fault;			/* why it is not valid, a sentence, or NULL */
	const char *hint;
	bool		is_servers;		/* of a file, the command line, or the default */
	int			number;			/* of a switch, a choice or a number; of a
								 * secret: whether there is one */
	const void *data;			/* a PnvsEndpoint, or a secret; or NULL */
} PnvsSettingValue;

typedef struct PnvsSetting
{
	const char *name;
	PnvsSettingKind kind;
	const char *boot;
	GucContext	context;
	int			flags;			/* GUC_UNIT_MS, GUC_UNIT_S */
	const char *what;			/* descriptions, as in pg_settings */
	const char *more;
	const char *rule;			/* what a value must be, a sentence */
	int			min;			/* of a number */
	int			max;			/* the same; or of the length */
	const struct config_enum_entry *options;
	char	  **text;			/* where what they are goes; each may be NULL */
	int		   *number;
	bool	   *is_on;
	GucStringCheckHook check;
	GucStringAssignHook assign;
	GucShowHook show;

	/* changes */
	char	   *kept;			/* what GUC has, where text is NULL */
	const PnvsSettingValue *value;
	PnvsSettingValue servers;	/* the last that was the server's */
} PnvsSetting;

/* What a text is taken for. */
typedef struct PnvsSettingReading
{
	PnvsSettingValue value;
	const char *kept;			/* into buffer, or into the text; NULL where
								 * the value is not valid */
	char		buffer[32];
	PnvsEndpoint endpoint;
} PnvsSettingReading;

extern void pnvs_setting_read(const PnvsSetting *setting, const char *text,
							  PnvsSettingReading *reading);
extern PnvsSettingValue *pnvs_setting_keep(const PnvsSetting *setting,
										   const PnvsSettingReading *reading, char **text);
extern const char *pnvs_setting_show(const PnvsSetting *setting);

extern const char *pnvs_settings_find_invalid(const PnvsSettingValue **value);
pg_noreturn extern void pnvs_settings_refuse(const char *name, const PnvsSettingValue *value);

#endif							/* PNVS_SETTINGS_VALUE_H */
