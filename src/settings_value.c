/*-------------------------------------------------------------------------
 *
 * settings_value.c
 *	  Reads the text of a setting: a secret, an address, a number and so on.
 *
 * For GUC every setting of pnvs is a text, even a number, a switch or a choice.
 * PostgreSQL would check those itself, before any hook, and replace an invalid value by
 * the default.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "utils/builtins.h"

#include "compat.h"
#include "core/ascii.h"
#include "settings_value.h"

/*
 * Readers of each kind fill in the value and, unless it is the text itself, the text to
 * keep.  False: it is invalid, because of the fault they name, or of the setting's rule.
 */
typedef bool (*Reader) (const PnvsSetting *setting, const char *text,
						PnvsSettingReading *reading);

static bool read_secret(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_endpoint(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_proxy(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_file(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_word(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_switch(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_choice(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_number(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);

static const Reader readers[] = {
	[PNVS_SETTING_SECRET] = read_secret,
	[PNVS_SETTING_ENDPOINT] = read_endpoint,
	[PNVS_SETTING_PROXY] = read_proxy,
	[PNVS_SETTING_FILE] = read_file,
	[PNVS_SETTING_WORD] = read_word,
	[PNVS_SETTING_SWITCH] = read_switch,
	[PNVS_SETTING_CHOICE] = read_choice,
	[PNVS_SETTING_NUMBER] = read_number,
};

/* Fills in all of the reading, except from where the text comes. */
void
pnvs_setting_read(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	PnvsSettingReading boot = {.kept = setting->boot};

	memset(reading, 0, sizeof(*reading));
	reading->kept = text;
	if (readers[setting->kind] (setting, text, reading))
		return;
	if (reading->value.fault == NULL)
		reading->value.fault = setting->rule;
	(void) readers[setting->kind] (setting, setting->boot, &boot);
	reading->value.number = boot.value.number;
	reading->kept = NULL;
}

/*
 * A copy of the reading's value in GUC's memory, or NULL if that is exhausted.  *text,
 * which is GUC's, is wiped and replaced by the text that GUC is to keep.
 *
 * If a reload changes a text, PostgreSQL logs the new one as it stands in the file.  So
 * for a value that must not be seen GUC's text does not change: for a secret it is
 * always the mask, and for an invalid value, which may be a misplaced password, it is
 * the previous text.
 */
PnvsSettingValue *
pnvs_setting_keep(const PnvsSetting *setting, const PnvsSettingReading *reading, char **text)
{
	const char *before = setting->text ? *setting->text : setting->kept;
	const PnvsSettingValue *value = &reading->value;
	const char *data = value->data;
	size_t		data_len = 0;
	PnvsSettingValue *kept;
	char	   *copy;

	if (data != NULL)
		data_len = value->data == &reading->endpoint ? sizeof(PnvsEndpoint) : strlen(data) + 1;
	kept = pnvs_guc_malloc(sizeof(PnvsSettingValue) + data_len);
	if (setting->kind == PNVS_SETTING_SECRET)
		before = PNVS_MASK;
	else if (before == NULL)
		before = setting->boot;
	copy = pnvs_guc_strdup(reading->kept ? reading->kept : before);
	if (kept == NULL || copy == NULL)
		return NULL;
	*kept = *value;
	if (data != NULL)
		kept->data = memcpy(kept + 1, data, data_len);

	explicit_bzero(*text, strlen(*text));
	pnvs_guc_free(*text);
	*text = copy;
	return kept;
}

/* A GucShowHook for any setting. */
const char *
pnvs_setting_show(const PnvsSetting *setting)
{
	if (setting->value->fault != NULL)
		return PNVS_NOT_VALID;
	if (setting->kind == PNVS_SETTING_SECRET)
		return setting->value->number ? PNVS_MASK : PNVS_NO_SECRET;
	return setting->text ? *setting->text : setting->kept;
}

/*
 * A parallel worker gets its leader's text, which is the mask.  It never calls the service,
 * so an empty secret will do.
 */
static bool
read_secret(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		is_mask = strcmp(text, PNVS_MASK) == 0;

	reading->value.data = "";
	reading->value.number = text[0] != '\0';
	reading->kept = PNVS_MASK;
	if (is_mask && InitializingParallelWorker)
		return true;
	if (is_mask || strcmp(text, PNVS_NO_SECRET) == 0)
	{
		reading->value.fault = "This is what is shown, not the secret.";
		reading->value.hint = "Set the secret itself.";
		return false;
	}
	if (!pnvs_ascii_is_visible(text, setting->max))
	{
		reading->value.hint = "Look for a space or a line break at its end.";
		return false;
	}
	reading->value.data = text;
	return true;
}

static bool
read_endpoint(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	static const char *const faults[] = {
		[PNVS_ENDPOINT_OK] = NULL,
		[PNVS_ENDPOINT_BAD_SCHEME] = "It must begin with \"https://\".",
		[PNVS_ENDPOINT_BAD_HOST] = "It must be a scheme, a host and an optional port, and nothing else.",
		[PNVS_ENDPOINT_BAD_PORT] = "The port must be a number from 1 to 65535 at the end.",
		[PNVS_ENDPOINT_NOT_LOOPBACK] = "\"http://\" is taken for loopback addresses only (127.0.0.0/8 and [::1]).",
	};

	reading->value.fault = faults[pnvs_endpoint_parse(text, &reading->endpoint)];
	reading->value.data = reading->value.fault ? NULL : &reading->endpoint;
	return reading->value.fault == NULL;
}

static bool
read_proxy(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	PnvsEndpointFault fault = pnvs_endpoint_parse(text, &reading->endpoint);

	if (text[0] == '\0' || fault == PNVS_ENDPOINT_OK || fault == PNVS_ENDPOINT_NOT_LOOPBACK)
		return true;
	reading->value.hint = "A proxy that asks for a password cannot be used.";
	return false;
}

static bool
read_file(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	return text[0] == '\0' || is_absolute_path(text);
}

static bool
read_word(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	return pnvs_ascii_is_visible(text, setting->max);
}

static bool
read_switch(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		is_on = false;
	bool		valid = parse_bool(text, &is_on);

	reading->value.number = is_on;
	reading->kept = is_on ? "on" : "off";
	return valid;
}

static bool
read_choice(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	const struct config_enum_entry *option = setting->options;

	while (option->name != NULL && pg_strcasecmp(option->name, text) != 0)
		option++;
	reading->value.number = option->val;
	reading->kept = option->name;
	return option->name != NULL;
}

/* It is shown like PostgreSQL's own: in the largest unit that leaves no fraction. */
static bool
read_number(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	static const struct
	{
		const char *name;
		int64		ms;
	}			units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	const char *unit = "";
	int64		shown;

	if (!parse_int(text, &reading->value.number, setting->flags, NULL) ||
		reading->value.number < setting->min || reading->value.number > setting->max)
		return false;
	shown = reading->value.number;
	if (setting->flags & GUC_UNIT_S)
		shown *= 1000;
	if (setting->flags != 0 && shown != 0)
	{
		int			i = 0;

		while (shown % units[i].ms != 0)
			i++;
		shown /= units[i].ms;
		unit = units[i].name;
	}
	snprintf(reading->buffer, sizeof(reading->buffer), INT64_FORMAT "%s", shown, unit);
	reading->kept = reading->buffer;
	return true;
}
