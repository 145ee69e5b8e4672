/*-------------------------------------------------------------------------
 *
 * credentials.c
 *	  Gets the access key that requests are signed with, from the settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/redaction.h"
#include "errcodes.h"
#include "remote/credentials.h"
#include "settings.h"

/*
 * Fills in the credentials, or throws if there are none.  The texts belong to the
 * settings, and must not be kept.
 */
void
pnvs_credentials_get(PnvsCredentials *credentials)
{
	const char *token = pnvs_settings_security_token();

	credentials->access_key_id = pnvs_settings_access_key_id();
	credentials->access_key_secret = pnvs_settings_access_key_secret();
	credentials->security_token = token[0] ? token : NULL;

	if (credentials->access_key_id[0] == '\0' ||
		credentials->access_key_secret[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("no credentials for the verification service are configured"),
				 errdetail("\"%s\" is empty.",
						   credentials->access_key_id[0] ?
						   "pnvs.access_key_secret" : "pnvs.access_key_id"),
				 errhint("Set \"pnvs.access_key_id\" and \"pnvs.access_key_secret\" in a configuration file of mode 0600 and reload."),
				 pnvs_errhide()));
}

/* Whether there are credentials. */
bool
pnvs_credentials_are_set(void)
{
	return pnvs_settings_access_key_id()[0] != '\0' && pnvs_settings_access_key_secret()[0] != '\0';
}

/*
 * Overwrites the credentials in a text that is not ours, and whatever looks like a
 * number or a code.
 */
void
pnvs_credentials_hide(char *text)
{
	const char *words[] = {
		pnvs_settings_access_key_id(),
		pnvs_settings_access_key_secret(),
		pnvs_settings_security_token(),
	};

	pnvs_redact(text, words, lengthof(words), true);
}
