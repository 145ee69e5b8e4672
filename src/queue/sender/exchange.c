/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  The transaction of a sender: it settles the requests that have come back, and claims
 *	  rows for new requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "monotonic.h"
#include "queue/rows/durability.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"
#include "queue/sender/exchange.h"

/* A row that another session has locked is tried again after this. */
#define LOCKED_RETRY_US USECS_PER_SEC

/* During an outage two rows are looked at, to find another than the last refused. */
#define CANDIDATES 2

/* The most rows that a transaction expires during an outage. */
#define MAX_EXPIRED 1000

static void settle(PnvsExchange *exchange);
static bool is_locked(const PnvsAttempt *attempt);
static int	write_verdicts(PnvsExchange *exchange, int nwritten);
static void leave_out_locked(PnvsExchange *exchange, int nwritten);
static void claim_queued(PnvsExchange *exchange);
static void claim_unknown(PnvsExchange *exchange);
static void add_attempt(PnvsExchange *exchange, const PnvsClaim *claim, PnvsPhase phase);

/* To be run in a transaction; throws. */
void
pnvs_exchange_work(void *arg)
{
	PnvsExchange *exchange = arg;
	PnvsTableVisit visit;
	MemoryContext visitor;

	exchange->lock = pnvs_transaction_lock_table(&pnvs_queue_table);
	if (exchange->lock != PNVS_TABLE_LOCKED)
		return;
	pnvs_durability_demand();
	pnvs_table_enter_unattended(&pnvs_queue_table, &visit);
	visitor = MemoryContextSwitchTo(exchange->scratch);
	exchange->claimed = palloc((exchange->capacity + 1) * sizeof(PnvsAttempt *));
	settle(exchange);
	/* the replies decide how much may be claimed */
	pnvs_outages_note(&exchange->outages, &exchange->verdicts);
	if (exchange->unknown_first)
		claim_unknown(exchange);
	if (exchange->capacity > 0 && exchange->queued_due)
		claim_queued(exchange);
	if (exchange->capacity > 0 && exchange->unknown_due && !exchange->unknown_first)
		claim_unknown(exchange);
	MemoryContextSwitchTo(visitor);
	pnvs_table_leave(&visit);
}

/* Settles the requests that have come back, and lowers the capacity to the places left. */
static void
settle(PnvsExchange *exchange)
{
	const PnvsWindow *window = exchange->window;
	int			places = PNVS_MAX_WINDOW - window->nattempts;
	int			nwritten = 0;
	int			nready;

	exchange->finished = palloc((window->nattempts + 1) * sizeof(PnvsAttempt *));
	nready = pnvs_window_ready(window, exchange->abandon, exchange->finished);
	for (int i = 0; i < nready; i++)
	{
		PnvsAttempt *attempt = exchange->finished[i];

		if (exchange->skip_locked && is_locked(attempt))
		{
			attempt->settle_after_us = pnvs_monotonic_us() + LOCKED_RETRY_US;
			exchange->met_locked = true;
			continue;
		}
		/* no two look-ups may find the same record */
		if (attempt->phase != PNVS_PHASE_SENDING)
			nwritten = write_verdicts(exchange, nwritten);
		exchange->finished[exchange->nfinished++] = attempt;
		if (pnvs_attempt_is_done(attempt) && pnvs_attempt_finish(attempt, &exchange->verdicts))
			places++;
		else if (exchange->start_no_more)
		{
			pnvs_attempt_abandon(attempt, &exchange->verdicts);
			places++;
		}
		/* it is started again, so it keeps its place */
		else
			exchange->capacity--;
	}
	(void) write_verdicts(exchange, nwritten);
	exchange->capacity = Max(Min(exchange->capacity, places), 0);
}

/* Whether another session has locked a row that the attempt is for. */
static bool
is_locked(const PnvsAttempt *attempt)
{
	int64	   *ids = palloc((attempt->njoined + 1) * sizeof(int64));

	ids[0] = attempt->claim.id;
	for (int i = 0; i < attempt->njoined; i++)
		ids[i + 1] = attempt->joined_ids[i];
	return pnvs_settle_find_locked(ids, attempt->njoined + 1) > 0;
}

/* Writes the verdicts after the first nwritten, and returns the number of all. */
static int
write_verdicts(PnvsExchange *exchange, int nwritten)
{
	PnvsVerdicts *verdicts = &exchange->verdicts;

	if (exchange->skip_locked && verdicts->n > nwritten)
		leave_out_locked(exchange, nwritten);
	if (verdicts->n > nwritten)
		pnvs_settle_rows(exchange->claimer, verdicts->list + nwritten, verdicts->n - nwritten);
	return verdicts->n;
}

/*
 * Drops the verdicts on locked rows.  The rows of attempts are not among these; but a
 * search also decides on other rows of its number, which have searches of their own.
 */
static void
leave_out_locked(PnvsExchange *exchange, int nwritten)
{
	PnvsVerdicts *verdicts = &exchange->verdicts;
	int64	   *ids = palloc((verdicts->n - nwritten) * sizeof(int64));
	int			nlocked;
	int			nkept = nwritten;

	for (int i = nwritten; i < verdicts->n; i++)
		ids[i - nwritten] = verdicts->list[i].id;
	nlocked = pnvs_settle_find_locked(ids, verdicts->n - nwritten);
	for (int i = nwritten; i < verdicts->n; i++)
	{
		bool		locked = false;

		for (int n = 0; n < nlocked && !locked; n++)
			locked = ids[n] == verdicts->list[i].id;
		if (!locked)
			verdicts->list[nkept++] = verdicts->list[i];
	}
	exchange->met_locked = exchange->met_locked || nlocked > 0;
	verdicts->n = nkept;
}

/*
 * Claims queued rows that are due.  During an outage it claims a single row at the most,
 * and settles the rows that are too late; a row that may not be tried yet stays due.
 */
static void
claim_queued(PnvsExchange *exchange)
{
	PnvsOutage *outage = &exchange->outages.sends;
	PnvsTryable tryable = pnvs_outage_tryable(outage, pnvs_monotonic_us());
	bool		all = tryable == PNVS_TRY_ALL;
	PnvsClaimLimit limit = {all ? exchange->capacity : CANDIDATES, tryable, outage->last};
	PnvsClaim  *claims = palloc(limit.max * sizeof(PnvsClaim));
	int			nlate = all ? 0 :
	pnvs_claim_expire(exchange->claimer, MAX_EXPIRED, &exchange->verdicts);
	int			nbefore = exchange->verdicts.n;
	int			nclaims;
	int			nrows = pnvs_claim_due(exchange->claimer, &limit, claims, &nclaims,
									   &exchange->verdicts);

	for (int i = 0; i < nclaims; i++)
		add_attempt(exchange, &claims[i],
					claims[i].verify_first ? PNVS_PHASE_TO_VERIFY : PNVS_PHASE_TO_SEND);
	exchange->next_queued = (all ? nrows < limit.max : nrows == 0) ?
		pnvs_claim_next(exchange->claimer) : DT_NOBEGIN;
	if (all)
		return;
	/* otherwise more rows may be too late */
	if (nlate < MAX_EXPIRED && exchange->verdicts.n - nbefore < CANDIDATES)
		pnvs_outage_looked(outage, pnvs_monotonic_us());
	if (nclaims > 0)
		pnvs_outage_probe_started(outage, claims[0].id);
}

/*
 * Starts searches for rows of unknown fate that are due; a search is for all rows of the
 * same number.  The rows are not claimed: two senders that look up the same do no harm.
 */
static void
claim_unknown(PnvsExchange *exchange)
{
	PnvsOutage *outage = &exchange->outages.look_ups;
	int			max = Min(exchange->capacity, exchange->look_up_capacity);
	PnvsClaim  *claims = palloc((max + 1) * sizeof(PnvsClaim));
	int			nclaims = 0;
	int64	   *under_way;
	int			nunder_way;

	if (pnvs_outages_look_up_wait_us(&exchange->outages, pnvs_monotonic_us()) > 0)
		return;
	nunder_way = pnvs_window_looked_up(exchange->window, &under_way);
	if (outage->failures > 0)
		max = Min(max, 1);
	if (max > 0)
		nclaims = pnvs_unknown_select(claims, max, under_way, nunder_way);
	if (nclaims > 0)
		pnvs_outage_probe_started(outage, claims[0].id);
	exchange->next_unknown = nclaims < max ?
		pnvs_unknown_next(claims, nclaims, under_way, nunder_way) : DT_NOBEGIN;
	for (int i = 0; i < nclaims; i++)
	{
		bool		joined = false;

		for (int n = 0; n < exchange->nclaimed && !joined; n++)
			joined = pnvs_attempt_join(exchange->claimed[n], &claims[i]);
		if (!joined)
			add_attempt(exchange, &claims[i], PNVS_PHASE_TO_LOOK_UP);
	}
}

static void
add_attempt(PnvsExchange *exchange, const PnvsClaim *claim, PnvsPhase phase)
{
	exchange->claimed[exchange->nclaimed++] =
		pnvs_attempt_create(exchange->attempt_context, claim, phase);
	exchange->capacity--;
}
