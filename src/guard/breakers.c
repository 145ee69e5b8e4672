/*-------------------------------------------------------------------------
 *
 * breakers.c
 *	  The breaker of each country.
 *
 * A breaker counts different numbers: the note of a number says whether its breaker has
 * counted it.  If memory is short and a number has no note, each of its messages counts.
 * Nothing is counted until the breakers are armed, by the first approval that the server
 * sees: if codes are checked elsewhere, numbers would seem never to be approved.
 *
 * A message is counted when it is admitted, at the time at which it is due.  If that is later
 * than its breaker reaches, it is counted once it was sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "guard/breakers.h"
#include "guard/hash.h"

static bool is_counted(const PnvsGuardNote *note, const PnvsPolicy *policy, TimestampTz due);
static void read_breaker(PnvsGuardBreakerStat *stat, uint64 country, const PnvsGuardBreaker *breaker,
						 const PnvsPolicy *policy, TimestampTz now);

/* A country's breaker.  If there are more countries than breakers, the others share the last. */
PnvsGuardBreaker *
pnvs_breaker_of(uint64 country)
{
	uint32		first = (uint32) ((country * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);

	for (uint32 i = 0; i < PNVS_GUARD_BREAKERS; i++)
	{
		uint32		slot = (first + i) % PNVS_GUARD_BREAKERS;

		if (pnvs_guard_head->countries[slot] == 0)
			pnvs_guard_head->countries[slot] = country;
		if (pnvs_guard_head->countries[slot] == country)
			return &pnvs_guard_head->breakers[slot];
	}
	return &pnvs_guard_head->breakers[PNVS_GUARD_BREAKERS];
}

/* That of a snapshot; 0 is the last. */
void
pnvs_breaker_load(uint64 country, const PnvsGuardBreaker *breaker)
{
	if (country == 0)
		pnvs_guard_head->breakers[PNVS_GUARD_BREAKERS] = *breaker;
	else
		*pnvs_breaker_of(country) = *breaker;
}

/*
 * Judges, once a second at the most; true if nothing may be sent at the time at which a
 * message is due.  While the breaker is open, a message that it would not count at the call
 * is refused, too: else nothing would stop whoever always queues far ahead.
 */
bool
pnvs_breaker_refuses(PnvsGuardBreaker *breaker, const PnvsPolicy *policy, TimestampTz due,
					 TimestampTz now, PnvsBreakerEvent *event)
{
	PnvsBreaker *state = &breaker->breaker;

	if (policy->breaker.min_numbers == 0 || !pnvs_guard_head->armed)
		return false;
	if (breaker->judged_at_s != now / USECS_PER_SEC)
	{
		breaker->judged_at_s = now / USECS_PER_SEC;
		if (breaker->is_open && now >= state->open_until_us)
		{
			breaker->is_open = false;
			*event = PNVS_BREAKER_CLOSED;
		}
		if (pnvs_breaker_opens(state, &policy->breaker, now))
		{
			breaker->is_open = true;
			*event = PNVS_BREAKER_OPENED;
		}
	}
	return due < state->open_until_us ||
		(now < state->open_until_us && !pnvs_breaker_counts(&policy->breaker, due, now));
}

/*
 * Whether a message is counted when it is admitted, and not when it is sent.  If the rule's
 * interval has changed in between, a message may be counted at neither time: a longer one
 * seems to have reached it, and the notes of numbers outlive a shorter one.
 */
bool
pnvs_breaker_counts_at_once(const PnvsPolicy *policy, const PnvsAdmission *admission)
{
	return pnvs_breaker_counts(&policy->breaker, admission->due, admission->taken_at);
}

/*
 * Counts a number's message that is sent at a time, unless it has counted the number already.
 * A message that is due too late to be counted must not make later ones seem counted.
 */
void
pnvs_breaker_count(PnvsGuardBreaker *breaker, const PnvsPolicy *policy, PnvsGuardNote *note,
				   TimestampTz sent, TimestampTz now)
{
	if (!pnvs_guard_head->armed)
		return;
	if (note != NULL && is_counted(note, policy, sent))
	{
		if (note->counted_messages < PG_UINT16_MAX)
			note->counted_messages++;
		return;
	}
	pnvs_breaker_sent(&breaker->breaker, &policy->breaker, sent, now);
	if (note == NULL)
		return;
	note->counted = sent;
	note->counted_messages = 1;
	note->counted_approved = false;
}

/* A message was not sent.  The number does not count if no other was. */
void
pnvs_breaker_give_back(PnvsGuardBreaker *breaker, const PnvsPolicy *policy, PnvsGuardNote *note,
					   const PnvsAdmission *admission)
{
	if (!pnvs_breaker_counts_at_once(policy, admission) ||
		(note != NULL && (!is_counted(note, policy, admission->due) || note->counted_approved)))
		return;
	if (note != NULL && --note->counted_messages > 0)
		return;
	pnvs_breaker_unsent(&breaker->breaker, &policy->breaker,
						note != NULL ? note->counted : admission->due);
	if (note != NULL)
		note->counted = 0;
}

/* A number is approved. */
void
pnvs_breaker_approve(PnvsGuardBreaker *breaker, const PnvsPolicy *policy, PnvsGuardNote *note,
					 TimestampTz due)
{
	if (policy->breaker.min_numbers == 0 || due == 0 ||
		(note != NULL && (!is_counted(note, policy, due) || note->counted_approved)))
		return;
	pnvs_breaker_approved(&breaker->breaker, &policy->breaker, note != NULL ? note->counted : due);
	if (note != NULL)
		note->counted_approved = true;
}

/* Whether a number's breaker has counted it within the interval around a time. */
static bool
is_counted(const PnvsGuardNote *note, const PnvsPolicy *policy, TimestampTz due)
{
	int64		distance_us = due - note->counted;

	return note->counted != 0 && note->counted_messages > 0 &&
		distance_us < policy->breaker.interval_us && distance_us > -policy->breaker.interval_us;
}

/* Closes all, and forgets what they have counted; they stay armed. */
void
pnvs_breakers_reset(void)
{
	memset(pnvs_guard_head->countries, 0, sizeof(pnvs_guard_head->countries));
	memset(pnvs_guard_head->breakers, 0, sizeof(pnvs_guard_head->breakers));
}

/* Reads the breakers of the countries that were sent to, and returns how many there are. */
int
pnvs_guard_read_breakers(PnvsGuardBreakerStat *stats, int max)
{
	const PnvsPolicy *policy = pnvs_policy();
	TimestampTz now = GetCurrentTimestamp();
	PnvsPartition *partition;
	int			n = 0;

	if (pnvs_guard_head == NULL)
		return 0;
	partition = pnvs_partition_at(PNVS_SHARE_COUNTRY, 0);
	pnvs_partition_lock(partition, LW_SHARED);
	for (int i = 0; i <= PNVS_GUARD_BREAKERS && n < max; i++)
	{
		const PnvsGuardBreaker *breaker = &pnvs_guard_head->breakers[i];
		uint64		country = i < PNVS_GUARD_BREAKERS ? pnvs_guard_head->countries[i] : 0;

		if (country != 0 || breaker->breaker.slot_us != 0)
			read_breaker(&stats[n++], country, breaker, policy, now);
	}
	pnvs_partition_unlock(partition);
	return n;
}

static void
read_breaker(PnvsGuardBreakerStat *stat, uint64 country, const PnvsGuardBreaker *breaker,
			 const PnvsPolicy *policy, TimestampTz now)
{
	const PnvsBreaker *state = &breaker->breaker;

	memset(stat, 0, sizeof(*stat));
	pnvs_country_text(country, stat->country);
	stat->armed = pnvs_guard_head->armed;
	stat->open = state->open_until_us > now;
	stat->open_until = stat->open ? state->open_until_us : 0;
	stat->judged_sent = state->judged_sent;
	stat->judged_approved = state->judged_approved;
	stat->refused = breaker->refused;
	stat->observed = breaker->observed;
	for (int i = 0; i < PNVS_BREAKER_SLOTS; i++)
	{
		const PnvsBreakerSlot *slot = &state->slots[i];
		int64		from_us = slot->number * state->slot_us;

		if (from_us + state->slot_us <= now - policy->breaker.interval_us || from_us > now)
			continue;
		stat->sent += slot->sent;
		stat->approved += slot->approved;
	}
}
