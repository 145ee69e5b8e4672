/*-------------------------------------------------------------------------
 *
 * sender.c
 *	  A sliding window over the queue: claim, send, settle.
 *
 * One transaction, the exchange, settles what has come back and claims what
 * fills the window again; between two of them requests are under way, and no
 * transaction, snapshot or lock is held.  An exchange happens at once where the
 * sender is idle, and for a share of the window at a time under load, so that
 * commits do not bound what it gets through.
 *
 * An exchange that fails (no space is left, say) is tried again after a pause, and
 * pauses get longer.  If somebody has locked a row, the next exchange leaves out the
 * attempts whose rows are locked, and these are tried again later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errcodes.h"
#include "queue/sender/pause.h"
#include "queue/sender/clock.h"
#include "queue/rows/durability.h"
#include "queue/sender/exchange.h"
#include "queue/sender/failure_log.h"
#include "queue/sender/notify.h"
#include "queue/registry/registry.h"
#include "queue/sender/sender.h"
#include "queue/rows/table.h"
#include "queue/attempt/window.h"
#include "settings.h"

/* So many probes in a row that fail are enough for who need not stay. */
#define ENOUGH_FAILURES 3

struct PnvsSender
{
	MemoryContext context;
	MemoryContext scratch;		/* of one exchange */
	PnvsTransact transact;
	PnvsClaimer claimer;
	bool		may_claim;
	int64		nallowed;		/* claims that are left */
	PnvsWindow	window;
	TimestampTz next_queued;	/* when a row is due, as far as is known */
	TimestampTz next_unknown;
	PnvsPause	pause;
	PnvsOutages outages;
	int64		clock_ahead_us; /* see clock.c */
	bool		unknown_first;	/* at the next exchange that could claim both */
	bool		skip_held;		/* the last exchange has failed, or somebody
								 * has locked a row */
	bool		has_table;
};

static void open_claimer(void *arg);
static void begin_anew(PnvsSender *sender);
static bool needs_exchange(PnvsSender *sender);
static bool is_work_due(const PnvsSender *sender);
static bool claims(const PnvsSender *sender);
static TimestampTz next_claim(const PnvsSender *sender);
static void exchange_all(PnvsSender *sender, bool abandon);
static void make_room(PnvsSender *sender, PnvsExchange *exchange);
static void commit_exchange(PnvsSender *sender, PnvsExchange *exchange);
static bool keeps_held(const PnvsSender *sender);
static void undo_exchange(PnvsSender *sender, PnvsExchange *exchange);
static void finish_attempts(PnvsSender *sender, PnvsExchange *exchange);
static void start_claimed(PnvsSender *sender, PnvsExchange *exchange);

/*
 * A sender that claims up to max_requests rows.  It lives in the current memory
 * context.  Throws where it cannot begin.
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
	pnvs_client_prepare_to_wait();
	if (transact(open_claimer, sender) != PNVS_COMMITTED)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not begin to send what is queued"),
				 pnvs_errhide()));
	return sender;
}

/* Ends the sender; what is under way is taken back, and others can recover it. */
void
pnvs_sender_destroy(PnvsSender *sender)
{
	pnvs_claimer_close(&sender->claimer);
	MemoryContextDelete(sender->context);
}

/* Something is due at not_before; DT_NOBEGIN: look at everything anew. */
void
pnvs_sender_look(PnvsSender *sender, TimestampTz not_before)
{
	pnvs_claimer_rewind(&sender->claimer, not_before);
	sender->next_queued = Min(sender->next_queued, not_before);
	if (not_before == DT_NOBEGIN)
		sender->next_unknown = DT_NOBEGIN;
	pnvs_outage_something_new(&sender->outages.sends);
}

/* What kept all messages from being sent may be mended: that is tried at once. */
void
pnvs_sender_settings_changed(PnvsSender *sender)
{
	pnvs_outages_try_again(&sender->outages);
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
	TimestampTz now = GetCurrentTimestamp();

	if (pnvs_clock_was_set_back(&sender->clock_ahead_us))
		begin_anew(sender);
	pnvs_window_end_late_calls(&sender->window, now);
	if (needs_exchange(sender))
		exchange_all(sender, false);
}

/* Settles what has not come back as what is known of it, and starts no more. */
void
pnvs_sender_abandon(PnvsSender *sender)
{
	sender->may_claim = false;
	/* the second leaves out what the first may have failed for */
	for (int i = 0; i < 2 && sender->window.nattempts > 0; i++)
		exchange_all(sender, true);
}

/* How long a turn has nothing to do, unless something comes; -1: for ever. */
long
pnvs_sender_wait_ms(const PnvsSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	int			nready;
	int			nunder_way = pnvs_window_under_way(&sender->window, &nready);

	next = Min(pnvs_window_settle_from(&sender->window, nunder_way, nready),
			   pnvs_window_next_ready(&sender->window, now));
	if (claims(sender))
		next = Min(next, Max(next_claim(sender),
							 pnvs_window_room_from(&sender->window, nunder_way, nready)));
	if (next != DT_NOEND)
		next = Max(next, sender->pause.paused_until);
	if (sender->window.nattempts > 0)
		next = Min(next, TimestampTzPlusMilliseconds(now, PNVS_LATENESS_CHECK_MS));
	if (next == DT_NOEND)
		return -1;
	if (next <= now)
		return 0;
	/* longer than a day does not fit everywhere, and need not */
	return (long) Min((next - now + 999) / 1000, INT64CONST(86400000));
}

/* Whether nothing is under way, and nothing is left to be settled. */
bool
pnvs_sender_is_idle(const PnvsSender *sender)
{
	return sender->window.nattempts == 0;
}

/* Whether a reply is waited for, or its time-out, or that requests are worth while again. */
bool
pnvs_sender_is_waiting(const PnvsSender *sender)
{
	int			nunsettled = pnvs_sender_unsettled(sender);

	return nunsettled < sender->window.nattempts ||
		(nunsettled == 0 &&
		 (sender->outages.sends.failures > 0 || sender->outages.look_ups.failures > 0));
}

/* How many have come back and could not be settled yet. */
int
pnvs_sender_unsettled(const PnvsSender *sender)
{
	int			nready;

	return sender->window.nattempts - pnvs_window_under_way(&sender->window, &nready);
}

/* False where the extension has gone, or was never there. */
bool
pnvs_sender_has_table(const PnvsSender *sender)
{
	return sender->has_table;
}

/* When a row is due, or due again, as far as is known, or DT_NOEND. */
TimestampTz
pnvs_sender_next_due(const PnvsSender *sender)
{
	if (sender->nallowed <= 0)
		return DT_NOEND;
	return pnvs_window_lookup_room(&sender->window) <= 0 ? sender->next_queued :
		Min(sender->next_queued, sender->next_unknown);
}

/*
 * Whether nothing is left to do for who does not stay: nothing is due, or what is due
 * waits for what is everybody's fault, and some messages were tried.
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

static void
open_claimer(void *arg)
{
	PnvsSender *sender = arg;

	sender->has_table = OidIsValid(pnvs_table_oid());
	pnvs_claimer_open(&sender->claimer);
}

/* The clock was set back.  The ring is for the worker, which remembers times, too. */
static void
begin_anew(PnvsSender *sender)
{
	pnvs_pause_end(&sender->pause);
	pnvs_outages_try_again(&sender->outages);
	pnvs_window_forget_times(&sender->window);
	pnvs_sender_look(sender, DT_NOBEGIN);
	pnvs_registry_ask(PNVS_TASK_BEGIN_ANEW);
}

/*
 * Whether it is time for an exchange: enough has come back, or has waited long
 * enough, or little is under way; or something is due and there is room for it.
 */
static bool
needs_exchange(PnvsSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();
	int			nready;
	int			nunder_way = pnvs_window_under_way(&sender->window, &nready);

	if (now < sender->pause.paused_until)
		return false;
	pnvs_window_note_done(&sender->window, nready, now);
	return pnvs_window_settle_from(&sender->window, nunder_way, nready) <= now ||
		(is_work_due(sender) &&
		 pnvs_window_room_from(&sender->window, nunder_way, nready) <= now);
}

static bool
is_work_due(const PnvsSender *sender)
{
	return claims(sender) && next_claim(sender) <= GetCurrentTimestamp();
}

/* Whether it takes what is due.  A setting that is not valid stops it until that is put right. */
static bool
claims(const PnvsSender *sender)
{
	return sender->may_claim && sender->has_table && !pnvs_client_needs_rest() &&
		pnvs_settings_invalid_name() == NULL;
}

/*
 * When there is something to claim, as far as is known, or DT_NOEND.  What waits for
 * what is everybody's fault is due, but not to be claimed yet.
 */
static TimestampTz
next_claim(const PnvsSender *sender)
{
	TimestampTz queued = Max(sender->next_queued, pnvs_outage_next_us(&sender->outages.sends));
	TimestampTz unknown = Max(sender->next_unknown,
							  pnvs_outages_next_look_up(&sender->outages));

	if (sender->nallowed <= 0)
		return DT_NOEND;
	return pnvs_window_lookup_room(&sender->window) <= 0 ? queued : Min(queued, unknown);
}

/* One exchange for everything that can be settled and claimed. */
static void
exchange_all(PnvsSender *sender, bool abandon)
{
	PnvsExchange exchange = {0};

	exchange.claimer = &sender->claimer;
	exchange.attempt_context = sender->context;
	exchange.scratch = sender->scratch;
	exchange.has_table = sender->has_table;
	exchange.attempts = MemoryContextAlloc(sender->scratch,
										   (sender->window.nattempts + 1) * sizeof(PnvsAttempt *));
	exchange.abandon = abandon;
	/* what is to be made again would hardly come back in time */
	exchange.start_no_more = !sender->may_claim;
	exchange.skip_held = sender->skip_held;
	exchange.outages = sender->outages;
	/* what is not looked for is as due as it was */
	exchange.next_queued = exchange.next_unknown = DT_NOBEGIN;
	exchange.nattempts = pnvs_window_ready(&sender->window, abandon, exchange.attempts);
	make_room(sender, &exchange);
	commit_exchange(sender, &exchange);
}

/* Lets the exchange claim what fills the window. */
static void
make_room(PnvsSender *sender, PnvsExchange *exchange)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext caller;
	int			nready;
	int			nunder_way = pnvs_window_under_way(&sender->window, &nready);

	if (!is_work_due(sender))
		return;
	exchange->room = Max(pnvs_max_in_flight - nunder_way - (nready - exchange->nattempts), 0);
	/* those that cannot be settled take no room, as long as there is any */
	exchange->places = PNVS_MAX_WINDOW - (sender->window.nattempts - exchange->nattempts);
	exchange->room = Min(exchange->room, exchange->places);
	exchange->room = (int) Min((int64) exchange->room, sender->nallowed);
	exchange->queued_due = Max(sender->next_queued,
							   pnvs_outage_next_us(&sender->outages.sends)) <= now;
	exchange->lookup_room = pnvs_window_lookup_room(&sender->window);
	exchange->unknown_due = exchange->lookup_room > 0 && sender->next_unknown <= now;
	if (!exchange->unknown_due)
		return;
	caller = MemoryContextSwitchTo(sender->scratch);
	exchange->nlooked_up = pnvs_window_looked_up(&sender->window, &exchange->looked_up);
	MemoryContextSwitchTo(caller);

	/*
	 * a backlog would take all room, for as long as it lasts, and in a window
	 * of one so would the look-ups
	 */
	exchange->unknown_first = exchange->queued_due && sender->unknown_first;
	sender->unknown_first = exchange->queued_due && !sender->unknown_first;
}

/* Runs an exchange, and acts on it where it was committed. */
static void
commit_exchange(PnvsSender *sender, PnvsExchange *exchange)
{
	if (sender->transact(pnvs_exchange_work, exchange) == PNVS_COMMITTED && !exchange->locked)
	{
		pnvs_pause_forget_failures(&sender->pause);
		/* to find nothing, or only what is to be looked up, always commits */
		if (exchange->verdicts.n > 0 || exchange->nclaimed > 0)
			pnvs_failure_log_written();
		sender->skip_held = exchange->any_held || keeps_held(sender);
		sender->has_table = exchange->has_table;
		if (exchange->queued_due)
			sender->next_queued = exchange->next_queued;
		if (exchange->unknown_due)
			sender->next_unknown = exchange->next_unknown;
		pnvs_outages_log(&sender->outages, &exchange->outages, &exchange->verdicts);
		sender->outages = exchange->outages;
		finish_attempts(sender, exchange);
		start_claimed(sender, exchange);
		pnvs_window_note_exchange(&sender->window);
		if (exchange->verdicts.n > 0)
			pnvs_notify_announce(sender->transact, exchange->verdicts.list,
								 exchange->verdicts.n);
	}
	else
		undo_exchange(sender, exchange);
	MemoryContextReset(sender->scratch);
}

/* Whether a attempt waits for its row to come free, which the next exchange may meet. */
static bool
keeps_held(const PnvsSender *sender)
{
	return pnvs_window_next_ready(&sender->window, GetCurrentTimestamp()) != DT_NOEND;
}

static void
undo_exchange(PnvsSender *sender, PnvsExchange *exchange)
{
	for (int i = 0; i < exchange->nclaimed; i++)
		pnvs_attempt_destroy(exchange->claimed[i]);
	if (exchange->locked)
	{
		pnvs_pause_for_lock(&sender->pause);
		return;
	}
	sender->skip_held = true;
	pnvs_sender_look(sender, DT_NOBEGIN);
	pnvs_pause_begin(&sender->pause);
}

/* Attempts whose rows are settled have ended, but for those that go on. */
static void
finish_attempts(PnvsSender *sender, PnvsExchange *exchange)
{
	if (!exchange->has_table)
	{
		pnvs_window_clear(&sender->window);
		return;
	}
	for (int i = 0; i < exchange->nfinished; i++)
	{
		PnvsAttempt *attempt = exchange->finished[i];

		if (pnvs_phase_is_to_start(attempt->phase) && !exchange->start_no_more)
			pnvs_attempt_start(attempt);
		else
		{
			/* a row of unknown fate that is not looked up after all */
			if (pnvs_phase_is_to_start(attempt->phase))
				pnvs_sender_look(sender, DT_NOBEGIN);
			pnvs_window_drop(&sender->window, attempt);
		}
	}

	/* rows that are queued again, or are to be looked up, will be due */
	for (int i = 0; i < exchange->verdicts.n; i++)
	{
		const PnvsVerdict *verdict = &exchange->verdicts.list[i];

		if (verdict->settled_at != 0)
			continue;
		if (strcmp(verdict->state, "queued") == 0)
			sender->next_queued = Min(sender->next_queued, verdict->not_before);
		else
			sender->next_unknown = Min(sender->next_unknown, verdict->not_before);
	}
}

/* Claims that are committed, and safe, are sent. */
static void
start_claimed(PnvsSender *sender, PnvsExchange *exchange)
{
	bool		safe = exchange->nclaimed == 0 || pnvs_durability_is_reached();

	for (int i = 0; i < exchange->nclaimed; i++)
	{
		PnvsAttempt *attempt = exchange->claimed[i];

		pnvs_window_add(&sender->window, attempt);
		attempt->claim.own_refusals = pnvs_outage_own_refusals(&sender->outages.sends,
															   attempt->claim.id);
		if (!pnvs_phase_is_look_up(attempt->phase))
			sender->nallowed--;
		if (safe || pnvs_phase_is_look_up(attempt->phase))
			pnvs_attempt_start(attempt);
		else
			pnvs_attempt_withhold(attempt);
	}
}
