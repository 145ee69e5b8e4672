/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings of pnvs, as other files read them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTINGS_H
#define PNVS_SETTINGS_H

#include "datatype/timestamp.h"

#include "core/breaker.h"
#include "core/channel_list.h"
#include "core/country_list.h"
#include "core/endpoint.h"
#include "core/rules.h"
#include "core/test_numbers.h"

/* Longer than any service ID of the service, short enough for any buffer. */
#define PNVS_MAX_SERVICE_SID_LEN 128

#define PNVS_MAX_ACCESS_KEY_ID_LEN 128
#define PNVS_MAX_ACCESS_KEY_SECRET_LEN 256

/* Tokens of Alibaba Cloud's STS have 1 to 2 kB. */
#define PNVS_MAX_SECURITY_TOKEN_LEN 4096

/* The defaults of the time-outs. */
#define PNVS_CONNECT_TIMEOUT_S 3
#define PNVS_REQUEST_TIMEOUT_S 10

typedef enum PnvsOnFailure
{
	PNVS_ON_FAILURE_ROW,		/* a refusal is returned as a row */
	PNVS_ON_FAILURE_ERROR		/* it is raised as an ERROR */
} PnvsOnFailure;

/* What to do with rows that were queued before a standby was promoted. */
typedef enum PnvsAfterPromotion
{
	PNVS_AFTER_PROMOTION_VERIFY,	/* look them up before their first send */
	PNVS_AFTER_PROMOTION_SEND,	/* send them like others */
	PNVS_AFTER_PROMOTION_HOLD	/* leave them queued */
} PnvsAfterPromotion;

/* What to do with a message that a limit or the breaker refuses. */
typedef enum PnvsLimitsMode
{
	PNVS_LIMITS_ENFORCE,
	PNVS_LIMITS_OBSERVE			/* let it through; count and log it */
} PnvsLimitsMode;

extern char *pnvs_ca_file;
extern char *pnvs_proxy;
extern int	pnvs_on_failure;	/* a PnvsOnFailure */
extern bool pnvs_expose_verify_code;

/* Of the queue; only the server's configuration sets them. */
extern bool pnvs_worker;
extern int	pnvs_worker_idle_timeout_s;
extern int	pnvs_max_in_flight;
extern int	pnvs_scan_interval_s;
extern int	pnvs_max_databases;
extern int	pnvs_max_attempts;
extern int	pnvs_retention_s;
extern int	pnvs_reconcile_for_s;
extern int	pnvs_after_promotion;	/* a PnvsAfterPromotion */
extern bool pnvs_notify;

/* Of the guard; the same. */
extern bool pnvs_sending;
extern int	pnvs_limits_mode;	/* a PnvsLimitsMode */
extern int	pnvs_guard_memory_kb;
extern int	pnvs_max_tries;

extern void pnvs_settings_init(void);
extern const PnvsEndpoint *pnvs_settings_endpoint(void);
extern const char *pnvs_settings_access_key_id(void);
extern const char *pnvs_settings_access_key_secret(void);
extern const char *pnvs_settings_security_token(void);
extern const char *pnvs_settings_service_sid(void);
extern int	pnvs_settings_connect_timeout_ms(void);
extern int	pnvs_settings_request_timeout_ms(void);
extern void pnvs_settings_use_server_values(bool use);

/* settings_guard.c */
extern uint32 pnvs_settings_channels(void);
extern const PnvsRules *pnvs_settings_limits(void);
extern const char *pnvs_settings_counting(void);
extern uint64 pnvs_settings_rules_changes(void);
extern const PnvsBreakerRule *pnvs_settings_breaker(void);
extern const PnvsCountryList *pnvs_settings_countries(void);
extern const PnvsTestNumber *pnvs_settings_test_number(const char *digits, TimestampTz when);
extern const char *pnvs_settings_invalid_at_the_door(void);
extern void pnvs_settings_refuse_at_the_door(void);

/* settings_invalid.c */
extern const char *pnvs_settings_invalid_name(void);
extern void pnvs_settings_refuse_if_invalid(void);
extern int64 pnvs_settings_complain(bool of_server);

/*
 * ALTER SYSTEM is under way: its values are checked like those of a file, but somebody
 * waits for the answer.
 */
extern bool pnvs_settings_in_alter_system;

/* settings_statement.c */
extern void pnvs_settings_hide_statement(void *statement);

#endif							/* PNVS_SETTINGS_H */
