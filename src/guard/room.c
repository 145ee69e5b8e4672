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

/*
 * When the rules and the breaker will have room for another message like this, from now
 * on, or PNVS_PLACES_NEVER.  Takes no place, and is no promise: others may be faster.
 */
TimestampTz
pnvs_guard_room_at(const PnvsGuardMessage *message, TimestampTz now)
{
	PnvsRefusal refusal;
	PnvsAdmission admission = {0};
	PnvsCounted counted;
	TimestampTz at;
	bool		is_test = pnvs_settings_test_number(message->recipient, message->due) != NULL;

	if (!pnvs_guard_allows(message, is_test, &refusal))
		return refusal.reason == PNVS_REFUSED_CHANNEL || refusal.reason == PNVS_REFUSED_COUNTRY ?
			PNVS_PLACES_NEVER : now;
	if (is_test || !pnvs_policy_has_memory() || pnvs_policy()->observe)
		return now;
	pnvs_hash_prepare();
	strlcpy(admission.recipient, message->recipient, sizeof(admission.recipient));
	admission.channel = message->channel;
	admission.trusted = message->trusted;
	admission.key = message->rate_key != NULL ? pnvs_hash_rate_key(message->rate_key) : 0;

	pnvs_counted_collect(&admission, &counted);
	at = pnvs_counted_lock(&counted, false, now);
	if (counted.has_breaker)
		at = Max(at, pnvs_breaker_of(counted.country)->breaker.open_until_us);
	at = pnvs_counted_admitted_at(&counted, at);
	pnvs_counted_unlock(&counted);
	return at;
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
