/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  The rules in force, arranged by the lists that they judge.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/proc.h"

#include "errcodes.h"
#include "guard/counters.h"
#include "guard/policy.h"
#include "settings.h"

static PnvsPolicy policy;

static void arrange(void);
static void add_rule(int i);

/* The rules in force.  Valid until a setting changes. */
const PnvsPolicy *
pnvs_policy(void)
{
	static uint64 arranged = PG_UINT64_MAX;
	static bool assigned = false;

	if (arranged != pnvs_settings_rules_changes())
	{
		arranged = pnvs_settings_rules_changes();
		arrange();
		assigned = false;
	}
	/* the postmaster, which starts with the snapshot, counts nothing */
	if (!assigned && MyProc != NULL && pnvs_guard_head != NULL)
	{
		pnvs_counters_assign(&policy);
		assigned = true;
	}
	policy.observe = pnvs_limits_mode == PNVS_LIMITS_OBSERVE;
	policy.needs_notes = policy.judges_approval || policy.observe;
	return &policy;
}

/*
 * Whether there is shared memory.  Rules that somebody has set are not ignored: throws if
 * they need memory that is not there.
 */
bool
pnvs_policy_has_memory(void)
{
	const char *counting = pnvs_guard_head == NULL ? pnvs_settings_counting() : NULL;

	if (counting != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the limits of pnvs need shared memory, which it has not got"),
				 errdetail("sent=no"),
				 errhint("Add \"pnvs\" to shared_preload_libraries and restart the server, or set \"%s\" to ''.",
						 counting),
				 pnvs_errhide()));
	return pnvs_guard_head != NULL;
}

static void
arrange(void)
{
	const PnvsRules *rules = pnvs_settings_limits();
	const PnvsBreakerRule *breaker = pnvs_settings_breaker();

	memset(&policy, 0, sizeof(policy));
	policy.valid = rules != NULL && breaker != NULL;
	if (!policy.valid)
		return;
	policy.rules = *rules;
	policy.breaker = *breaker;
	for (int i = 0; i < policy.rules.nrules; i++)
	{
		const PnvsRule *rule = &policy.rules.rules[i];

		add_rule(i);
		if (rule->scope != PNVS_SCOPE_TRIES)
			policy.note_us = Max(policy.note_us, rule->limit.interval_us);
		policy.judges_approval = policy.judges_approval || rule->limit.unapproved;
	}
	if (policy.breaker.min_numbers > 0)
	{
		policy.note_us = Max(policy.note_us, policy.breaker.interval_us);
		policy.judges_approval = true;
	}
}

static void
add_rule(int i)
{
	const PnvsRule *rule = &policy.rules.rules[i];
	PnvsRuleGroup *group = &policy.groups[rule->scope][rule->channel];

	group->limits[group->n] = rule->limit;
	group->rules[group->n] = i;
	group->counts_approved = group->counts_approved || !rule->limit.unapproved;
	group->n++;
	policy.has[rule->scope] = true;
}
