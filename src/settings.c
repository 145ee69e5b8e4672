/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Every setting of pnvs, and what it is.
 *
 * Fails closed.  PostgreSQL replaces a value of the configuration that is not valid
 * by the default, with a warning: that would be the real service, no proxy, the
 * worker on.  So a check hook takes such a value and marks it, and nothing is sent
 * for as long as a marked one is in force, see settings_invalid.c.  What somebody
 * sets in a session that has the library is refused at once.
 *
 * Secrets.  The value that PostgreSQL keeps of a secret setting is always
 * "********", whether or not it is set, so that there is nothing else to show, and a
 * reload that changes a secret finds the value unchanged and logs nothing.  A hook
 * shows "(none)" instead where it is empty.  The secret itself travels beside the
 * value, as what GUC calls its extra.
 *
 * That protects a secret from the moment at which the library is loaded.
 * Before, PostgreSQL knows the setting as a placeholder, shows it to every role
 * and logs its changes.  So a secret in a configuration file needs the library
 * in shared_preload_libraries.  session_preload_libraries does not reach the
 * postmaster, which logs, nor replication connections, which can SHOW; without
 * either, a warning says so when the library is loaded.
 *
 * Whose values.  What a queued message is sent with is the server's: the
 * configuration files' or the command line's.  A sender serves every role, so what
 * its session, its database or its role has set of what anybody may set does not
 * count there, see pnvs_settings_use_server_values().
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
#include "settings_name.h"
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
	DO(AFTER_PROMOTION)
#define ID(id) id,

typedef enum SettingId
{
	EACH_SETTING(ID)
	NSETTINGS
} SettingId;

/* Filled in below. */
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

#define OWN(id) .check = check_##id, .assign = assign_##id, .show = show_##id
#define SECRET PNVS_SETTING_SECRET, "", PGC_SUSET, \
	.more = "It is never shown.", \
	.rule = "It is too long, or has a character other than visible ASCII."

static const struct config_enum_entry on_failure_options[] = {
	{"row", PNVS_ON_FAILURE_ROW, false},
	{"error", PNVS_ON_FAILURE_ERROR, false},
	{NULL, 0, false}
};

static const struct config_enum_entry after_promotion_options[] = {
	{"verify", PNVS_AFTER_PROMOTION_VERIFY, false},
	{"send", PNVS_AFTER_PROMOTION_SEND, false},
	{"hold", PNVS_AFTER_PROMOTION_HOLD, false},
	{NULL, 0, false}
};

/* A rule of numbers has the bounds in the README's words; a test compares them. */
static PnvsSetting settings[NSETTINGS] =
{
	[ACCESS_KEY_ID] =
	{
		"pnvs.access_key_id", SECRET,
		.what = "ID of the access key that requests are signed with.",
		.max = PNVS_MAX_ACCESS_KEY_ID_LEN, OWN(ACCESS_KEY_ID)
	},
	[ACCESS_KEY_SECRET] =
	{
		"pnvs.access_key_secret", SECRET,
		.what = "Secret of the access key that requests are signed with.",
		.max = PNVS_MAX_ACCESS_KEY_SECRET_LEN, OWN(ACCESS_KEY_SECRET)
	},
	[SECURITY_TOKEN] =
	{
		"pnvs.security_token", SECRET,
		.what = "Security token that belongs to a temporary access key.",
		.max = PNVS_MAX_SECURITY_TOKEN_LEN, OWN(SECURITY_TOKEN)
	},
	[ENDPOINT] =
	{
		"pnvs.endpoint", PNVS_SETTING_ENDPOINT,
		"https://dypnsapi-intl.ap-southeast-1.aliyuncs.com", PGC_SUSET,
		.what = "Address of the verification service.",
		.more = "Scheme, host and optional port.",
		OWN(ENDPOINT)
	},
	[CA_FILE] =
	{
		"pnvs.ca_file", PNVS_SETTING_FILE, "", PGC_SUSET,
		.what = "File of the certificate authorities that are trusted.",
		.more = "Empty means those of the system.",
		.rule = "It must be an absolute path, or empty.",
		.text = &pnvs_ca_file, OWN(CA_FILE)
	},
	[PROXY] =
	{
		"pnvs.proxy", PNVS_SETTING_PROXY, "", PGC_SUSET,
		.what = "Address of an HTTP proxy.",
		.more = "Empty means none; the proxies of the environment are ignored.",
		.rule = "It must be \"http://\" or \"https://\", a host and an optional port.",
		.text = &pnvs_proxy, OWN(PROXY)
	},

	/*
	 * A time-out below 10 ms cannot be met by any network; above 10 minutes
	 * it no longer protects a session.
	 */
	[CONNECT_TIMEOUT] =
	{
		"pnvs.connect_timeout", PNVS_SETTING_NUMBER, "3s", PGC_USERSET, GUC_UNIT_MS,
		.what = "Time for name look-up, connection and TLS handshake.",
		.rule = "It must be a time from 10 ms to 10 min.",
		.min = 10,.max = 10 * 60 * 1000, OWN(CONNECT_TIMEOUT)
	},
	[REQUEST_TIMEOUT] =
	{
		"pnvs.request_timeout", PNVS_SETTING_NUMBER, "10s", PGC_USERSET, GUC_UNIT_MS,
		.what = "Time for a whole request, from its start to the end of the reply.",
		.rule = "It must be a time from 10 ms to 10 min.",
		.min = 10,.max = 10 * 60 * 1000, OWN(REQUEST_TIMEOUT)
	},
	[SERVICE_SID] =
	{
		"pnvs.service_sid", PNVS_SETTING_WORD, "", PGC_USERSET,
		.what = "Service that is used where a call names none.",
		.rule = "It must be made of visible ASCII characters, without spaces, 128 of them at the most.",
		.max = PNVS_MAX_SERVICE_SID_LEN, OWN(SERVICE_SID)
	},
	[ON_FAILURE] =
	{
		"pnvs.on_failure", PNVS_SETTING_CHOICE, "row", PGC_USERSET,
		.what = "What a call makes of the service's refusal.",
		.more = "\"row\" returns it, \"error\" raises it.",
		.rule = "It must be \"row\" or \"error\".",
		.options = on_failure_options,.number = &pnvs_on_failure, OWN(ON_FAILURE)
	},
	[EXPOSE_VERIFY_CODE] =
	{
		"pnvs.expose_verify_code", PNVS_SETTING_SWITCH, "off", PGC_SUSET,
		.what = "Hands out the one-time code where the service returns it.",
		.more = "Whoever may send can then pass every check.",
		.rule = "It must be \"on\" or \"off\".",
		.is_on = &pnvs_expose_verify_code, OWN(EXPOSE_VERIFY_CODE)
	},
	[WORKER] =
	{
		"pnvs.worker", PNVS_SETTING_SWITCH, "on", PGC_SIGHUP,
		.what = "Sends what is queued from background workers.",
		.more = "They need the library in shared_preload_libraries.",
		.rule = "It must be \"on\" or \"off\".",
		.is_on = &pnvs_worker, OWN(WORKER)
	},
	/* Zero: it leaves as soon as nothing is due. */
	[WORKER_IDLE_TIMEOUT] =
	{
		"pnvs.worker_idle_timeout", PNVS_SETTING_NUMBER, "5min", PGC_SIGHUP, GUC_UNIT_S,
		.what = "Time that a worker with nothing to do stays in its database.",
		.rule = "It must be a time from 0 to 1 day.",
		.max = 24 * 60 * 60,.number = &pnvs_worker_idle_timeout_s, OWN(WORKER_IDLE_TIMEOUT)
	},
	/* A connection takes about 80 kB and one file descriptor. */
	[MAX_IN_FLIGHT] =
	{
		"pnvs.max_in_flight", PNVS_SETTING_NUMBER, "50", PGC_SIGHUP,
		.what = "Requests that a worker has under way at once.",
		.rule = "It must be a number from 1 to 1000.",
		.min = 1,.max = 1000,.number = &pnvs_max_in_flight, OWN(MAX_IN_FLIGHT)
	},
	[SCAN_INTERVAL] =
	{
		"pnvs.scan_interval", PNVS_SETTING_NUMBER, "1min", PGC_SIGHUP, GUC_UNIT_S,
		.what = "Time between two looks for what no session has announced.",
		.more = "Rows of prepared transactions, direct inserts, and those of a session that died.",
		.rule = "It must be a time from 1 s to 1 day.",
		.min = 1,.max = 24 * 60 * 60,.number = &pnvs_scan_interval_s, OWN(SCAN_INTERVAL)
	},

	/* A slot takes 100 bytes, and the launcher walks over them. */
	[MAX_DATABASES] =
	{
		"pnvs.max_databases", PNVS_SETTING_NUMBER, "512", PGC_POSTMASTER,
		.what = "Databases of the server that can have a worker.",
		.rule = "It must be a number from 1 to 10000.",
		.min = 1,.max = 10000,.number = &pnvs_max_databases, OWN(MAX_DATABASES)
	},
	[NOTIFY] =
	{
		"pnvs.notify", PNVS_SETTING_SWITCH, "on", PGC_SIGHUP,
		.what = "Sends a NOTIFY for each message that is settled.",
		.rule = "It must be \"on\" or \"off\".",
		.is_on = &pnvs_notify, OWN(NOTIFY)
	},
	[MAX_ATTEMPTS] =
	{
		"pnvs.max_attempts", PNVS_SETTING_NUMBER, "10", PGC_SIGHUP,
		.what = "Attempts to send a message that provably was not sent.",
		.rule = "It must be a number from 1 to 1000.",
		.min = 1,.max = 1000,.number = &pnvs_max_attempts, OWN(MAX_ATTEMPTS)
	},
	[RETENTION] =
	{
		"pnvs.retention", PNVS_SETTING_NUMBER, "30d", PGC_SIGHUP, GUC_UNIT_S,
		.what = "Time after which settled rows of the queue are deleted.",
		.rule = "It must be a time from 1 s to 68 years.",
		.min = 1,.max = INT_MAX,.number = &pnvs_retention_s, OWN(RETENTION)
	},
	[RECONCILE_FOR] =
	{
		"pnvs.reconcile_for", PNVS_SETTING_NUMBER, "10min", PGC_SIGHUP, GUC_UNIT_S,
		.what = "Time for which a message of unknown fate is looked for.",
		.rule = "It must be a time from 0 to 1 day.",
		.max = 24 * 60 * 60,.number = &pnvs_reconcile_for_s, OWN(RECONCILE_FOR)
	},
	[AFTER_PROMOTION] =
	{
		"pnvs.after_promotion", PNVS_SETTING_CHOICE, "verify", PGC_SIGHUP,
		.what = "What becomes of messages that were queued before a standby was promoted.",
		.more = "\"verify\" looks each up before it is sent.",
		.rule = "It must be \"verify\", \"send\" or \"hold\".",
		.options = after_promotion_options,.number = &pnvs_after_promotion,
		OWN(AFTER_PROMOTION)
	}
};

/*
 * Whether the library is being loaded, whether that is by a running session, not
 * at the start of one, and whether a secret of a configuration file was a
 * placeholder until then.
 */
static bool loading = false;
static bool loading_in_session = false;
static bool secret_was_readable = false;

static bool servers_alone = false;

/*
 * Declares the settings.  Called once, when the library is loaded; values that
 * were set before are judged here.  What is logged meanwhile, by PostgreSQL too,
 * keeps the statement that has loaded the library out of the log.
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
				(errmsg("every role can read the credentials of pnvs before its library is loaded"),
				 errhint("Add \"pnvs\" to shared_preload_libraries.")));
	error_context_stack = context.previous;
}

/*
 * The parsed pnvs.endpoint; never NULL, and empty where it is not valid.  Valid
 * until the setting changes.
 */
const PnvsEndpoint *
pnvs_settings_endpoint(void)
{
	static const PnvsEndpoint none = {0};
	const PnvsEndpoint *endpoint = value_of(ENDPOINT)->data;

	return endpoint ? endpoint : &none;
}

/*
 * The credentials as set, or an empty text; never NULL.  Valid until the
 * setting changes: no code may keep them over a point where that can happen.
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

/* The service, or an empty text; throws where it is not valid. */
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
 * Whether this process sends what others have queued: what anybody may set counts
 * as the server has it then, whatever session, database or role say.  Where the
 * library was loaded after one of those had set it, nobody knows the server's, and
 * it is the default.
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

	/* a secret in postgresql.auto.conf was in a statement */
	if (setting->kind == PNVS_SETTING_SECRET)
		flags |= GUC_DISALLOW_IN_AUTO_FILE;
	/* nobody could set it where the library is loaded by a session */
	if (context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress)
		context = PGC_SIGHUP;
	DefineCustomStringVariable(setting->name, setting->what,
							   setting->kind == PNVS_SETTING_NUMBER ? setting->rule : setting->more,
							   setting->text ? setting->text : &setting->kept,
							   setting->boot, context, flags,
							   setting->check, setting->assign, setting->show);
}

/* Judges a value.  Where somebody waits for the answer, it is refused; else marked. */
static bool
check(const PnvsSetting *setting, char **text, void **extra, GucSource source)
{
	bool		is_secret = setting->kind == PNVS_SETTING_SECRET;
	PnvsSettingReading reading;

	pnvs_setting_read(setting, *text, &reading);
	reading.value.is_servers = source <= PGC_S_ARGV;
	if (is_secret && (source == PGC_S_TEST || (source >= PGC_S_GLOBAL && source <= PGC_S_DATABASE_USER)))
	{
		reading.value.fault = "Settings of roles, databases and functions can be read by everybody.";
		reading.value.hint = "Set it in a configuration file of mode 0600.";
		reading.value.data = "";
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
	return *extra != NULL;
}

static void
assign(PnvsSetting *setting, const PnvsSettingValue *value)
{
	setting->value = value;
	if (value->is_servers)
		setting->servers = *value;
	if (setting->number)
		*setting->number = value->number;
	if (setting->is_on)
		*setting->is_on = value->number != 0;
}

/* What counts in this process. */
static const PnvsSettingValue *
value_of(SettingId id)
{
	const PnvsSetting *setting = &settings[id];

	return servers_alone && setting->context == PGC_USERSET ? &setting->servers : setting->value;
}

/* The name of a setting whose value is not valid, and the value, or NULL. */
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
