/*-------------------------------------------------------------------------
 *
 * verification.c
 *	  What a verification is by now, and what may be done with it.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/verification.h"

static const char *const names[PNVS_VERIFICATION_STATES] = {
	[PNVS_VERIFICATION_PENDING] = "pending",
	[PNVS_VERIFICATION_APPROVED] = "approved",
	[PNVS_VERIFICATION_USED] = "used",
	[PNVS_VERIFICATION_EXPIRED] = "expired",
	[PNVS_VERIFICATION_FAILED] = "failed",
	[PNVS_VERIFICATION_MAX_TRIES] = "max_tries",
	[PNVS_VERIFICATION_CANCELED] = "canceled",
	[PNVS_VERIFICATION_REFUSED] = "refused",
};

/* Constant. */
const char *
pnvs_verification_state_name(PnvsVerificationState state)
{
	return names[state];
}

/* False if there is no state of that name. */
bool
pnvs_verification_state_by_name(const char *name, PnvsVerificationState *state)
{
	for (int i = 0; i < PNVS_VERIFICATION_STATES; i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*state = (PnvsVerificationState) i;
			return true;
		}
	}
	return false;
}

/*
 * The state by now.  A copy of the database cannot go on with what the original has begun:
 * of an open verification there is one.
 */
PnvsVerificationState
pnvs_verification_state(const PnvsVerificationFacts *facts, int64_t now_us)
{
	bool		open = facts->stored == PNVS_VERIFICATION_PENDING ||
	facts->stored == PNVS_VERIFICATION_APPROVED;

	if (open && facts->foreign)
		return PNVS_VERIFICATION_CANCELED;
	if (facts->stored != PNVS_VERIFICATION_PENDING)
		return facts->stored;
	if (facts->tries >= facts->max_tries)
		return PNVS_VERIFICATION_MAX_TRIES;
	if (now_us >= facts->expires_us)
		return PNVS_VERIFICATION_EXPIRED;
	return facts->all_failed ? PNVS_VERIFICATION_FAILED : PNVS_VERIFICATION_PENDING;
}

/* When the next message may be sent; room_us: when the limits have room for it. */
int64_t
pnvs_verification_resend_us(int64_t room_us, int64_t now_us)
{
	int64_t		earliest_us = now_us + PNVS_RESEND_AFTER_US;

	return room_us > earliest_us ? room_us : earliest_us;
}

/* The position of the channel that the next message goes by: it stays at the last. */
int
pnvs_verification_next_position(int position, int nchannels)
{
	return position + 1 < nchannels ? position + 1 : nchannels - 1;
}

/* Never below 0: the setting can have been lowered. */
int
pnvs_verification_tries_left(int tries, int max_tries)
{
	return tries < max_tries ? max_tries - tries : 0;
}
