/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings of pnvs, read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTINGS_H
#define PNVS_SETTINGS_H

#include "core/endpoint.h"

/* Longer service IDs than the service has, short enough for any buffer. */
#define PNVS_MAX_SERVICE_SID_LEN 128

#define PNVS_MAX_ACCESS_KEY_ID_LEN 128
#define PNVS_MAX_ACCESS_KEY_SECRET_LEN 256

/* Tokens of Alibaba Cloud's STS have 1 to 2 kB. */
#define PNVS_MAX_SECURITY_TOKEN_LEN 4096

typedef enum PnvsOnFailure
{
	PNVS_ON_FAILURE_ROW,		/* the service's "no" is a row */
	PNVS_ON_FAILURE_ERROR		/* it is an ERROR */
} PnvsOnFailure;

extern char *pnvs_service_sid;
extern char *pnvs_ca_file;
extern char *pnvs_proxy;
extern int	pnvs_connect_timeout_ms;
extern int	pnvs_request_timeout_ms;
extern int	pnvs_on_failure;	/* a PnvsOnFailure */
extern bool pnvs_expose_verify_code;

extern void pnvs_settings_init(void);
extern const PnvsEndpoint *pnvs_settings_endpoint(void);
extern const char *pnvs_settings_access_key_id(void);
extern const char *pnvs_settings_access_key_secret(void);
extern const char *pnvs_settings_security_token(void);

#endif							/* PNVS_SETTINGS_H */
