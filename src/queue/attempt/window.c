/*-------------------------------------------------------------------------
 *
 * window.c
 *	  The attempts that a sender has begun and not settled yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "monotonic.h"
#include "queue/attempt/window.h"
#include "settings.h"

/* Makes an empty window; its array is allocated in the context. */
void
pnvs_window_open(PnvsWindow *window, MemoryContext context)
{
	memset(window, 0, sizeof(*window));
	window->attempts = MemoryContextAlloc(context, PNVS_MAX_WINDOW * sizeof(PnvsAttempt *));
}

/* The attempt is the window's from now on. */
void
pnvs_window_add(PnvsWindow *window, PnvsAttempt *attempt)
{
	Assert(window->nattempts < PNVS_MAX_WINDOW);
	window->attempts[window->nattempts++] = attempt;
}

/* Takes an attempt out and destroys it. */
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

/* Counts the attempts by how far they have got. */
void
pnvs_window_load(const PnvsWindow *window, int64 now_us, PnvsLoad *load)
{
	memset(load, 0, sizeof(*load));
	load->max_in_flight = pnvs_max_in_flight;
	load->kept_us = PNVS_SCHEDULE_NEVER;
	load->ready_for_us = now_us - window->ready_since_us;
	load->exchanged_us = now_us - window->exchanged_at_us;
	for (int i = 0; i < window->nattempts; i++)
	{
		const PnvsAttempt *attempt = window->attempts[i];

		load->look_ups += pnvs_phase_is_look_up(attempt->phase) && attempt->settle_after_us == 0;
		if (!pnvs_attempt_is_done(attempt))
			load->under_way++;
		else if (attempt->settle_after_us <= now_us)
			load->ready++;
		else
		{
			load->kept++;
			load->kept_us = Min(load->kept_us, attempt->settle_after_us - now_us);
		}
	}
}

/*
 * Fills in the attempts that can be settled now, or all there are, and returns their
 * number; ready has space for as many.
 */
int
pnvs_window_ready(const PnvsWindow *window, bool all, PnvsAttempt **ready)
{
	int64		now_us = pnvs_monotonic_us();
	int			nready = 0;

	for (int i = 0; i < window->nattempts; i++)
	{
		PnvsAttempt *attempt = window->attempts[i];

		if (all || (attempt->settle_after_us <= now_us && pnvs_attempt_is_done(attempt)))
			ready[nready++] = attempt;
	}
	return nready;
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

/*
 * Remembers since when the ready of a load, which was counted at now_us, have waited to be
 * settled, and tells the load.  Those that came back during an exchange count from before
 * it, and need not wait again.
 */
void
pnvs_window_note_ready(PnvsWindow *window, PnvsLoad *load, int64 now_us)
{
	if (load->ready == 0)
		window->ready_since_us = 0;
	else if (window->ready_since_us == 0)
		window->ready_since_us = now_us;
	load->ready_for_us = now_us - window->ready_since_us;
}

/* At intervals: ends the calls that libcurl did not end in time. */
void
pnvs_window_end_late_calls(PnvsWindow *window, int64 now_us)
{
	if (now_us - window->checked_at_us < PNVS_LATENESS_CHECK_US)
		return;
	window->checked_at_us = now_us;
	for (int i = 0; i < window->nattempts; i++)
	{
		if (window->attempts[i]->call != NULL)
			(void) pnvs_client_time_left_ms(window->attempts[i]->call);
	}
}
