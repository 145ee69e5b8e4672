/*-------------------------------------------------------------------------
 *
 * window.c
 *	  The attempts of a sender.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "queue/attempt/window.h"
#include "settings.h"

/* The share of the window that looks rows up rather than sends. */
#define LOOKUP_SHARE 4

static bool is_ready(const PnvsAttempt *attempt, TimestampTz now);

/* An empty window; its room is allocated in the context. */
void
pnvs_window_open(PnvsWindow *window, MemoryContext context)
{
	window->attempts = MemoryContextAlloc(context, PNVS_MAX_WINDOW * sizeof(PnvsAttempt *));
	window->nattempts = 0;
	window->done_since = window->exchanged = window->lateness_checked = 0;
}

/* The attempt is the window's from now on. */
void
pnvs_window_add(PnvsWindow *window, PnvsAttempt *attempt)
{
	Assert(window->nattempts < PNVS_MAX_WINDOW);
	window->attempts[window->nattempts++] = attempt;
}

/* Takes a attempt out and destroys it. */
void
pnvs_window_drop(PnvsWindow *window, PnvsAttempt *attempt)
{
	for (int i = 0; i < window->nattempts; i++)
	{
		if (window->attempts[i] != attempt)
			continue;
		window->attempts[i] = window->attempts[--window->nattempts];
		pnvs_attempt_destroy(attempt);
		return;
	}
}

/* Destroys all attempts. */
void
pnvs_window_clear(PnvsWindow *window)
{
	while (window->nattempts > 0)
		pnvs_attempt_destroy(window->attempts[--window->nattempts]);
}

/*
 * How many attempts are under way; *nready have come back and can be settled now.  The
 * rest could not be settled, and is kept for a while: it counts as neither.
 */
int
pnvs_window_under_way(const PnvsWindow *window, int *nready)
{
	TimestampTz now = GetCurrentTimestamp();
	int			nunder_way = 0;

	*nready = 0;
	for (int i = 0; i < window->nattempts; i++)
	{
		if (!pnvs_attempt_is_done(window->attempts[i]))
			nunder_way++;
		else if (window->attempts[i]->settle_after <= now)
			(*nready)++;
	}
	return nunder_way;
}

/*
 * Fills in the attempts that can be settled now, or all there are, and returns
 * their number; ready has room for as many.
 */
int
pnvs_window_ready(const PnvsWindow *window, bool all, PnvsAttempt **ready)
{
	TimestampTz now = GetCurrentTimestamp();
	int			nready = 0;

	for (int i = 0; i < window->nattempts; i++)
	{
		if (all || is_ready(window->attempts[i], now))
			ready[nready++] = window->attempts[i];
	}
	return nready;
}

/* When a attempt that is done, and was kept, can be settled, or DT_NOEND. */
TimestampTz
pnvs_window_next_ready(const PnvsWindow *window, TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < window->nattempts; i++)
	{
		if (window->attempts[i]->settle_after > now && pnvs_attempt_is_done(window->attempts[i]))
			next = Min(next, window->attempts[i]->settle_after);
	}
	return next;
}

/* The rows that searches under way are for, in the current memory context. */
int
pnvs_window_looked_up(const PnvsWindow *window, int64 **ids)
{
	int			nids = 0;

	*ids = palloc(sizeof(int64));
	for (int i = 0; i < window->nattempts; i++)
	{
		const PnvsAttempt *attempt = window->attempts[i];

		if (!pnvs_phase_is_look_up(attempt->phase))
			continue;
		*ids = repalloc(*ids, (nids + 1 + attempt->njoined) * sizeof(int64));
		(*ids)[nids++] = attempt->claim.id;
		for (int n = 0; n < attempt->njoined; n++)
			(*ids)[nids++] = attempt->joined_ids[n];
	}
	return nids;
}

/* How many more rows may be looked up at once. */
int
pnvs_window_lookup_room(const PnvsWindow *window)
{
	int			room = Max(pnvs_max_in_flight / LOOKUP_SHARE, 1);

	for (int i = 0; i < window->nattempts; i++)
		room -= pnvs_phase_is_look_up(window->attempts[i]->phase) &&
			window->attempts[i]->settle_after == 0;
	return room;
}

/*
 * From when on those that are ready are settled, beside so many that are under way, or
 * DT_NOEND: at once where they are many, or the rest is little, or else a moment after
 * the first of them finished.
 */
TimestampTz
pnvs_window_settle_from(const PnvsWindow *window, int nunder_way, int nready)
{
	int			share = pnvs_window_share();

	if (nready == 0)
		return DT_NOEND;
	if (nready >= share || nunder_way < share)
		return DT_NOBEGIN;
	return TimestampTzPlusMilliseconds(window->done_since, PNVS_MAX_EXCHANGE_DELAY_MS);
}

/*
 * From when on there is room beside so many that are under way, once those that are
 * ready have finished, or DT_NOEND.  A window that is all but full is filled again when a
 * share of it is free, or a moment after the last exchange: the rest may hang.
 */
TimestampTz
pnvs_window_room_from(const PnvsWindow *window, int nunder_way, int nready)
{
	/* those that cannot be settled are not under way, but have their places */
	if (window->nattempts - nready >= PNVS_MAX_WINDOW)
		return DT_NOEND;
	if (nunder_way == 0 || nunder_way + pnvs_window_share() <= pnvs_max_in_flight)
		return DT_NOBEGIN;

	/*
	 * those that are ready have an exchange soon, which fills their places,
	 * too
	 */
	if (nunder_way + nready >= pnvs_max_in_flight)
		return DT_NOEND;
	return TimestampTzPlusMilliseconds(window->exchanged, PNVS_MAX_EXCHANGE_DELAY_MS);
}

/*
 * What an exchange moves at least, under load.  Its price is the commit's, whatever it
 * moves, so that it moves a larger part of a small window.
 */
int
pnvs_window_share(void)
{
	return Max(Max(pnvs_max_in_flight / 16, Min(pnvs_max_in_flight / 6, 8)), 1);
}

/* An exchange was committed: free places are filled, as far as there was something due. */
void
pnvs_window_note_exchange(PnvsWindow *window)
{
	window->exchanged = GetCurrentTimestamp();
}

/*
 * Remembers since when attempts that have come back wait to be settled: nready do now.
 * Those that came back during an exchange count from before it, and need not wait again.
 */
void
pnvs_window_note_done(PnvsWindow *window, int nready, TimestampTz now)
{
	if (nready == 0)
		window->done_since = 0;
	else if (window->done_since == 0)
		window->done_since = now;
}

/* At intervals: libcurl ends calls by itself; those that it did not end in time are ended. */
void
pnvs_window_end_late_calls(PnvsWindow *window, TimestampTz now)
{
	if (!TimestampDifferenceExceeds(window->lateness_checked, now, PNVS_LATENESS_CHECK_MS))
		return;
	window->lateness_checked = now;
	for (int i = 0; i < window->nattempts; i++)
	{
		if (window->attempts[i]->call != NULL)
			(void) pnvs_client_time_left_ms(window->attempts[i]->call);
	}
}

/* All that has come back can be settled now, also what was kept for later. */
void
pnvs_window_forget_times(PnvsWindow *window)
{
	TimestampTz now = GetCurrentTimestamp();

	window->done_since = window->exchanged = window->lateness_checked = 0;
	for (int i = 0; i < window->nattempts; i++)
		window->attempts[i]->settle_after = Min(window->attempts[i]->settle_after, now);
}

/* Whether a attempt can be settled now. */
static bool
is_ready(const PnvsAttempt *attempt, TimestampTz now)
{
	return attempt->settle_after <= now && pnvs_attempt_is_done(attempt);
}
