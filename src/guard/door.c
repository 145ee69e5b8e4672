/*-------------------------------------------------------------------------
 *
 * door.c
 *	  The part of the guard that remembers nothing: channels, countries, the switch.
 *
 * It needs no shared memory, and is in force also in observe mode, which concerns limits
 * and the breaker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/door.h"
#include "settings.h"

static PnvsRefusalReason judge(const PnvsGuardMessage *message, bool is_test);

/* Whether the settings allow a message; if not, refusal says why. */
bool
pnvs_guard_allows(const PnvsGuardMessage *message, bool is_test, PnvsRefusal *refusal)
{
	memset(refusal, 0, sizeof(*refusal));
	refusal->retry_after_s = -1;
	refusal->reason = judge(message, is_test);
	return refusal->reason == PNVS_ADMITTED;
}

static PnvsRefusalReason
judge(const PnvsGuardMessage *message, bool is_test)
{
	if (pnvs_settings_invalid_at_the_door() != NULL)
		return PNVS_REFUSED_SETTING;
	if (is_test)
		return PNVS_ADMITTED;
	if (message->direct && !pnvs_sending)
		return PNVS_REFUSED_OFF;
	if ((pnvs_settings_channels() & PNVS_CHANNEL_BIT(message->channel)) == 0)
		return PNVS_REFUSED_CHANNEL;
	if (!pnvs_country_list_allows(pnvs_settings_countries(), message->recipient))
		return PNVS_REFUSED_COUNTRY;
	return PNVS_ADMITTED;
}
