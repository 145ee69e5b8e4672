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
#include "settings_value.h"

static void read_secret(const PnvsSetting *setting, const char *text,
						PnvsSettingReading *reading);
static void read_endpoint(const char *text, PnvsSettingReading *reading);
static bool is_proxy(const char *text);
static void read_switch(const PnvsSetting *setting, const char *text,
						PnvsSettingReading *reading);
static void read_choice(const PnvsSetting *setting, const char *text,
						PnvsSettingReading *reading);
static void read_number(const PnvsSetting *setting, const char *text,
						PnvsSettingReading *reading);
static void show_number(const PnvsSetting *setting, PnvsSettingReading *reading);
static bool is_visible_ascii(const char *text, int max_len);

/* Fills in all of the reading, except from where the text comes. */
void
pnvs_setting_read(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	memset(reading, 0, sizeof(*reading));
	reading->kept = text;
	switch (setting->kind)
	{
		case PNVS_SETTING_SECRET:
			read_secret(setting, text, reading);
			break;
		case PNVS_SETTING_ENDPOINT:
			read_endpoint(text, reading);
			break;
		case PNVS_SETTING_PROXY:
			if (!is_proxy(text))
			{
				reading->value.fault = setting->rule;
				reading->value.hint = "A proxy that asks for a password cannot be used.";
			}
			break;
		case PNVS_SETTING_FILE:
			if (text[0] != '\0' && !is_absolute_path(text))
				reading->value.fault = setting->rule;
			break;
		case PNVS_SETTING_WORD:
			if (!is_visible_ascii(text, setting->max))
				reading->value.fault = setting->rule;
			break;
		case PNVS_SETTING_SWITCH:
			read_switch(setting, text, reading);
			break;
		case PNVS_SETTING_CHOICE:
			read_choice(setting, text, reading);
			break;
		case PNVS_SETTING_NUMBER:
			read_number(setting, text, reading);
			break;
	}
	if (reading->value.fault != NULL)
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
static void
read_secret(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		is_mask = strcmp(text, PNVS_MASK) == 0;

	reading->value.data = "";
	reading->value.number = text[0] != '\0';
	reading->kept = PNVS_MASK;
	if (is_mask && InitializingParallelWorker)
		return;
	if (is_mask || strcmp(text, PNVS_NO_SECRET) == 0)
	{
		reading->value.fault = "This is what is shown, not the secret.";
		reading->value.hint = "Set the secret itself.";
	}
	else if (!is_visible_ascii(text, setting->max))
	{
		reading->value.fault = setting->rule;
		reading->value.hint = "Look for a space or a line break at its end.";
	}
	else
		reading->value.data = text;
}

static void
read_endpoint(const char *text, PnvsSettingReading *reading)
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
}

static bool
is_proxy(const char *text)
{
	PnvsEndpoint endpoint;
	PnvsEndpointFault fault;

	if (text[0] == '\0')
		return true;
	fault = pnvs_endpoint_parse(text, &endpoint);
	return fault == PNVS_ENDPOINT_OK || fault == PNVS_ENDPOINT_NOT_LOOPBACK;
}

static void
read_switch(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		is_on = false;

	if (!parse_bool(text, &is_on))
	{
		reading->value.fault = setting->rule;
		(void) parse_bool(setting->boot, &is_on);
	}
	reading->value.number = is_on;
	reading->kept = is_on ? "on" : "off";
}

static void
read_choice(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	const struct config_enum_entry *option = setting->options;

	while (option->name != NULL && pg_strcasecmp(option->name, text) != 0)
		option++;
	if (option->name == NULL)
	{
		reading->value.fault = setting->rule;
		/* the default is the first */
		option = setting->options;
	}
	reading->value.number = option->val;
	reading->kept = option->name;
}

static void
read_number(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	int			number;

	if (!parse_int(text, &number, setting->flags, NULL) ||
		number < setting->min || number > setting->max)
	{
		reading->value.fault = setting->rule;
		(void) parse_int(setting->boot, &number, setting->flags, NULL);
	}
	reading->value.number = number;
	show_number(setting, reading);
}

/* Shown like PostgreSQL's own: in the largest unit that leaves no fraction. */
static void
show_number(const PnvsSetting *setting, PnvsSettingReading *reading)
{
	static const struct
	{
		const char *name;
		int64		ms;
	}			units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	int64		number = reading->value.number;
	const char *unit = "";

	if (setting->flags & GUC_UNIT_S)
		number *= 1000;
	if (setting->flags != 0 && number != 0)
	{
		int			i = 0;

		while (number % units[i].ms != 0)
			i++;
		number /= units[i].ms;
		unit = units[i].name;
	}
	snprintf(reading->buffer, sizeof(reading->buffer), INT64_FORMAT "%s", number, unit);
	reading->kept = reading->buffer;
}

/* Whether text has at most max_len characters, each of them 0x21 to 0x7E. */
static bool
is_visible_ascii(const char *text, int max_len)
{
	int			len = 0;

	for (; *text; text++, len++)
	{
		if (*text < 0x21 || *text > 0x7E || len == max_len)
			return false;
	}
	return true;
}
