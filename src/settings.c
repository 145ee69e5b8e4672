/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Declares every setting of pnvs, checks its values and hands them out.
 *
 * Invalid values.  PostgreSQL replaces an invalid value of a configuration file by the
 * default, with a warning: pnvs would then use the real service, no proxy, a running
 * worker.  So a check hook accepts such a value and marks it as invalid, and nothing
 * is sent while a marked value is in force, see settings_invalid.c.  An invalid value
 * that a session sets itself is refused at once.
 *
 * Secrets.  The text that PostgreSQL keeps for a secret is always "********", set or
 * not.  So PostgreSQL has nothing else to show, and a reload that changes a secret
 * finds the text unchanged and logs nothing.  A show hook says "(none)" if the secret
 * is empty.  The secret itself is stored beside the text, in what GUC calls the extra.
 *
 * This protects a secret only once the library is loaded.  Before that, PostgreSQL
 * treats the setting as a placeholder: it shows the value to every role and logs its
 * changes.  A secret in a configuration file therefore needs the library in
 * shared_preload_libraries.  session_preload_libraries is not enough, for it loads the
 * library neither in the postmaster, which logs, nor in replication connections, which
 * can SHOW.  pnvs_settings_init() warns if a session loads the library too late.
 *
 * Senders.  A process that sends queued messages serves every role.  It uses the values
 * of the configuration files and of the command line, and ignores those of its
 * session, database or role, see pnvs_settings_use_server_values().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "errcodes.h"
#include "settings.h"
#include "settings_value.h"

char	   *pnvs_ca_file;
char	   *pnvs_proxy;
int			pnvs_on_failure;
bool		pnvs_expose_verify_code;
bool		pnvs_worker;
int			pnvs_worker_idle_timeout_s;
int			pnvs_max_in_flight;
int			pnvs_scan_interval_s;
int			pnvs_max_databases;
int			pnvs_max_attempts;
int			pnvs_retention_s;
int			pnvs_reconcile_for_s;
int			pnvs_after_promotion;
bool		pnvs_notify;
bool		pnvs_settings_in_alter_system = false;

/* GUC's hooks do not tell which setting they are for, so each has its own. */
#define EACH_SETTING(DO) \
	DO(ACCESS_KEY_ID) DO(ACCESS_KEY_SECRET) DO(SECURITY_TOKEN) \
	DO(ENDPOINT) DO(CA_FILE) DO(PROXY) DO(CONNECT_TIMEOUT) DO(REQUEST_TIMEOUT) \
	DO(SERVICE_SID) DO(ON_FAILURE) DO(EXPOSE_VERIFY_CODE) \
	DO(WORKER) DO(WORKER_IDLE_TIMEOUT) DO(MAX_IN_FLIGHT) DO(SCAN_INTERVAL) \
	DO(MAX_DATABASES) DO(NOTIFY) DO(MAX_ATTEMPTS) DO(RETENTION) DO(RECONCILE_FOR) \
	DO(AFTER_PROMOTION) \
	DO(SENDING) DO(CHANNELS) DO(LIMITS) DO(LIMITS_MODE) DO(COUNTRIES) DO(BREAKER) \
	DO(TEST_NUMBERS) DO(GUARD_MEMORY) DO(MAX_TRIES)
#define ID(id) id,

typedef enum SettingId
{
	EACH_SETTING(ID)
	NSETTINGS
} SettingId;

static PnvsSetting settings[NSETTINGS];

static bool check(const PnvsSetting *setting, char **text, void **extra, GucSource source);
static void assign(PnvsSetting *setting, const PnvsSettingValue *value);
static void define(PnvsSetting *setting);
static const PnvsSettingValue *value_of(SettingId id);
static void hide_statement(void *arg);

#define HOOKS(id) \
	static bool check_##id(char **text, void **extra, GucSource source) \
	{ \
		return check(&settings[id], text, extra, source); \
	} \
	static void assign_##id(const char *text, void *extra) \
	{ \
		assign(&settings[id], extra); \
	} \
	static const char *show_##id(void) \
	{ \
		return pnvs_setting_show(&settings[id]); \
	}

EACH_SETTING(HOOKS)

#define SETTING(id, name_, kind_, boot_, context_, ...) \
	[id] = {.name = name_, .kind = PNVS_SETTING_##kind_, .boot = boot_, .context = context_, \
		.check = check_##id, .assign = assign_##id, .show = show_##id, __VA_ARGS__}

#define SECRET_SETTING(id, name_, ...) \
	SETTING(id, name_, SECRET, "", PGC_SUSET, .is_secret = true, .more = "It is never shown.", \
		.rule = "It is too long, or has a character other than visible ASCII.", __VA_ARGS__)

#define SWITCH_SETTING(id, name_, boot_, context_, ...) \
	SETTING(id, name_, SWITCH, boot_, context_, .rule = "It must be \"on\" or \"off\".", __VA_ARGS__)

#define TIME_S_SETTING(id, name_, boot_, context_, ...) \
	SETTING(id, name_, NUMBER, boot_, context_, .flags = GUC_UNIT_S, __VA_ARGS__)

static const struct config_enum_entry on_failure_options[] = {
	{"row", PNVS_ON_FAILURE_ROW, false},
	{"error", PNVS_ON_FAILURE_ERROR, false},
	{NULL, 0, false}
};

static const struct config_enum_entry limits_mode_options[] = {
	{"enforce", PNVS_LIMITS_ENFORCE, false},
	{"observe", PNVS_LIMITS_OBSERVE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry after_promotion_options[] = {
	{"verify", PNVS_AFTER_PROMOTION_VERIFY, false},
	{"send", PNVS_AFTER_PROMOTION_SEND, false},
	{"hold", PNVS_AFTER_PROMOTION_HOLD, false},
	{NULL, 0, false}
};

/* The rule of a number states its bounds as the documents do; a test compares them. */
static PnvsSetting settings[NSETTINGS] =
{
	SECRET_SETTING(ACCESS_KEY_ID, "pnvs.access_key_id",
				   .what = "ID of the access key that requests are signed with.",
				   .max = PNVS_MAX_ACCESS_KEY_ID_LEN),
	SECRET_SETTING(ACCESS_KEY_SECRET, "pnvs.access_key_secret",
				   .what = "Secret of the access key that requests are signed with.",
				   .max = PNVS_MAX_ACCESS_KEY_SECRET_LEN),
	SECRET_SETTING(SECURITY_TOKEN, "pnvs.security_token",
				   .what = "Security token that belongs to a temporary access key.",
				   .max = PNVS_MAX_SECURITY_TOKEN_LEN),
	SETTING(ENDPOINT, "pnvs.endpoint", ENDPOINT, "https://dypnsapi-intl.ap-southeast-1.aliyuncs.com", PGC_SUSET,
			.what = "Address of the verification service.",
			.more = "Scheme, host and optional port."),
	SETTING(CA_FILE, "pnvs.ca_file", FILE, "", PGC_SUSET,
			.what = "File of the certificate authorities that are trusted.",
			.more = "Empty means those of the system.",
			.rule = "It must be an absolute path, or empty.",
			.text = &pnvs_ca_file),
	SETTING(PROXY, "pnvs.proxy", PROXY, "", PGC_SUSET,
			.what = "Address of an HTTP proxy.",
			.more = "Empty means none; the proxies of the environment are ignored.",
			.rule = "It must be \"http://\" or \"https://\", a host and an optional port.",
			.text = &pnvs_proxy),

	/*
	 * A time-out below 10 ms cannot be met by any network; above 10 minutes
	 * it no longer protects a session.
	 */
	SETTING(CONNECT_TIMEOUT, "pnvs.connect_timeout", NUMBER, CppAsString2(PNVS_CONNECT_TIMEOUT_S) "s", PGC_USERSET,.flags = GUC_UNIT_MS,
			.what = "Time for name look-up, connection and TLS handshake.",
			.rule = "It must be a time from 10 ms to 10 min.",
			.min = 10,.max = 10 * 60 * 1000),
	SETTING(REQUEST_TIMEOUT, "pnvs.request_timeout", NUMBER, CppAsString2(PNVS_REQUEST_TIMEOUT_S) "s", PGC_USERSET,.flags = GUC_UNIT_MS,
			.what = "Time for a whole request, from its start to the end of the reply.",
			.rule = "It must be a time from 10 ms to 10 min.",
			.min = 10,.max = 10 * 60 * 1000),
	SETTING(SERVICE_SID, "pnvs.service_sid", WORD, "", PGC_USERSET,
			.what = "Service that is used where a call names none.",
			.rule = "It must be made of visible ASCII characters, without spaces, 128 of them at the most.",
			.max = PNVS_MAX_SERVICE_SID_LEN),
	SETTING(ON_FAILURE, "pnvs.on_failure", CHOICE, "row", PGC_USERSET,
			.what = "What a call makes of the service's refusal.",
			.more = "\"row\" returns it, \"error\" raises it.",
			.rule = "It must be \"row\" or \"error\".",
			.options = on_failure_options,.number = &pnvs_on_failure),
	SWITCH_SETTING(EXPOSE_VERIFY_CODE, "pnvs.expose_verify_code", "off", PGC_SUSET,
				   .what = "Hands out the one-time code where the service returns it.",
				   .more = "Whoever may send can then pass every check.",
				   .is_on = &pnvs_expose_verify_code),
	SWITCH_SETTING(WORKER, "pnvs.worker", "on", PGC_SIGHUP,
				   .what = "Sends what is queued from background workers.",
				   .more = "They need the library in shared_preload_libraries.",
				   .is_on = &pnvs_worker),
	/* With 0 it exits as soon as nothing is due. */
	TIME_S_SETTING(WORKER_IDLE_TIMEOUT, "pnvs.worker_idle_timeout", "5min", PGC_SIGHUP,
				   .what = "Time that a worker with nothing to do stays in its database.",
				   .rule = "It must be a time from 0 to 1 day.",
				   .max = 24 * 60 * 60,.number = &pnvs_worker_idle_timeout_s),
	/* A connection takes about 80 kB and one file descriptor. */
	SETTING(MAX_IN_FLIGHT, "pnvs.max_in_flight", NUMBER, "50", PGC_SIGHUP,
			.what = "Requests that a worker has under way at once.",
			.rule = "It must be a number from 1 to 1000.",
			.min = 1,.max = 1000,.number = &pnvs_max_in_flight),
	TIME_S_SETTING(SCAN_INTERVAL, "pnvs.scan_interval", "1min", PGC_SIGHUP,
				   .what = "Time between two looks for what no session has announced.",
				   .more = "Rows of prepared transactions, direct inserts, and those of a session that died.",
				   .rule = "It must be a time from 1 s to 1 day.",
				   .min = 1,.max = 24 * 60 * 60,.number = &pnvs_scan_interval_s),

	/* Each takes 100 bytes of shared memory, and the launcher scans them. */
	SETTING(MAX_DATABASES, "pnvs.max_databases", NUMBER, "512", PGC_POSTMASTER,
			.what = "Databases of the server that can have a worker.",
			.rule = "It must be a number from 1 to 10000.",
			.min = 1,.max = 10000,.number = &pnvs_max_databases),
	SWITCH_SETTING(NOTIFY, "pnvs.notify", "on", PGC_SIGHUP,
				   .what = "Sends a NOTIFY for each message that is settled.",
				   .is_on = &pnvs_notify),
	SETTING(MAX_ATTEMPTS, "pnvs.max_attempts", NUMBER, "10", PGC_SIGHUP,
			.what = "Attempts to send a message that provably was not sent.",
			.rule = "It must be a number from 1 to 1000.",
			.min = 1,.max = 1000,.number = &pnvs_max_attempts),
	TIME_S_SETTING(RETENTION, "pnvs.retention", "30d", PGC_SIGHUP,
				   .what = "Time after which settled rows of the queue are deleted.",
				   .rule = "It must be a time from 1 s to 68 years.",
				   .min = 1,.max = INT_MAX,.number = &pnvs_retention_s),
	TIME_S_SETTING(RECONCILE_FOR, "pnvs.reconcile_for", "10min", PGC_SIGHUP,
				   .what = "Time for which a message of unknown fate is looked for.",
				   .rule = "It must be a time from 0 to 1 day.",
				   .max = 24 * 60 * 60,.number = &pnvs_reconcile_for_s),
	SETTING(AFTER_PROMOTION, "pnvs.after_promotion", CHOICE, "verify", PGC_SIGHUP,
			.what = "What becomes of messages that were queued before a standby was promoted.",
			.more = "\"verify\" looks each up before it is sent.",
			.rule = "It must be \"verify\", \"send\" or \"hold\".",
			.options = after_promotion_options,.number = &pnvs_after_promotion),
	SWITCH_SETTING(SENDING, "pnvs.sending", "on", PGC_SIGHUP,
				   .what = "Sends messages at all.",
				   .more = "If it is off, direct calls are refused, and queued messages wait and expire.",
				   .is_on = &pnvs_sending),
	SETTING(CHANNELS, "pnvs.channels", CHANNELS, "SMS, VOICE, WHATSAPP", PGC_SIGHUP,.in_force = &pnvs_in_force.channels,
			.what = "Channels that may be used at all.",
			.rule = "It must name SMS, VOICE or WHATSAPP, or several of them."),
	SETTING(LIMITS, "pnvs.limits", LIMITS, PNVS_DEFAULT_LIMITS, PGC_SIGHUP,.in_force = &pnvs_in_force.limits,
			.what = "Limits of the number of messages, and of wrong codes.",
			.more = "SCOPE [CHANNEL] [unapproved] N/INTERVAL ..., separated by commas; empty: none."),
	SETTING(LIMITS_MODE, "pnvs.limits_mode", CHOICE, "enforce", PGC_SIGHUP,
			.what = "What becomes of a message that a limit or the breaker refuses.",
			.more = "\"observe\" counts and logs it, and lets it through.",
			.rule = "It must be \"enforce\" or \"observe\".",
			.options = limits_mode_options,.number = &pnvs_limits_mode),
	SETTING(COUNTRIES, "pnvs.countries", COUNTRIES, "", PGC_SIGHUP,.in_force = &pnvs_in_force.countries,
			.what = "Countries that may be sent to, by ISO code or calling code.",
			.more = "With a minus sign those that may not; empty: all."),
	SETTING(BREAKER, "pnvs.breaker", BREAKER, PNVS_DEFAULT_BREAKER, PGC_SIGHUP,.in_force = &pnvs_in_force.breaker,
			.what = "When sending to a country stops because too few of its numbers are approved.",
			.more = "country NUMBERS/INTERVAL SHARE% PAUSE; empty: never."),
	SETTING(TEST_NUMBERS, "pnvs.test_numbers", TEST_NUMBERS, "", PGC_SIGHUP,
			.is_secret = true,.in_force = &pnvs_in_force.test_numbers,
			.what = "Numbers that nothing is sent to, with the code that is right for each.",
			.more = "NUMBER=CODE until DATE, separated by commas. It is never shown."),

	/*
	 * Less has no room for the keys of an attack; more takes long to write
	 * every 10 s.
	 */
	SETTING(GUARD_MEMORY, "pnvs.guard_memory", NUMBER, "8MB", PGC_POSTMASTER,.flags = GUC_UNIT_KB,
			.what = "Shared memory for what limits count.",
			.rule = "It must be a size from 1 MB to 1 GB.",
			.min = 1024,.max = 1024 * 1024,.number = &pnvs_guard_memory_kb),
	/* With 20 tries, every 50,000th code of 6 digits is guessed. */
	SETTING(MAX_TRIES, "pnvs.max_tries", NUMBER, "5", PGC_SIGHUP,
			.what = "Wrong codes that a verification takes, over all of its messages.",
			.rule = "It must be a number from 1 to 20.",
			.min = 1,.max = 20,.number = &pnvs_max_tries),
};

static bool loading = false;	/* the library */
static bool loading_in_session = false; /* after the start of a session */
static bool secret_was_readable = false;	/* in a file, before the library
											 * was loaded */

/* This process uses the server's values alone. */
static bool servers_alone = false;

/*
 * Declares the settings, and so checks the values that were set before.  Called once,
 * when the library is loaded.  A message that this causes, even PostgreSQL's own, does
 * not log the statement that loaded the library.
 */
void
pnvs_settings_init(void)
{
	ErrorContextCallback context = {error_context_stack, hide_statement, NULL};

	error_context_stack = &context;
	loading_in_session = IsUnderPostmaster && IsNormalProcessingMode() &&
		!InitializingParallelWorker;
	loading = true;
	for (int i = 0; i < NSETTINGS; i++)
		define(&settings[i]);
	loading = false;
	loading_in_session = false;
	pnvs_settings_note_unknown_names();
	MarkGUCPrefixReserved("pnvs");

	if (secret_was_readable)
		ereport(WARNING,
				(errmsg("every role can read the secret settings of pnvs before its library is loaded"),
				 errhint("Add \"pnvs\" to shared_preload_libraries.")));
	error_context_stack = context.previous;
}

/* The parsed pnvs.endpoint; empty if it is invalid.  Valid until the setting changes. */
const PnvsEndpoint *
pnvs_settings_endpoint(void)
{
	static const PnvsEndpoint none = {0};
	const PnvsEndpoint *endpoint = value_of(ENDPOINT)->data;

	return endpoint ? endpoint : &none;
}

/*
 * The credentials, or an empty text.  Valid until the setting changes: no caller may keep
 * them past a point at which that can happen.
 */
const char *
pnvs_settings_access_key_id(void)
{
	return value_of(ACCESS_KEY_ID)->data;
}

const char *
pnvs_settings_access_key_secret(void)
{
	return value_of(ACCESS_KEY_SECRET)->data;
}

const char *
pnvs_settings_security_token(void)
{
	return value_of(SECURITY_TOKEN)->data;
}

/* The service's ID, or an empty text; throws if it is invalid. */
const char *
pnvs_settings_service_sid(void)
{
	const PnvsSettingValue *value = value_of(SERVICE_SID);

	if (value->fault != NULL)
		pnvs_settings_refuse(settings[SERVICE_SID].name, value);
	return settings[SERVICE_SID].kept;
}

int
pnvs_settings_connect_timeout_ms(void)
{
	return value_of(CONNECT_TIMEOUT)->number;
}

int
pnvs_settings_request_timeout_ms(void)
{
	return value_of(REQUEST_TIMEOUT)->number;
}

/*
 * Whether this process sends what others have queued.  If so, a setting that every role
 * may set has the server's value here, whatever the session, the database or the role
 * has set.  If one of those was set before the library was loaded, the server's value is
 * not known, and the default is used.
 */
void
pnvs_settings_use_server_values(bool use)
{
	servers_alone = use;
}

static void
define(PnvsSetting *setting)
{
	int			flags = GUC_NOT_IN_SAMPLE;
	GucContext	context = setting->context;

	/* a secret in postgresql.auto.conf came from a statement */
	if (setting->is_secret)
		flags |= GUC_DISALLOW_IN_AUTO_FILE;
	/* nobody could set it if a session loads the library */
	if (context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress)
		context = PGC_SIGHUP;
	DefineCustomStringVariable(setting->name, setting->what,
							   setting->kind == PNVS_SETTING_NUMBER ? setting->rule : setting->more,
							   setting->text ? setting->text : &setting->kept,
							   setting->boot, context, flags,
							   setting->check, setting->assign, setting->show);
}

/* Refuses an invalid value if somebody waits for the answer, and marks it otherwise. */
static bool
check(const PnvsSetting *setting, char **text, void **extra, GucSource source)
{
	bool		is_secret = setting->is_secret;
	PnvsSettingReading reading;

	pnvs_setting_read(setting, *text, &reading);
	reading.value.is_servers = source <= PGC_S_ARGV;
	reading.value.is_default = source == PGC_S_DEFAULT;

	/*
	 * at the server's start: by which rules the snapshot was counted, nobody
	 * knows
	 */
	if (loading && reading.value.fault != NULL && setting->in_force != NULL)
		reading.value.data = NULL;
	if (is_secret && (source == PGC_S_TEST || (source >= PGC_S_GLOBAL && source <= PGC_S_DATABASE_USER)))
	{
		reading.value.fault = "Settings of roles, databases and functions can be read by everybody.";
		reading.value.hint = "Set it in a configuration file of mode 0600.";
		reading.value.data = setting->kind == PNVS_SETTING_SECRET ? "" : NULL;
		reading.value.data_len = 1;
	}
	if (reading.value.fault != NULL && !loading && !InitializingParallelWorker &&
		(source >= PGC_S_CLIENT || pnvs_settings_in_alter_system))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"%s\"", setting->name),
				 errdetail("%s", reading.value.fault),
				 reading.value.hint ? errhint("%s", reading.value.hint) : 0,
				 pnvs_errhide()));
	if (is_secret && source == PGC_S_FILE && (*text)[0] != '\0' && loading_in_session)
		secret_was_readable = true;
	*extra = pnvs_setting_keep(setting, &reading, text);
	if (is_secret)
		explicit_bzero(&reading, sizeof(reading));
	return *extra != NULL;
}

static void
assign(PnvsSetting *setting, const PnvsSettingValue *value)
{
	setting->value = value;
	if (setting->in_force)
	{
		setting->in_force->name = setting->name;
		setting->in_force->value = value;
		setting->in_force->nchanges++;
	}
	if (value->is_servers)
		setting->servers = *value;
	if (setting->number)
		*setting->number = value->number;
	if (setting->is_on)
		*setting->is_on = value->number != 0;
}

/* The value that this process uses. */
static const PnvsSettingValue *
value_of(SettingId id)
{
	const PnvsSetting *setting = &settings[id];

	return servers_alone && setting->context == PGC_USERSET ? &setting->servers : setting->value;
}

/* The name of a setting whose value is invalid, and the value; or NULL. */
const char *
pnvs_settings_find_invalid(const PnvsSettingValue **value)
{
	for (int i = 0; i < NSETTINGS; i++)
	{
		*value = value_of(i);
		if ((*value)->fault != NULL)
			return settings[i].name;
	}
	return NULL;
}

/* An ErrorContextCallback. */
static void
hide_statement(void *arg)
{
	(void) pnvs_errhide();
}
