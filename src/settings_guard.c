/*-------------------------------------------------------------------------
 *
 * settings_guard.c
 *	  The settings of the guard, as other files read them.
 *
 * They say which messages are accepted.  A queued message is not judged again when it is
 * sent, so nothing is accepted while one of them is invalid.  The lists and rules that
 * were in force before are still handed out then: what is remembered is kept by them.  If
 * the setting was invalid from the start, there are none.
 *
 * What a function returns is valid until the setting changes, at a reload.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "settings.h"
#include "settings_value.h"

bool		pnvs_sending;
int			pnvs_limits_mode;
int			pnvs_guard_memory_kb;
int			pnvs_max_tries;
struct PnvsAllInForce pnvs_in_force;

static const PnvsInForce *find_invalid(void);

/* The channels that may be used, as a set of PNVS_CHANNEL_BIT(). */
uint32
pnvs_settings_channels(void)
{
	return (uint32) pnvs_in_force.channels.value->number;
}

/* The rules of pnvs.limits, or NULL. */
const PnvsRules *
pnvs_settings_limits(void)
{
	return pnvs_in_force.limits.value->data;
}

/*
 * The name of a setting that somebody has set and that counts messages, or NULL: it must
 * not be ignored if it cannot be applied.
 */
const char *
pnvs_settings_counting(void)
{
	const PnvsRules *rules = pnvs_settings_limits();
	const PnvsBreakerRule *breaker = pnvs_settings_breaker();

	if (!pnvs_in_force.limits.value->is_default && rules != NULL && rules->nrules > 0)
		return pnvs_in_force.limits.name;
	if (!pnvs_in_force.breaker.value->is_default && breaker != NULL && breaker->min_numbers > 0)
		return pnvs_in_force.breaker.name;
	return NULL;
}

/* Increases when the rules of pnvs.limits or pnvs.breaker may have changed. */
uint64
pnvs_settings_rules_changes(void)
{
	return pnvs_in_force.limits.nchanges + pnvs_in_force.breaker.nchanges;
}

/* The rule of pnvs.breaker, or NULL. */
const PnvsBreakerRule *
pnvs_settings_breaker(void)
{
	return pnvs_in_force.breaker.value->data;
}

/* The list of pnvs.countries, or NULL. */
const PnvsCountryList *
pnvs_settings_countries(void)
{
	return pnvs_in_force.countries.value->data;
}

/* The entry of a number that is a test number at a time, or NULL. */
const PnvsTestNumber *
pnvs_settings_test_number(const char *digits, TimestampTz when)
{
	const PnvsTestNumbers *numbers = pnvs_in_force.test_numbers.value->data;

	return numbers == NULL ? NULL :
		pnvs_test_numbers_find(numbers, digits, timestamptz_to_time_t(when));
}

/* The name of a setting that says which messages are accepted and is invalid, or NULL. */
const char *
pnvs_settings_invalid_at_the_door(void)
{
	const PnvsInForce *invalid = find_invalid();

	return invalid ? invalid->name : NULL;
}

/* Throws if there is such a setting. */
void
pnvs_settings_refuse_at_the_door(void)
{
	const PnvsInForce *invalid = find_invalid();

	if (invalid != NULL)
		pnvs_settings_refuse(invalid->name, invalid->value);
}

static const PnvsInForce *
find_invalid(void)
{
	const PnvsInForce *settings[] = {
		&pnvs_in_force.channels, &pnvs_in_force.limits, &pnvs_in_force.countries,
		&pnvs_in_force.breaker, &pnvs_in_force.test_numbers
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (settings[i]->value->fault != NULL)
			return settings[i];
	}
	return NULL;
}
