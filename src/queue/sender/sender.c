/*-------------------------------------------------------------------------
 *
 * sender.c
 *	  Claims messages, sends them and settles them, many at a time.
 *
 * One transaction, the exchange, settles the requests that have come back, and claims
 * messages to fill the window again.  Between two exchanges requests are under way, and
 * the sender has no transaction, snapshot or lock.  core/schedule.c says when the next
 * exchange is due.
 *
 * An exchange that fails (the disk is full, for example) is tried again after a pause,
 * which gets longer each time.  If another session has locked a row, the next exchange
 * leaves out the attempts whose rows are locked, and these are tried again later.
 *
 * Times in rows are those of the wall clock; pauses go by the monotonic clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/backoff.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/attempt/window.h"
#include "queue/registry/registry.h"
#include "queue/rows/durability.h"
#include "queue/rows/statements.h"
#include "queue/sender/exchange.h"
#include "queue/sender/sender.h"
#include "settings.h"

/* The sender of a CALL is done after so many failed probes in a row. */
#define ENOUGH_FAILURES 3

/* The pause if another session has locked the table. */
#define LOCKED_PAUSE_MS 20

/* The pauses after failed exchanges; each is twice the last. */
#define FIRST_PAUSE_MS 50
#define LONGEST_PAUSE_MS 10000

struct PnvsSender
{
	MemoryContext context;
	MemoryContext scratch;		/* of one exchange */
	PnvsTransact transact;
	PnvsClaimer claimer;
	PnvsWindow	window;
	PnvsOutages outages;
	bool		has_table;
	bool		may_claim;
	int64		nallowed;		/* so many more messages may be claimed */
	TimestampTz next_queued;	/* when a row may be due */
	TimestampTz next_unknown;
	TimestampTz seen_clock;		/* the wall clock at the last turn */
	bool		unknown_first;	/* at the next exchange that can claim both */
	bool		skip_locked;	/* the last exchange failed, or met locked
								 * rows */
	int			failures;		/* exchanges in a row that failed */
	int64		paused_until_us;	/* by the monotonic clock */
};

static void open_claimer(void *arg);
static void watch_clock(PnvsSender *sender);
static int64 next_exchange_us(const PnvsSender *sender, PnvsLoad *load, PnvsDue *due);
static bool claims(const PnvsSender *sender);
static void exchange_all(PnvsSender *sender, const PnvsLoad *load, const PnvsDue *due);
static void set_limits(PnvsSender *sender, const PnvsLoad *load, const PnvsDue *due,
					   PnvsExchange *exchange);
static void take_over(PnvsSender *sender, PnvsExchange *exchange);
static void undo_exchange(PnvsSender *sender, PnvsExchange *exchange);
static void finish_attempts(PnvsSender *sender, PnvsExchange *exchange);
static void note_next_due(PnvsSender *sender, const PnvsVerdicts *verdicts);
static void follow_up(PnvsSender *sender);
static void start_claimed(PnvsSender *sender, PnvsExchange *exchange);

/*
 * A sender that claims up to max_requests messages.  It lives in the current memory
 * context.  Throws if it cannot begin.
 */
PnvsSender *
pnvs_sender_create(PnvsTransact transact, int64 max_requests)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pnvs sender",
												  ALLOCSET_DEFAULT_SIZES);
	PnvsSender *sender = MemoryContextAllocZero(context, sizeof(PnvsSender));

	sender->context = context;
	sender->scratch = AllocSetContextCreate(context, "pnvs exchange", ALLOCSET_DEFAULT_SIZES);
	sender->transact = transact;
	sender->may_claim = true;
	sender->nallowed = max_requests;
	pnvs_window_open(&sender->window, context);
	sender->next_queued = sender->next_unknown = DT_NOBEGIN;
	sender->seen_clock = GetCurrentTimestamp();
	pnvs_client_prepare_to_wait();
	if (!pnvs_transaction_run(transact, open_claimer, sender))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not begin to send what is queued"),
				 pnvs_errhide()));
	return sender;
}

static void
open_claimer(void *arg)
{
	PnvsSender *sender = arg;

	sender->has_table = OidIsValid(pnvs_table_oid(&pnvs_queue_table));
	pnvs_claimer_open(&sender->claimer);
}

/* Ends the sender.  Requests under way are aborted, and the next sender recovers their rows. */
void
pnvs_sender_destroy(PnvsSender *sender)
{
	pnvs_claimer_close(&sender->claimer);
	MemoryContextDelete(sender->context);
}

/* Notes that a row is due at not_before; DT_NOBEGIN: that any row may be due. */
void
pnvs_sender_look(PnvsSender *sender, TimestampTz not_before)
{
	pnvs_claimer_rewind(&sender->claimer, not_before);
	sender->next_queued = Min(sender->next_queued, not_before);
	if (not_before == DT_NOBEGIN)
		sender->next_unknown = DT_NOBEGIN;
	pnvs_outage_something_new(&sender->outages.sends);
}

/* Ends the pauses of an outage, whose cause the new settings may have mended. */
void
pnvs_sender_settings_changed(PnvsSender *sender)
{
	pnvs_outage_try_again(&sender->outages.sends, pnvs_monotonic_us());
	pnvs_outage_try_again(&sender->outages.look_ups, pnvs_monotonic_us());
}

void
pnvs_sender_stop_claiming(PnvsSender *sender)
{
	sender->may_claim = false;
}

/* Does what can be done without waiting for the network.  Commits. */
void
pnvs_sender_turn(PnvsSender *sender)
{
	int64		now_us = pnvs_monotonic_us();
	PnvsLoad	load;
	PnvsDue		due;

	watch_clock(sender);
	pnvs_window_end_late_calls(&sender->window, now_us);
	pnvs_window_load(&sender->window, now_us, &load);
	pnvs_window_note_ready(&sender->window, &load, now_us);
	if (next_exchange_us(sender, &load, &due) == 0)
		exchange_all(sender, &load, &due);
	follow_up(sender);
}

/*
 * If the wall clock was set back, a row that is queued again has an earlier time than rows
 * that were seen, and no session announces it.
 */
static void
watch_clock(PnvsSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < Max(sender->seen_clock, sender->claimer.seen.not_before))
		pnvs_sender_look(sender, DT_NOBEGIN);
	sender->seen_clock = now;
}

/* Settles all attempts, also those under way, and starts no more. */
void
pnvs_sender_abandon(PnvsSender *sender)
{
	sender->may_claim = false;
	/* if the first fails, the second leaves out locked rows */
	for (int i = 0; i < 2 && sender->window.nattempts > 0; i++)
		exchange_all(sender, NULL, NULL);
}

/* How long it is, in us, until the next turn has something to do, or PNVS_NEVER. */
int64
pnvs_sender_wait_us(const PnvsSender *sender)
{
	PnvsLoad	load;
	PnvsDue		due;
	int64		wait_us;

	pnvs_window_load(&sender->window, pnvs_monotonic_us(), &load);
	wait_us = Min(next_exchange_us(sender, &load, &due),
				  Max(pnvs_upkeep_repeat_due_us() - pnvs_monotonic_us(), 0));
	return sender->window.nattempts > 0 ? Min(wait_us, PNVS_LATENESS_CHECK_US) : wait_us;
}

/* Whether no request is under way or left to be settled. */
bool
pnvs_sender_is_idle(const PnvsSender *sender)
{
	return sender->window.nattempts == 0;
}

/* Whether the sender waits for a reply or a time-out, or for the end of an outage. */
bool
pnvs_sender_is_waiting(const PnvsSender *sender)
{
	int			nunsettled = pnvs_sender_unsettled(sender);

	return nunsettled < sender->window.nattempts ||
		(nunsettled == 0 &&
		 (sender->outages.sends.failures > 0 || sender->outages.look_ups.failures > 0));
}

/* How many requests have come back and could not be settled yet. */
int
pnvs_sender_unsettled(const PnvsSender *sender)
{
	PnvsLoad	load;

	pnvs_window_load(&sender->window, pnvs_monotonic_us(), &load);
	return load.ready + load.kept;
}

/* False if the extension is not in this database (any more). */
bool
pnvs_sender_has_table(const PnvsSender *sender)
{
	return sender->has_table;
}

/* When a row that may be claimed may be due, or DT_NOEND. */
TimestampTz
pnvs_sender_next_due(const PnvsSender *sender)
{
	PnvsLoad	load;

	if (sender->nallowed <= 0)
		return DT_NOEND;
	pnvs_window_load(&sender->window, pnvs_monotonic_us(), &load);
	return pnvs_schedule_look_up_capacity(&load) <= 0 ? sender->next_queued :
		Min(sender->next_queued, sender->next_unknown);
}

/*
 * Whether the sender of a CALL has done its work: no row is due, or the rows that are due
 * wait for the end of an outage, and enough messages were tried.
 */
bool
pnvs_sender_is_done(const PnvsSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();

	return pnvs_sender_is_idle(sender) &&
		(pnvs_sender_next_due(sender) > now ||
		 ((sender->next_queued > now || sender->outages.sends.failures >= ENOUGH_FAILURES) &&
		  (sender->next_unknown > now || sender->outages.look_ups.failures >= ENOUGH_FAILURES)));
}

PnvsClaimer *
pnvs_sender_claimer(PnvsSender *sender)
{
	return &sender->claimer;
}

/* How long it is until the next exchange, in us: 0 for now, or PNVS_NEVER. */
static int64
next_exchange_us(const PnvsSender *sender, PnvsLoad *load, PnvsDue *due)
{
	int64		now_us = pnvs_monotonic_us();

	due->pause_us = sender->paused_until_us - now_us;
	due->queued_us = due->unknown_us = PNVS_NEVER;

	/*
	 * during an outage a row that is due may have to wait; a search sends
	 * nothing
	 */
	if (claims(sender) && pnvs_sending)
		due->queued_us = Max(pnvs_us_until(sender->next_queued),
							 pnvs_outages_send_wait_us(&sender->outages, now_us));
	if (claims(sender) && pnvs_schedule_look_up_capacity(load) > 0)
		due->unknown_us = Max(pnvs_us_until(sender->next_unknown),
							  pnvs_outages_look_up_wait_us(&sender->outages, now_us));
	return pnvs_schedule_exchange_us(load, due);
}

/* Whether the sender claims rows.  An invalid setting stops that until it is corrected. */
static bool
claims(const PnvsSender *sender)
{
	return sender->may_claim && sender->has_table && sender->nallowed > 0 &&
		!pnvs_http_needs_rest() && pnvs_settings_invalid_name() == NULL;
}

/*
 * Runs an exchange that settles and claims what it can.  Without load and due it settles
 * all attempts and claims nothing.
 */
static void
exchange_all(PnvsSender *sender, const PnvsLoad *load, const PnvsDue *due)
{
	PnvsExchange exchange = {
		.claimer = &sender->claimer,
		.window = &sender->window,
		.attempt_context = sender->context,
		.scratch = sender->scratch,
		.abandon = load == NULL,
		/* a request that is made again would hardly come back in time */
		.start_no_more = !sender->may_claim,
		.skip_locked = sender->skip_locked,
		.outages = sender->outages,
		.next_queued = sender->next_queued,
		.next_unknown = sender->next_unknown
	};

	if (load != NULL && Min(due->queued_us, due->unknown_us) <= 0)
		set_limits(sender, load, due, &exchange);
	if (pnvs_transaction_run(sender->transact, pnvs_exchange_work, &exchange) &&
		exchange.lock != PNVS_TABLE_BUSY)
		take_over(sender, &exchange);
	else
		undo_exchange(sender, &exchange);
	MemoryContextReset(sender->scratch);
}

/* Lets the exchange claim as many rows as fill the window. */
static void
set_limits(PnvsSender *sender, const PnvsLoad *load, const PnvsDue *due, PnvsExchange *exchange)
{
	/* attempts whose rows are locked take no capacity, only a place */
	exchange->capacity = (int) Min(Max(load->max_in_flight - load->under_way, 0), sender->nallowed);
	exchange->look_up_capacity = pnvs_schedule_look_up_capacity(load);
	exchange->queued_due = due->queued_us <= 0;
	exchange->unknown_due = exchange->look_up_capacity > 0 && pnvs_us_until(sender->next_unknown) <= 0;
	if (!exchange->unknown_due)
		return;

	/*
	 * they take turns: otherwise a backlog would take all capacity, and so
	 * would look-ups in a window of 1
	 */
	exchange->unknown_first = exchange->queued_due && sender->unknown_first;
	sender->unknown_first = exchange->queued_due && !sender->unknown_first;
}

/* Acts on an exchange that was committed. */
static void
take_over(PnvsSender *sender, PnvsExchange *exchange)
{
	PnvsLoad	load;

	sender->failures = 0;

	/*
	 * an exchange that writes nothing is committed even if nothing can be
	 * written
	 */
	if (exchange->verdicts.n > 0 || exchange->nclaimed > 0)
		pnvs_transaction_note_written();
	/* the next exchange may meet the locked rows of kept attempts */
	pnvs_window_load(&sender->window, pnvs_monotonic_us(), &load);
	sender->skip_locked = exchange->met_locked || load.kept > 0;
	sender->has_table = exchange->lock == PNVS_TABLE_LOCKED;
	sender->next_queued = exchange->next_queued;
	sender->next_unknown = exchange->next_unknown;
	pnvs_outages_log(&sender->outages, &exchange->outages, &exchange->verdicts);
	sender->outages = exchange->outages;
	finish_attempts(sender, exchange);
	note_next_due(sender, &exchange->verdicts);
	start_claimed(sender, exchange);
	sender->window.exchanged_at_us = pnvs_monotonic_us();
	pnvs_notify_announce(sender->transact, &exchange->verdicts);
}

/* Acts on an exchange that was rolled back, or found the table locked. */
static void
undo_exchange(PnvsSender *sender, PnvsExchange *exchange)
{
	int64		pause_ms = LOCKED_PAUSE_MS;

	for (int i = 0; i < exchange->nclaimed; i++)
		pnvs_attempt_destroy(exchange->claimed[i]);
	if (exchange->lock != PNVS_TABLE_BUSY)
	{
		sender->skip_locked = true;
		pnvs_sender_look(sender, DT_NOBEGIN);
		pause_ms = pnvs_backoff_doubled_ms(sender->failures++, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
	}
	sender->paused_until_us = pnvs_monotonic_us() + pause_ms * 1000;
}

/* Destroys the attempts whose rows are settled, and starts again those that go on. */
static void
finish_attempts(PnvsSender *sender, PnvsExchange *exchange)
{
	if (!sender->has_table)
	{
		pnvs_window_clear(&sender->window);
		return;
	}
	for (int i = 0; i < exchange->nfinished; i++)
	{
		PnvsAttempt *attempt = exchange->finished[i];
		bool		goes_on = pnvs_phase_is_to_start(attempt->phase);

		if (goes_on && !exchange->start_no_more)
			pnvs_attempt_start(attempt);
		else
		{
			/* this row of unknown fate is still to be looked up */
			if (goes_on)
				pnvs_sender_look(sender, DT_NOBEGIN);
			pnvs_window_drop(&sender->window, attempt);
		}
	}
}

/* Notes when rows are due that were queued again, or are to be looked up. */
static void
note_next_due(PnvsSender *sender, const PnvsVerdicts *verdicts)
{
	for (int i = 0; i < verdicts->n; i++)
	{
		const PnvsVerdict *verdict = &verdicts->list[i];
		TimestampTz *next = strcmp(verdict->state, "queued") == 0 ?
		&sender->next_queued : &sender->next_unknown;

		if (verdict->settled_at == 0)
			*next = Min(*next, verdict->not_before);
	}
}

/* Does what settled messages have left to be done; it may queue other messages. */
static void
follow_up(PnvsSender *sender)
{
	TimestampTz due;

	if (pnvs_upkeep_repeat_due_us() > pnvs_monotonic_us())
		return;
	pnvs_upkeep_repeat(sender->transact, false);
	due = pnvs_registry_take_own();
	if (due != DT_NOEND)
		pnvs_sender_look(sender, due);
}

/* Starts the requests for new claims, if these are flushed and replicated. */
static void
start_claimed(PnvsSender *sender, PnvsExchange *exchange)
{
	bool		safe = exchange->nclaimed == 0 || pnvs_durability_is_reached();

	for (int i = 0; i < exchange->nclaimed; i++)
	{
		PnvsAttempt *attempt = exchange->claimed[i];
		bool		is_look_up = pnvs_phase_is_look_up(attempt->phase);

		pnvs_window_add(&sender->window, attempt);
		attempt->claim.own_refusals = pnvs_outage_own_refusals(&sender->outages.sends,
															   attempt->claim.id);
		if (!is_look_up)
			sender->nallowed--;
		if (safe || is_look_up)
			pnvs_attempt_start(attempt);
		else
			pnvs_attempt_withhold(attempt);
	}
}
