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
#include "utils/timestamp.h"

#include "compat.h"
#include "core/ascii.h"
#include "core/channel_list.h"
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
static void print_number(int number, int flags, char *buffer, size_t size);
static bool read_channels(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_limits(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_countries(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_breaker(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading);
static bool read_test_numbers(const PnvsSetting *setting, const char *text,
							  PnvsSettingReading *reading);
static void make_sentence(char *fault);
static bool is_masked(const char *text, PnvsSettingReading *reading);
static bool take_parsed(PnvsSettingReading *reading, bool valid, const void *data, size_t len);

static const Reader readers[] = {
	[PNVS_SETTING_SECRET] = read_secret,
	[PNVS_SETTING_ENDPOINT] = read_endpoint,
	[PNVS_SETTING_PROXY] = read_proxy,
	[PNVS_SETTING_FILE] = read_file,
	[PNVS_SETTING_WORD] = read_word,
	[PNVS_SETTING_SWITCH] = read_switch,
	[PNVS_SETTING_CHOICE] = read_choice,
	[PNVS_SETTING_NUMBER] = read_number,
	[PNVS_SETTING_CHANNELS] = read_channels,
	[PNVS_SETTING_LIMITS] = read_limits,
	[PNVS_SETTING_COUNTRIES] = read_countries,
	[PNVS_SETTING_BREAKER] = read_breaker,
	[PNVS_SETTING_TEST_NUMBERS] = read_test_numbers,
};

/* Fills in all of the reading, except from where the text comes. */
void
pnvs_setting_read(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	char		fault[PNVS_SETTING_FAULT_SIZE];
	const char *hint;

	memset(reading, 0, sizeof(*reading));
	reading->kept = text;
	reading->value.is_empty = text[0] == '\0';
	if (readers[setting->kind] (setting, text, reading))
		return;
	strlcpy(fault, reading->value.fault ? reading->value.fault : setting->rule, sizeof(fault));
	hint = reading->value.hint;
	(void) readers[setting->kind] (setting, setting->boot, reading);
	strlcpy(reading->fault, fault, sizeof(reading->fault));
	reading->value.fault = reading->fault;
	reading->value.hint = hint;
	reading->kept = NULL;
	if (setting->kind == PNVS_SETTING_ENDPOINT)
		reading->value.data = NULL;
	/* what is remembered was counted by these rules, and will be again */
	if (setting->in_force != NULL && setting->value != NULL)
	{
		reading->value.number = setting->value->number;
		reading->value.data = setting->value->data;
		reading->value.data_len = setting->value->data_len;
	}
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
	size_t		data_len = value->data ? MAXALIGN(value->data_len) : 0;
	size_t		fault_len = value->fault ? strlen(value->fault) + 1 : 0;
	PnvsSettingValue *kept;
	char	   *copy;

	kept = pnvs_guc_malloc(MAXALIGN(sizeof(PnvsSettingValue)) + data_len + fault_len);
	if (setting->is_secret)
		before = PNVS_MASK;
	else if (before == NULL)
		before = setting->boot;
	copy = pnvs_guc_strdup(reading->kept ? reading->kept : before);
	if (kept == NULL || copy == NULL)
		return NULL;
	*kept = *value;
	if (value->data != NULL)
		kept->data = memcpy((char *) kept + MAXALIGN(sizeof(PnvsSettingValue)),
							value->data, value->data_len);
	/* it may be in the reading */
	if (value->fault != NULL)
		kept->fault = strcpy((char *) kept + MAXALIGN(sizeof(PnvsSettingValue)) + data_len,
							 value->fault);

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
	if (setting->is_secret)
		return setting->value->is_empty ? PNVS_NO_SECRET : PNVS_MASK;
	return setting->text ? *setting->text : setting->kept;
}

static bool
read_secret(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	reading->value.data = "";
	reading->value.data_len = 1;
	if (is_masked(text, reading))
		return reading->value.fault == NULL;
	if (!pnvs_ascii_is_visible(text, setting->max))
	{
		reading->value.hint = "Look for a space or a line break at its end.";
		return false;
	}
	reading->value.data = text;
	reading->value.data_len = strlen(text) + 1;
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

	reading->value.fault = faults[pnvs_endpoint_parse(text, &reading->parsed.endpoint)];
	return take_parsed(reading, reading->value.fault == NULL, &reading->parsed.endpoint,
					   sizeof(reading->parsed.endpoint));
}

static bool
read_proxy(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	PnvsEndpointFault fault = pnvs_endpoint_parse(text, &reading->parsed.endpoint);

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
	if (!parse_int(text, &reading->value.number, setting->flags, NULL) ||
		reading->value.number < setting->min || reading->value.number > setting->max)
		return false;
	print_number(reading->value.number, setting->flags, reading->buffer, sizeof(reading->buffer));
	reading->kept = reading->buffer;
	return true;
}

static void
print_number(int number, int flags, char *buffer, size_t size)
{
	static const struct
	{
		const char *name;
		int			flag;
		int64		factor;		/* of the setting's own unit */
	}			units[] = {
		{"d", GUC_UNIT_S, 86400}, {"h", GUC_UNIT_S, 3600}, {"min", GUC_UNIT_S, 60},
		{"s", GUC_UNIT_S, 1},
		{"d", GUC_UNIT_MS, 86400000}, {"h", GUC_UNIT_MS, 3600000}, {"min", GUC_UNIT_MS, 60000},
		{"s", GUC_UNIT_MS, 1000}, {"ms", GUC_UNIT_MS, 1},
		{"GB", GUC_UNIT_KB, 1024 * 1024}, {"MB", GUC_UNIT_KB, 1024}, {"kB", GUC_UNIT_KB, 1},
	};

	for (size_t i = 0; number != 0 && i < lengthof(units); i++)
	{
		if (units[i].flag == flags && number % units[i].factor == 0)
		{
			snprintf(buffer, size, INT64_FORMAT "%s", number / units[i].factor, units[i].name);
			return;
		}
	}
	snprintf(buffer, size, "%d", number);
}

static bool
read_channels(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	uint32		channels;
	bool		valid = pnvs_channel_list_parse(text, &channels);

	reading->value.number = (int) channels;
	return valid;
}

static bool
read_limits(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		valid = pnvs_rules_parse(text, &reading->parsed.limits, reading->fault);

	make_sentence(reading->fault);
	return take_parsed(reading, valid, &reading->parsed.limits, sizeof(reading->parsed.limits));
}

static bool
read_countries(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		valid = pnvs_country_list_parse(text, &reading->parsed.countries, reading->fault);

	return take_parsed(reading, valid, &reading->parsed.countries,
					   offsetof(PnvsCountryList, countries[reading->parsed.countries.ncountries]));
}

static bool
read_breaker(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	bool		valid = pnvs_breaker_parse(text, &reading->parsed.breaker, reading->fault);

	make_sentence(reading->fault);
	return take_parsed(reading, valid, &reading->parsed.breaker, sizeof(reading->parsed.breaker));
}

static bool
read_test_numbers(const PnvsSetting *setting, const char *text, PnvsSettingReading *reading)
{
	int64		now_s = timestamptz_to_time_t(GetCurrentTimestamp());
	bool		masked = is_masked(text, reading);
	bool		valid = !masked &&
	pnvs_test_numbers_parse(text, now_s, &reading->parsed.test_numbers, reading->fault);

	if (masked)
		return reading->value.fault == NULL;
	return take_parsed(reading, valid, &reading->parsed.test_numbers,
					   offsetof(PnvsTestNumbers, numbers[reading->parsed.test_numbers.nnumbers]));
}

/*
 * Whether the text is what is shown in place of a secret, and is none itself.  GUC is to
 * keep the mask in any case.  A parallel worker gets its leader's text, which is the mask:
 * it never calls the service, so an empty secret will do.
 */
static bool
is_masked(const char *text, PnvsSettingReading *reading)
{
	bool		is_mask = strcmp(text, PNVS_MASK) == 0;

	reading->kept = PNVS_MASK;
	if (!is_mask && strcmp(text, PNVS_NO_SECRET) != 0)
		return false;
	if (!is_mask || !InitializingParallelWorker)
	{
		reading->value.fault = "This is what is shown, not the secret.";
		reading->value.hint = "Set the secret itself.";
	}
	return true;
}

/* Makes a sentence of a fault that is a phrase; there is room for the full stop. */
static void
make_sentence(char *fault)
{
	fault[0] = pg_ascii_toupper((unsigned char) fault[0]);
	strcat(fault, ".");
}

/* Takes what a parser has made of the text, or its fault; the result is whether it is valid. */
static bool
take_parsed(PnvsSettingReading *reading, bool valid, const void *data, size_t len)
{
	reading->value.data = valid ? data : NULL;
	reading->value.data_len = valid ? len : 0;
	if (!valid && reading->value.fault == NULL)
		reading->value.fault = reading->fault;
	return valid;
}
