/*-------------------------------------------------------------------------
 *
 * settings_value.h
 *	  What the files of the settings share: a setting, and a checked value of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTINGS_VALUE_H
#define PNVS_SETTINGS_VALUE_H

#include "utils/guc.h"

#include "compat.h"
#include "core/breaker.h"
#include "core/country_list.h"
#include "core/endpoint.h"
#include "core/rules.h"
#include "core/test_numbers.h"

/*
 * Shown in place of a secret that is set, of an empty one, and of an invalid value.  GUC
 * has the first for every secret, set or not.
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
	PNVS_SETTING_NUMBER,
	PNVS_SETTING_CHANNELS,
	PNVS_SETTING_LIMITS,
	PNVS_SETTING_COUNTRIES,
	PNVS_SETTING_BREAKER,
	PNVS_SETTING_TEST_NUMBERS
} PnvsSettingKind;

/*
 * A checked value: what GUC calls the extra, with what it points to.  An invalid one has
 * the default's number, and the lists and rules that were in force before, if any were.
 */
typedef struct PnvsSettingValue
{
	const char *fault;			/* why it is invalid, a sentence, or NULL */
	const char *hint;			/* constant, or NULL */
	bool		is_servers;		/* from a file, the command line, or the
								 * default */
	bool		is_default;		/* nobody has set it */
	bool		is_empty;		/* the text is */
	int			number;			/* of a switch, a choice or a number; of
								 * channels: a set */
	const void *data;			/* a member of PnvsSettingReading, or a
								 * secret; or NULL */
	size_t		data_len;
} PnvsSettingValue;

/* The value of a setting that says which messages are accepted. */
typedef struct PnvsInForce
{
	const char *name;
	const PnvsSettingValue *value;
	uint64		nchanges;
} PnvsInForce;

typedef struct PnvsSetting
{
	const char *name;
	PnvsSettingKind kind;
	const char *boot;
	GucContext	context;
	bool		is_secret;
	int			flags;			/* GUC_UNIT_MS, GUC_UNIT_S, GUC_UNIT_KB */
	const char *what;			/* descriptions, as in pg_settings */
	const char *more;
	const char *rule;			/* what a value must be, a sentence */
	int			min;			/* of a number */
	int			max;			/* the same; or of the length */
	const struct config_enum_entry *options;
	char	  **text;			/* variables that get the value, or NULL */
	int		   *number;
	bool	   *is_on;
	PnvsInForce *in_force;
	GucStringCheckHook check;
	GucStringAssignHook assign;
	GucShowHook show;

	/* the state */
	char	   *kept;			/* GUC's text, if text is NULL */
	const PnvsSettingValue *value;
	PnvsSettingValue servers;	/* the latest that was the server's */
} PnvsSetting;

/* Room for a fault of any of the parsers, and a full stop. */
#define PNVS_SETTING_FAULT_SIZE \
	(Max(Max(PNVS_RULES_FAULT_SIZE, PNVS_BREAKER_FAULT_SIZE), \
		 Max(PNVS_COUNTRIES_FAULT_SIZE, PNVS_TEST_NUMBERS_FAULT_SIZE)) + 1)

/* A text that was read. */
typedef struct PnvsSettingReading
{
	PnvsSettingValue value;
	const char *kept;			/* the text for GUC to keep; NULL: invalid */
	char		buffer[32];
	char		fault[PNVS_SETTING_FAULT_SIZE];
	union
	{
		PnvsEndpoint endpoint;
		PnvsRules	limits;
		PnvsCountryList countries;
		PnvsBreakerRule breaker;
		PnvsTestNumbers test_numbers;
	}			parsed;
} PnvsSettingReading;

extern void pnvs_setting_read(const PnvsSetting *setting, const char *text,
							  PnvsSettingReading *reading);
extern PnvsSettingValue *pnvs_setting_keep(const PnvsSetting *setting,
										   const PnvsSettingReading *reading, char **text);
extern const char *pnvs_setting_show(const PnvsSetting *setting);

/* settings.c */
extern const char *pnvs_settings_find_invalid(const PnvsSettingValue **value);

/* settings_guard.c */
extern struct PnvsAllInForce
{
	PnvsInForce channels;
	PnvsInForce limits;
	PnvsInForce countries;
	PnvsInForce breaker;
	PnvsInForce test_numbers;
}			pnvs_in_force;

/* settings_invalid.c */
pg_noreturn extern void pnvs_settings_refuse(const char *name, const PnvsSettingValue *value);
extern void pnvs_settings_note_unknown_names(void);

#endif							/* PNVS_SETTINGS_VALUE_H */
