/*-------------------------------------------------------------------------
 *
 * credentials.h
 *	  The access key that requests are signed with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CREDENTIALS_H
#define PNVS_CREDENTIALS_H

typedef struct PnvsCredentials
{
	const char *access_key_id;
	const char *access_key_secret;
	const char *security_token; /* NULL for a permanent key */
} PnvsCredentials;

extern void pnvs_credentials_hide(char *text);
extern bool pnvs_credentials_are_set(void);
extern void pnvs_credentials_get(PnvsCredentials *credentials);

#endif							/* PNVS_CREDENTIALS_H */
