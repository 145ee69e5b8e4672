/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Every setting of pnvs, its bounds and its check.
 *
 * Secrets.  The value that PostgreSQL keeps and shows of a secret setting is
 * always "********", whether or not it is set: SHOW, current_setting() and
 * pg_settings, its reset_val included, have nothing else to show, and a reload
 * that changes a secret finds the value unchanged and logs nothing.  The secret
 * itself travels beside the value, as what GUC calls its extra.
 *
 * That protects a secret from the moment at which the library is loaded.
 * Before, PostgreSQL knows the setting as a placeholder, shows it to every role
 * and logs its changes.  So a secret in a configuration file needs the library
 * in shared_preload_libraries.  session_preload_libraries does not reach the
 * postmaster, which logs, nor replication connections, which can SHOW; without
 * either, a warning says so when the library is loaded.
 *
 * A check hook never lets GUC print the value that it refuses: proxies and
 * endpoints can hold a password by mistake, too.
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

#define DEFAULT_ENDPOINT "https://dypnsapi-intl.ap-southeast-1.aliyuncs.com"
#define MASK "********"

/*
 * A time-out below 10 ms cannot be met by any network; above 10 minutes it no
 * longer protects a session.
 */
#define MIN_TIMEOUT_MS 10
#define MAX_TIMEOUT_MS (10 * 60 * 1000)

char	   *pnvs_service_sid;
char	   *pnvs_ca_file;
char	   *pnvs_proxy;
int			pnvs_connect_timeout_ms;
int			pnvs_request_timeout_ms;
int			pnvs_on_failure;
bool		pnvs_expose_verify_code;

static char *endpoint_text;
static char *access_key_id_mask;
static char *access_key_secret_mask;
static char *security_token_mask;

/* What the assign hooks made of the extras.  GUC owns the memory. */
static const PnvsEndpoint *endpoint;
static const char *access_key_id = "";
static const char *access_key_secret = "";
static const char *security_token = "";

/*
 * Whether the library is being loaded, whether that is by a running session, not
 * at the start of one, and whether a secret of a configuration file was a
 * placeholder until then.
 */
static bool loading = false;
static bool loading_in_session = false;
static bool secret_was_readable = false;

static const struct config_enum_entry on_failure_options[] = {
	{"row", PNVS_ON_FAILURE_ROW, false},
	{"error", PNVS_ON_FAILURE_ERROR, false},
	{NULL, 0, false}
};

static void define_secrets(void);
static void define_connection_settings(void);
static void define_call_settings(void);
static bool check_endpoint(char **value, void **extra, GucSource source);
static bool check_proxy(char **value, void **extra, GucSource source);
static bool check_ca_file(char **value, void **extra, GucSource source);
static bool check_service_sid(char **value, void **extra, GucSource source);
static bool check_access_key_id(char **value, void **extra, GucSource source);
static bool check_access_key_secret(char **value, void **extra, GucSource source);
static bool check_security_token(char **value, void **extra, GucSource source);
static void assign_endpoint(const char *value, void *extra);
static void assign_access_key_id(const char *value, void *extra);
static void assign_access_key_secret(const char *value, void *extra);
static void assign_security_token(const char *value, void *extra);
static bool check_secret(const char *name, int max_len, char **value, void **extra,
						 GucSource source);
static bool refuse(GucSource source, const char *name, const char *detail,
				   const char *hint);
static bool is_visible_ascii(const char *text, int max_len);

/*
 * Declares the settings.  Called once, when the library is loaded; values that
 * were set before are checked here and, where they are bad or their setter had
 * no right to them, replaced by the default with a warning.
 */
void
pnvs_settings_init(void)
{
	loading_in_session = IsUnderPostmaster && IsNormalProcessingMode() &&
		!InitializingParallelWorker;
	loading = true;
	define_secrets();
	define_connection_settings();
	define_call_settings();
	pnvs_settings_define_queue();
	loading = false;
	loading_in_session = false;
	MarkGUCPrefixReserved("pnvs");

	if (secret_was_readable)
		ereport(WARNING,
				(errmsg("every role can read the credentials of pnvs before its library is loaded"),
				 errhint("Add \"pnvs\" to shared_preload_libraries.")));
}

/* The parsed pnvs.endpoint; never NULL.  Valid until the setting changes. */
const PnvsEndpoint *
pnvs_settings_endpoint(void)
{
	return endpoint;
}

/*
 * The credentials as set, or an empty text; never NULL.  Valid until the
 * setting changes: no code may keep them over a point where that can happen.
 */
const char *
pnvs_settings_access_key_id(void)
{
	return access_key_id;
}

const char *
pnvs_settings_access_key_secret(void)
{
	return access_key_secret;
}

const char *
pnvs_settings_security_token(void)
{
	return security_token;
}

static void
define_secrets(void)
{
	DefineCustomStringVariable("pnvs.access_key_id",
							   "ID of the access key that requests are signed with.",
							   "It is never shown.",
							   &access_key_id_mask, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_access_key_id, assign_access_key_id, NULL);
	DefineCustomStringVariable("pnvs.access_key_secret",
							   "Secret of the access key that requests are signed with.",
							   "It is never shown.",
							   &access_key_secret_mask, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_access_key_secret, assign_access_key_secret, NULL);
	DefineCustomStringVariable("pnvs.security_token",
							   "Security token that belongs to a temporary access key.",
							   "It is never shown.",
							   &security_token_mask, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_security_token, assign_security_token, NULL);
}

static void
define_connection_settings(void)
{
	DefineCustomStringVariable("pnvs.endpoint",
							   "Address of the verification service.",
							   "Scheme, host and optional port.",
							   &endpoint_text, DEFAULT_ENDPOINT,
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_endpoint, assign_endpoint, NULL);
	DefineCustomStringVariable("pnvs.ca_file",
							   "File of the certificate authorities that are trusted.",
							   "Empty means those of the system.",
							   &pnvs_ca_file, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_ca_file, NULL, NULL);
	DefineCustomStringVariable("pnvs.proxy",
							   "Address of an HTTP proxy.",
							   "Empty means none; the proxies of the environment are ignored.",
							   &pnvs_proxy, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_proxy, NULL, NULL);
	DefineCustomIntVariable("pnvs.connect_timeout",
							"Time for name look-up, connection and TLS handshake.",
							NULL,
							&pnvs_connect_timeout_ms,
							3000, MIN_TIMEOUT_MS, MAX_TIMEOUT_MS,
							PGC_USERSET, GUC_UNIT_MS | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pnvs.request_timeout",
							"Time for a whole request, from its start to the end of the reply.",
							NULL,
							&pnvs_request_timeout_ms,
							10000, MIN_TIMEOUT_MS, MAX_TIMEOUT_MS,
							PGC_USERSET, GUC_UNIT_MS | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
}

static void
define_call_settings(void)
{
	DefineCustomStringVariable("pnvs.service_sid",
							   "Service that is used where a call names none.",
							   NULL,
							   &pnvs_service_sid, "",
							   PGC_USERSET, GUC_NOT_IN_SAMPLE,
							   check_service_sid, NULL, NULL);
	DefineCustomEnumVariable("pnvs.on_failure",
							 "What a call makes of the service's refusal.",
							 "\"row\" returns it, \"error\" raises it.",
							 &pnvs_on_failure,
							 PNVS_ON_FAILURE_ROW, on_failure_options,
							 PGC_USERSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("pnvs.expose_verify_code",
							 "Hands out the one-time code where the service returns it.",
							 "Whoever may send can then pass every check.",
							 &pnvs_expose_verify_code,
							 false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static bool
check_endpoint(char **value, void **extra, GucSource source)
{
	static const char *const details[] = {
		[PNVS_ENDPOINT_BAD_SCHEME] = "It must begin with \"https://\".",
		[PNVS_ENDPOINT_BAD_HOST] = "It must be a scheme, a host and an optional port, and nothing else.",
		[PNVS_ENDPOINT_BAD_PORT] = "The port must be a number from 1 to 65535 at the end.",
		[PNVS_ENDPOINT_NOT_LOOPBACK] = "\"http://\" is taken for loopback addresses only (127.0.0.0/8 and [::1]).",
	};
	PnvsEndpoint *parsed = pnvs_guc_malloc(sizeof(PnvsEndpoint));
	PnvsEndpointFault fault;

	if (parsed == NULL)
		return false;
	fault = pnvs_endpoint_parse(*value, parsed);
	if (fault != PNVS_ENDPOINT_OK)
	{
		pnvs_guc_free(parsed);
		return refuse(source, "pnvs.endpoint", details[fault], NULL);
	}
	*extra = parsed;
	return true;
}

static bool
check_proxy(char **value, void **extra, GucSource source)
{
	PnvsEndpoint parsed;
	PnvsEndpointFault fault;

	if ((*value)[0] == '\0')
		return true;
	fault = pnvs_endpoint_parse(*value, &parsed);
	if (fault == PNVS_ENDPOINT_OK || fault == PNVS_ENDPOINT_NOT_LOOPBACK)
		return true;
	return refuse(source, "pnvs.proxy",
				  "It must be \"http://\" or \"https://\", a host and an optional port.",
				  "A proxy that asks for a password cannot be used.");
}

static bool
check_ca_file(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || is_absolute_path(*value))
		return true;
	return refuse(source, "pnvs.ca_file", "It must be an absolute path, or empty.", NULL);
}

static bool
check_service_sid(char **value, void **extra, GucSource source)
{
	if (is_visible_ascii(*value, PNVS_MAX_SERVICE_SID_LEN))
		return true;
	return refuse(source, "pnvs.service_sid",
				  "It must be made of visible ASCII characters, without spaces, 128 of them at the most.",
				  NULL);
}

static bool
check_access_key_id(char **value, void **extra, GucSource source)
{
	return check_secret("pnvs.access_key_id", PNVS_MAX_ACCESS_KEY_ID_LEN,
						value, extra, source);
}

static bool
check_access_key_secret(char **value, void **extra, GucSource source)
{
	return check_secret("pnvs.access_key_secret", PNVS_MAX_ACCESS_KEY_SECRET_LEN,
						value, extra, source);
}

static bool
check_security_token(char **value, void **extra, GucSource source)
{
	return check_secret("pnvs.security_token", PNVS_MAX_SECURITY_TOKEN_LEN,
						value, extra, source);
}

static void
assign_endpoint(const char *value, void *extra)
{
	endpoint = extra;
}

static void
assign_access_key_id(const char *value, void *extra)
{
	access_key_id = extra;
}

static void
assign_access_key_secret(const char *value, void *extra)
{
	access_key_secret = extra;
}

static void
assign_security_token(const char *value, void *extra)
{
	security_token = extra;
}

/*
 * Checks a secret, moves it to *extra and leaves the mask as the value.
 *
 * A parallel worker gets its leader's settings as shown, which is the mask; it
 * never calls the service, so an empty secret does there.
 */
static bool
check_secret(const char *name, int max_len, char **value, void **extra, GucSource source)
{
	char	   *secret;
	char	   *mask;

	if (source == PGC_S_TEST || source == PGC_S_DATABASE || source == PGC_S_USER ||
		source == PGC_S_DATABASE_USER || source == PGC_S_GLOBAL)
		return refuse(source, name,
					  "Settings of roles, databases and functions can be read by everybody.",
					  "Set it in a configuration file of mode 0600.");
	if (!is_visible_ascii(*value, max_len))
		return refuse(source, name,
					  "It is too long, or has a character other than visible ASCII.",
					  "Look for a space or a line break at its end.");
	if (strcmp(*value, MASK) == 0 && !InitializingParallelWorker)
		return refuse(source, name, "This is the mask, not the secret.",
					  "Set the secret itself.");

	if (strcmp(*value, MASK) == 0)
		(*value)[0] = '\0';
	secret = pnvs_guc_malloc(strlen(*value) + 1);
	mask = pnvs_guc_strdup(MASK);
	if (secret == NULL || mask == NULL)
		return false;
	strcpy(secret, *value);
	if (source == PGC_S_FILE && secret[0] != '\0' && loading_in_session)
		secret_was_readable = true;

	explicit_bzero(*value, strlen(*value));
	pnvs_guc_free(*value);
	*value = mask;
	*extra = secret;
	return true;
}

/*
 * Refuses a value without showing it.  An ERROR from here hides the statement
 * from the log, for it holds the value; GUC's own would not.  Where GUC only
 * warns, as at the start of a session or while the library is loaded, it is
 * left to that.
 */
static bool
refuse(GucSource source, const char *name, const char *detail, const char *hint)
{
	if (source >= PGC_S_INTERACTIVE && !loading)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"%s\"", name),
				 errdetail("%s", detail),
				 hint ? errhint("%s", hint) : 0,
				 pnvs_errhide()));
	GUC_check_errmsg("invalid value for parameter \"%s\"", name);
	GUC_check_errdetail("%s", detail);
	if (hint)
		GUC_check_errhint("%s", hint);
	return false;
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
