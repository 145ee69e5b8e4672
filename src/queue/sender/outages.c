/*-------------------------------------------------------------------------
 *
 * outages.c
 *	  Makes a sender pause during an outage, while the service refuses all requests, and
 *	  tells the log why.
 *
 * core/outage.c decides which messages may be tried.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "core/log_limit.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/sender/outages.h"

typedef struct CauseText
{
	const char *what;
	const char *hint;
} CauseText;

static const CauseText texts[PNVS_CAUSE_COUNT] = {
	[PNVS_CAUSE_SETTINGS] = {
		NULL,					/* the verdict's cause_code says it */
		"Correct the settings of pnvs in the server's configuration and reload."
	},
	[PNVS_CAUSE_CREDENTIALS] = {
		"the service refuses the credentials",
		"Check \"pnvs.access_key_id\", \"pnvs.access_key_secret\", \"pnvs.security_token\" and the RAM policy of the key, and reload."
	},
	[PNVS_CAUSE_ACCOUNT] = {
		"the service refuses the account",
		"Activate the service for the account, or see to its balance."
	},
	[PNVS_CAUSE_ENDPOINT] = {
		"the endpoint does not have this operation",
		"Check \"pnvs.endpoint\" and reload."
	},
	[PNVS_CAUSE_CLOCK] = {
		"the service refuses the time stamp",
		"Set the clock of this server."
	},
	[PNVS_CAUSE_RESOLVE] = {
		"the name of the endpoint could not be resolved",
		"Check \"pnvs.endpoint\", \"pnvs.proxy\" and this server's name resolution."
	},
	[PNVS_CAUSE_CONNECT] = {
		"the endpoint could not be reached",
		"Check \"pnvs.endpoint\", \"pnvs.proxy\" and the network."
	},
	[PNVS_CAUSE_TLS] = {
		"no trusted connection to the endpoint could be made",
		"Check \"pnvs.ca_file\", \"pnvs.endpoint\" and what stands between this server and the service."
	},
	[PNVS_CAUSE_THROTTLED] = {
		"the service takes no more requests at the moment",
		"Lower \"pnvs.max_in_flight\", or have the limits of the account raised."
	},
};

/* The log tells of an outage, and not yet of its end. */
static bool told = false;

static void note(PnvsOutage *outage, const PnvsVerdicts *verdicts, const char *was);
static void log_cause(const PnvsVerdict *verdict);

/* Takes note of requests that have come back, by the verdicts on their rows. */
void
pnvs_outages_note(PnvsOutages *outages, const PnvsVerdicts *verdicts)
{
	note(&outages->sends, verdicts, "sending");
	note(&outages->look_ups, verdicts, "unknown");
}

/* Failures come first: a request that succeeded at the same time ends the outage. */
static void
note(PnvsOutage *outage, const PnvsVerdicts *verdicts, const char *was)
{
	int64		now_us = pnvs_monotonic_us();

	/* the same number serves all failures: they make a single pause */
	uint32		random = pg_prng_uint32(&pg_global_prng_state);

	for (int i = 0; i < verdicts->n; i++)
	{
		const PnvsVerdict *verdict = &verdicts->list[i];

		if (strcmp(verdict->was, was) != 0)
			continue;
		if (verdict->fault == PNVS_FAULT_ALL)
			pnvs_outage_failed(outage, verdict->id, now_us, random);
		else if (verdict->fault == PNVS_FAULT_UNCLEAR)
			pnvs_outage_undecided(outage, verdict->id, now_us, random);
	}
	for (int i = 0; i < verdicts->n; i++)
	{
		const PnvsVerdict *verdict = &verdicts->list[i];

		if (strcmp(verdict->was, was) == 0 &&
			(verdict->fault == PNVS_FAULT_NONE || verdict->fault == PNVS_FAULT_MESSAGE))
			pnvs_outage_succeeded(outage, verdict->id);
	}
}

/*
 * Logs the causes that stop all messages, or may, once a minute each.  Logs the end of an
 * outage if the log has told of it.
 */
void
pnvs_outages_log(const PnvsOutages *before, const PnvsOutages *after,
				 const PnvsVerdicts *verdicts)
{
	const PnvsOutage *ended = NULL;

	for (int i = 0; i < verdicts->n; i++)
	{
		if (verdicts->list[i].cause != PNVS_CAUSE_NONE)
			log_cause(&verdicts->list[i]);
	}
	if (before->sends.failures > 0 && after->sends.failures == 0)
		ended = &before->sends;
	else if (before->look_ups.failures > 0 && after->look_ups.failures == 0)
		ended = &before->look_ups;
	if (!told || ended == NULL)
		return;
	told = false;
	ereport(LOG,
			(errmsg("the service takes requests of pnvs again, after %lld s",
					(long long) ((pnvs_monotonic_us() - ended->begun_us) / USECS_PER_SEC)),
			 pnvs_errhide()));
}

static void
log_cause(const PnvsVerdict *verdict)
{
	static PnvsLogLimit limit;
	const char *what = texts[verdict->cause].what;
	const char *code = verdict->cause_code;
	int64		count;

	if (what == NULL)
	{
		what = verdict->cause_code;
		code = "Local.Unsent.Start";
	}
	count = pnvs_log_limit_count(&limit, what, pnvs_monotonic_us(), PNVS_LOG_LIMIT_INTERVAL_US);
	if (count == 0)
		return;
	if (verdict->fault == PNVS_FAULT_ALL)
		told = true;
	ereport(WARNING,
			(errmsg("messages wait in the queue of pnvs: %s", what),
			 errdetail("Code \"%s\"; requests since the last such line: %lld. They have sent nothing.",
					   code, (long long) count),
			 errhint("%s", texts[verdict->cause].hint),
			 pnvs_errhide()));
}

/* How long it is, in us, until an outage lets a message be claimed. */
int64
pnvs_outages_send_wait_us(const PnvsOutages *outages, int64 now_us)
{
	int64		next_us = pnvs_outage_next_us(&outages->sends);

	return next_us <= now_us ? 0 : next_us - now_us;
}

/*
 * How long it is, in us, until an outage lets a row of unknown fate be looked up; or
 * PNVS_NEVER while the result of a look-up under way decides that.
 */
int64
pnvs_outages_look_up_wait_us(const PnvsOutages *outages, int64 now_us)
{
	if (outages->look_ups.failures == 0)
		return 0;
	if (outages->look_ups.probe != 0)
		return PNVS_NEVER;
	return Max(outages->look_ups.next_probe_us - now_us, 0);
}
