/*-------------------------------------------------------------------------
 *
 * outage.c
 *	  Decides which messages may be tried during an outage: while messages are refused
 *	  for a reason that concerns all of them.
 *
 * An outage begins with such a refusal (a revoked key, no connection).  It ends with the
 * first message that the service accepts, or refuses for a reason of that message.  Until
 * then only one message at a time is tried, the probe, each time another message, with
 * longer and longer pauses.
 *
 * Some of these refusals can also concern a single number.  So while only one message was
 * refused, any other is tried at once.  And a message that is refused again after others
 * were sent is refused alone: it begins no outage, and only this message pauses.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "core/backoff.h"
#include "core/outage.h"

static void begin_pause(PnvsOutage *outage, int64_t now_us, uint32_t random);
static int	find_suspect(const PnvsOutage *outage, int64_t id);
static PnvsSuspect *add_suspect(PnvsOutage *outage, int64_t id);

/* Which messages may be tried now. */
PnvsTryable
pnvs_outage_tryable(const PnvsOutage *outage, int64_t now_us)
{
	if (outage->failures == 0)
		return PNVS_TRY_ALL;
	if (outage->probe != 0)
		return PNVS_TRY_NONE;
	if (now_us >= outage->next_probe_us)
		return PNVS_TRY_ONE;
	return outage->only != 0 ? PNVS_TRY_ONE_OTHER : PNVS_TRY_NONE;
}

/* When to look next at the messages that are due: to try a message, or to expire some. */
int64_t
pnvs_outage_next_us(const PnvsOutage *outage)
{
	if (outage->failures == 0)
		return PNVS_OUTAGE_AT_ONCE;
	if (outage->probe != 0 || outage->next_look_us < outage->next_probe_us)
		return outage->next_look_us;
	return outage->next_probe_us;
}

/* The messages that are due were looked at. */
void
pnvs_outage_looked(PnvsOutage *outage, int64_t now_us)
{
	outage->next_look_us = now_us + PNVS_OUTAGE_LOOK_US;
}

/* A message may be due that was not at the last look. */
void
pnvs_outage_something_new(PnvsOutage *outage)
{
	if (outage->only != 0)
		outage->next_look_us = PNVS_OUTAGE_AT_ONCE;
}

/* A message is being tried; during an outage it is the probe. */
void
pnvs_outage_probe_started(PnvsOutage *outage, int64_t id)
{
	if (outage->failures > 0)
		outage->probe = id;
}

/*
 * A message was refused for a reason that concerns all.  Messages that were already under
 * way when the outage began are refused, too; they lengthen no pause.  random is any number,
 * evenly distributed.
 */
void
pnvs_outage_failed(PnvsOutage *outage, int64_t id, int64_t now_us, uint32_t random)
{
	int			found = find_suspect(outage, id);
	PnvsSuspect *suspect = found < 0 ? add_suspect(outage, id) : &outage->suspects[found];

	if (suspect->refusals < INT32_MAX)
		suspect->refusals++;
	if (suspect->alone)
	{
		pnvs_outage_undecided(outage, id, now_us, random);
		return;
	}
	if (outage->failures == 0)
	{
		outage->begun_us = now_us;
		outage->only = id;
		/* others may be due already */
		outage->next_look_us = PNVS_OUTAGE_AT_ONCE;
		begin_pause(outage, now_us, random);
	}
	else if (outage->probe == id)
		begin_pause(outage, now_us, random);
	if (outage->only != id)
		outage->only = 0;
	outage->last = id;
}

/* A message failed for an unclear reason: as the probe it has failed, too. */
void
pnvs_outage_undecided(PnvsOutage *outage, int64_t id, int64_t now_us, uint32_t random)
{
	if (outage->failures > 0 && outage->probe == id)
		begin_pause(outage, now_us, random);
}

/*
 * The service accepted a message, or refused it for a reason of its own, which ends an
 * outage.  Messages that were refused before, and are refused again, are refused alone.
 */
void
pnvs_outage_succeeded(PnvsOutage *outage, int64_t id)
{
	for (int i = 0; i < PNVS_OUTAGE_SUSPECTS; i++)
	{
		PnvsSuspect *suspect = &outage->suspects[i];

		if (suspect->id == id)
			memset(suspect, 0, sizeof(*suspect));
		suspect->alone = suspect->id != 0;
	}
	outage->failures = 0;
	outage->probe = outage->only = outage->last = 0;
}

/* The reason may be gone: a probe is tried at once, and pauses are short again. */
void
pnvs_outage_try_again(PnvsOutage *outage, int64_t now_us)
{
	memset(outage->suspects, 0, sizeof(outage->suspects));
	if (outage->failures == 0)
		return;
	outage->failures = 1;
	outage->next_probe_us = outage->next_look_us = now_us;
}

/* How often a message was refused that is refused alone; 0 for others. */
int
pnvs_outage_own_refusals(const PnvsOutage *outage, int64_t id)
{
	int			found = find_suspect(outage, id);

	return found >= 0 && outage->suspects[found].alone ? outage->suspects[found].refusals : 0;
}

/* The pause until the next probe. */
static void
begin_pause(PnvsOutage *outage, int64_t now_us, uint32_t random)
{
	if (outage->failures < INT32_MAX)
		outage->failures++;
	outage->probe = 0;
	outage->next_probe_us = now_us + pnvs_backoff_ms(outage->failures, random, -1) * 1000;
}

/* The index of a message, or -1. */
static int
find_suspect(const PnvsOutage *outage, int64_t id)
{
	for (int i = 0; i < PNVS_OUTAGE_SUSPECTS; i++)
	{
		if (outage->suspects[i].id == id)
			return i;
	}
	return -1;
}

/* Replaces the oldest suspect. */
static PnvsSuspect *
add_suspect(PnvsOutage *outage, int64_t id)
{
	PnvsSuspect *suspect = &outage->suspects[outage->next_suspect];

	outage->next_suspect = (outage->next_suspect + 1) % PNVS_OUTAGE_SUSPECTS;
	memset(suspect, 0, sizeof(*suspect));
	suspect->id = id;
	return suspect;
}
