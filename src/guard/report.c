/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Says in the log what the guard does.
 *
 * Each cause has a line a minute at the most, for the whole server, with the number of
 * cases since the last.  No line has a number, a key or a hash.  Callers do not get these
 * lines, which say what others have sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "errcodes.h"
#include "guard/hash.h"
#include "guard/report.h"
#include "monotonic.h"

static void report_refusals(const PnvsGuardReport *report, const PnvsPolicy *policy);
static const char *what_happens(const PnvsPolicy *policy);
static void report_event(const PnvsGuardReport *report);
static void report_memory(void);
static void warn_of_total(int64 cases, const void *rule);
static int64 count(const char *cause);

/* To be called without locks.  Never throws, so that no place is lost. */
void
pnvs_report(const PnvsGuardReport *report, const PnvsPolicy *policy)
{
	if (report->refusing == 0 && !report->breaker_refused && !report->memory_full &&
		report->nearly_full < 0 && report->event == PNVS_BREAKER_SILENT)
		return;
	HOLD_INTERRUPTS();
	report_refusals(report, policy);
	if (report->event != PNVS_BREAKER_SILENT)
		report_event(report);
	if (report->memory_full)
		report_memory();
	if (report->nearly_full >= 0)
		pnvs_guard_warn("total", warn_of_total, &policy->rules.rules[report->nearly_full]);
	RESUME_INTERRUPTS();
}

/* A message was refused because of a setting that is no limit. */
void
pnvs_report_setting(PnvsRefusalReason reason)
{
	const char *setting = reason == PNVS_REFUSED_COUNTRY ? "pnvs.countries" :
	reason == PNVS_REFUSED_CHANNEL ? "pnvs.channels" : "pnvs.sending";
	int64		cases;

	/* the log says once a minute that nothing is sent */
	if (reason == PNVS_REFUSED_SETTING)
		return;
	cases = count(setting);
	if (cases > 0)
		ereport(LOG_SERVER_ONLY,
				(errmsg("pnvs refuses messages by the setting \"%s\"", setting),
				 errdetail("Messages since the last such line: %lld.", (long long) cases),
				 pnvs_errhide()));
}

static void
report_refusals(const PnvsGuardReport *report, const PnvsPolicy *policy)
{
	for (int i = 0; i < policy->rules.nrules; i++)
	{
		const PnvsRule *rule = &policy->rules.rules[i];
		char		text[PNVS_RULE_TEXT_SIZE];
		int64		cases;

		if ((report->refusing & (UINT32_C(1) << i)) == 0)
			continue;
		pnvs_rule_text(rule, text);
		cases = count(text);
		if (cases > 0)
			ereport(LOG_SERVER_ONLY,
					(errmsg("pnvs %s by the rule \"%s\"", rule->scope == PNVS_SCOPE_TRIES ? "refuses codes" :
							what_happens(policy), text),
					 errdetail("Refusals since the last such line: %lld.", (long long) cases),
					 pnvs_errhide()));
	}
	if (report->breaker_refused)
	{
		char		country[PNVS_GUARD_COUNTRY_SIZE + 1];
		int64		cases = count("breaker");

		pnvs_country_text(report->country, country);
		if (cases > 0)
			ereport(LOG_SERVER_ONLY,
					(errmsg("pnvs %s by the breaker, the last of them to %s", what_happens(policy), country),
					 errdetail("Refusals since the last such line: %lld.", (long long) cases),
					 pnvs_errhide()));
	}
}

static const char *
what_happens(const PnvsPolicy *policy)
{
	return policy->observe ? "would refuse messages" : "refuses messages";
}

/* Not limited: these are rare. */
static void
report_event(const PnvsGuardReport *report)
{
	char		country[PNVS_GUARD_COUNTRY_SIZE + 1];

	pnvs_country_text(report->country, country);
	if (report->event == PNVS_BREAKER_ARMED)
		ereport(LOG_SERVER_ONLY,
				(errmsg("the breakers of pnvs are armed, for a code was approved"),
				 pnvs_errhide()));
	else if (report->event == PNVS_BREAKER_CLOSED)
		ereport(LOG_SERVER_ONLY,
				(errmsg("the breaker of pnvs for %s is closed again", country),
				 pnvs_errhide()));
	else
		ereport(LOG_SERVER_ONLY,
				(errmsg("the breaker of pnvs for %s has opened", country),
				 errdetail("Of %u numbers that messages were sent to, %u were approved.",
						   report->judged_sent, report->judged_approved),
				 errhint("If these are real people, see \"pnvs.breaker\"."),
				 pnvs_errhide()));
}

static void
report_memory(void)
{
	int64		cases = count("memory");

	if (cases > 0)
		ereport(LOG_SERVER_ONLY,
				(errmsg("the memory of pnvs for limits is full, so new numbers or keys share their limits"),
				 errdetail("Messages and checks since the last such line: %lld.", (long long) cases),
				 errhint("If this is no attack, raise \"pnvs.guard_memory\"."),
				 pnvs_errhide()));
}

/* A PnvsGuardWarning. */
static void
warn_of_total(int64 cases, const void *rule)
{
	char		text[PNVS_RULE_TEXT_SIZE];

	pnvs_rule_text(rule, text);
	ereport(WARNING,
			(errmsg("messages of pnvs have nearly reached the limit \"%s\"", text),
			 errdetail("When it is reached, no message is sent to anybody."),
			 errhint("Look for an attack, or raise the limit in \"pnvs.limits\"."),
			 pnvs_errhide()));
}

/* Writes a WARNING for the log alone, unless there was one for this cause within a minute. */
void
pnvs_guard_warn(const char *cause, PnvsGuardWarning write, const void *arg)
{
	const int	for_client = client_min_messages;
	int64		cases = count(cause);

	if (cases == 0)
		return;
	HOLD_INTERRUPTS();
	client_min_messages = ERROR;
	PG_TRY();
	{
		write(cases, arg);
	}
	PG_FINALLY();
	{
		client_min_messages = for_client;
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

/*
 * How many cases the next line stands for, or 0 if there is no line now.  Without shared
 * memory each session has lines of its own.
 */
static int64
count(const char *cause)
{
	static PnvsLogLimit of_session;
	int64		cases;

	if (pnvs_guard_head == NULL)
		return pnvs_log_limit_count(&of_session, cause, pnvs_monotonic_us(),
									PNVS_LOG_LIMIT_INTERVAL_US);
	LWLockAcquire(pnvs_log_lock(), LW_EXCLUSIVE);
	cases = pnvs_log_limit_count(&pnvs_guard_head->log_limit, cause, pnvs_monotonic_us(),
								 PNVS_LOG_LIMIT_INTERVAL_US);
	LWLockRelease(pnvs_log_lock());
	return cases;
}
