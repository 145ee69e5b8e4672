/*-------------------------------------------------------------------------
 *
 * room.c
 *	  When the rules will admit a message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/counted.h"
#include "guard/breakers.h"
#include "guard/door.h"
#include "guard/hash.h"
#include "settings.h"

/* How often a time is looked for; rules of five scopes hardly ever need more than two. */
#define MAX_ROUNDS 100

static TimestampTz find_refusal(const PnvsCounted *counted, TimestampTz now,
								PnvsRefusal *refusal);

/*
 * When the rules and the breaker will have room for another message like this, from now
 * on, or PNVS_PLACES_NEVER.  Takes no place, and is no promise: others may be faster.
 */
TimestampTz
pnvs_guard_room_at(const PnvsGuardMessage *message, TimestampTz now)
{
	TimestampTz at;
	PnvsRefusal refusal = pnvs_guard_judge(message, now, &at);

	/* nobody knows when somebody changes the setting, and then there is room */
	return refusal.reason == PNVS_REFUSED_OFF || refusal.reason == PNVS_REFUSED_SETTING ? now : at;
}

/*
 * Why a message like this would be refused now, and until when: PNVS_PLACES_NEVER if only
 * another setting can change that.  Takes no place.
 */
PnvsRefusal
pnvs_guard_judge(const PnvsGuardMessage *message, TimestampTz now, TimestampTz *until)
{
	bool		is_test = pnvs_settings_test_number(message->recipient, message->due) != NULL;
	PnvsRefusal refusal;
	PnvsAdmission admission = {0};
	PnvsCounted counted;

	*until = PNVS_PLACES_NEVER;
	if (!pnvs_guard_allows(message, is_test, &refusal))
		return refusal;
	*until = now;
	if (is_test || !pnvs_policy_has_memory() || pnvs_policy()->observe)
		return refusal;
	pnvs_hash_prepare();
	strlcpy(admission.recipient, message->recipient, sizeof(admission.recipient));
	admission.channel = message->channel;
	admission.trusted = message->trusted;
	admission.key = message->rate_key != NULL ? pnvs_hash_rate_key(message->rate_key) : message->key;

	pnvs_counted_collect(&admission, &counted);
	now = pnvs_counted_lock(&counted, false, now);
	*until = find_refusal(&counted, now, &refusal);
	pnvs_counted_unlock(&counted);
	if (refusal.reason != PNVS_ADMITTED && *until != PNVS_PLACES_NEVER)
		refusal.retry_after_s = pnvs_refusal_wait_s(*until, now);
	return refusal;
}

/* When the message is admitted, from now on; and what refuses it for the longest time. */
static TimestampTz
find_refusal(const PnvsCounted *counted, TimestampTz now, PnvsRefusal *refusal)
{
	TimestampTz longest = now;

	if (counted->has_breaker)
		longest = Max(longest, pnvs_breaker_of(counted->country)->breaker.open_until_us);
	if (longest > now)
		refusal->reason = PNVS_REFUSED_BREAKER;
	for (int i = 0; i < counted->nlists; i++)
	{
		TimestampTz at = pnvs_list_admitted_at(&counted->lists[i], now);

		if (at <= longest)
			continue;
		longest = at;
		refusal->reason = PNVS_REFUSED_LIMIT;
		refusal->scope = pnvs_share_scope(counted->lists[i].partition->share);
	}
	return pnvs_counted_admitted_at(counted, longest);
}

/*
 * When all rules will admit the message, from at on, or PNVS_PLACES_NEVER.  From the lists
 * or their copies.
 */
TimestampTz
pnvs_counted_admitted_at(const PnvsCounted *counted, TimestampTz at)
{
	TimestampTz before;
	int			rounds = 0;

	do
	{
		before = at;
		for (int i = 0; i < counted->nlists; i++)
			at = pnvs_list_admitted_at(&counted->lists[i], at);
	} while (at != before && ++rounds < MAX_ROUNDS);
	return at;
}

/* When the rules of a list will admit a message, each by itself; at least at. */
TimestampTz
pnvs_list_admitted_at(const PnvsGuardList *list, TimestampTz at)
{
	for (int i = 0; i < list->group->n; i++)
		at = pnvs_places_admitted_at(list->places, &list->group->limits[i], at);
	return at;
}
