/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  The one transaction of a sender: settle what has come back, claim more.
 *
 * The table is locked without waiting: who rewrites or truncates it is not kept
 * waiting by requests under way, and they go on while he is at it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/rows/durability.h"
#include "queue/rows/rows.h"
#include "queue/rows/table.h"
#include "queue/sender/exchange.h"

/* A row that somebody has locked is tried again after this. */
#define LOCKED_RETRY_US USECS_PER_SEC

/* Where one may be tried, another than was refused last. */
#define LOOKED_AT_FOR_ONE 2

/* Rows that expire in one transaction. */
#define MAX_EXPIRED 1000

static bool lock_table(PnvsExchange *exchange);
static void settle(PnvsExchange *exchange);
static bool is_locked(const PnvsAttempt *attempt);
static int	write_verdicts(PnvsExchange *exchange, int nwritten);
static void leave_out_locked(PnvsExchange *exchange, int nwritten);
static void claim_queued(PnvsExchange *exchange);
static void claim_one(PnvsExchange *exchange, const PnvsClaimLimit *limit);
static void claim_unknown(PnvsExchange *exchange);
static void add_claims(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims);
static void add_lookups(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims);
static void add_attempt(PnvsExchange *exchange, const PnvsClaim *claim,
						PnvsPhase phase);

/* To be run in a transaction; throws. */
void
pnvs_exchange_work(void *arg)
{
	PnvsExchange *exchange = arg;
	MemoryContext caller = MemoryContextSwitchTo(exchange->scratch);
	PnvsTableVisit visit;

	exchange->finished = palloc((exchange->nattempts + 1) * sizeof(PnvsAttempt *));
	exchange->claimed = palloc((exchange->capacity + 1) * sizeof(PnvsAttempt *));
	if (lock_table(exchange))
	{
		pnvs_durability_demand();
		pnvs_table_enter_unattended(&visit);
		if (exchange->nattempts > 0)
			settle(exchange);
		/* what has just come back says how much may be claimed */
		pnvs_outages_note(&exchange->outages, &exchange->verdicts);
		if (exchange->unknown_first)
			claim_unknown(exchange);
		if (exchange->capacity > 0 && exchange->queued_due)
			claim_queued(exchange);
		if (exchange->capacity > 0 && exchange->unknown_due && !exchange->unknown_first)
			claim_unknown(exchange);
		pnvs_table_leave(&visit);
	}
	MemoryContextSwitchTo(caller);
}

static bool
lock_table(PnvsExchange *exchange)
{
	Oid			table = pnvs_table_oid();

	exchange->has_table = OidIsValid(table);
	if (!exchange->has_table)
		return false;
	exchange->table_locked = !ConditionalLockRelationOid(table, RowExclusiveLock);
	if (exchange->table_locked)
		return false;
	/* it may have gone before it was locked */
	exchange->has_table = pnvs_table_oid() == table;
	return exchange->has_table;
}

static void
settle(PnvsExchange *exchange)
{
	MemoryContext visit = MemoryContextSwitchTo(exchange->scratch);
	int			nwritten = 0;

	for (int i = 0; i < exchange->nattempts; i++)
	{
		PnvsAttempt *attempt = exchange->attempts[i];
		bool		done = pnvs_attempt_is_done(attempt);

		if (!done && !exchange->abandon)
			continue;
		if (exchange->skip_locked && is_locked(attempt))
		{
			attempt->settle_after_us = pnvs_monotonic_us() + LOCKED_RETRY_US;
			exchange->met_locked = true;
			exchange->places--;
			continue;
		}
		/* no two look-ups must find the same record free */
		if (attempt->phase != PNVS_PHASE_SENDING)
			nwritten = write_verdicts(exchange, nwritten);
		exchange->finished[exchange->nfinished++] = attempt;
		if (done && pnvs_attempt_finish(attempt, &exchange->verdicts))
			continue;
		if (exchange->start_no_more)
			pnvs_attempt_abandon(attempt, &exchange->verdicts);
		/* one that goes on, to send or to the next page, keeps its place */
		else
		{
			exchange->capacity--;
			exchange->places--;
		}
	}
	(void) write_verdicts(exchange, nwritten);
	exchange->capacity = Max(Min(exchange->capacity, exchange->places), 0);
	MemoryContextSwitchTo(visit);
}

/* Whether somebody has locked a row that a attempt's verdicts are for. */
static bool
is_locked(const PnvsAttempt *attempt)
{
	int64	   *ids = palloc((attempt->njoined + 1) * sizeof(int64));

	ids[0] = attempt->claim.id;
	for (int i = 0; i < attempt->njoined; i++)
		ids[i + 1] = attempt->joined_ids[i];
	return pnvs_settle_find_locked(ids, attempt->njoined + 1) > 0;
}

/* Writes the verdicts that come after the first nwritten; the number of all. */
static int
write_verdicts(PnvsExchange *exchange, int nwritten)
{
	PnvsVerdicts *verdicts = &exchange->verdicts;

	if (exchange->skip_locked && verdicts->n > nwritten)
		leave_out_locked(exchange, nwritten);
	if (verdicts->n > nwritten)
		pnvs_settle_rows(exchange->claimer, verdicts->list + nwritten,
						 verdicts->n - nwritten);
	return verdicts->n;
}

/*
 * A search tells of other rows of the number, too, which somebody may have locked:
 * they have searches of their own.
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

static void
claim_queued(PnvsExchange *exchange)
{
	MemoryContext visit = MemoryContextSwitchTo(exchange->scratch);
	PnvsOutage *outage = &exchange->outages.sends;
	PnvsClaimLimit limit = {
		.max = exchange->capacity,
		.tryable = pnvs_outage_tryable(outage, pnvs_monotonic_us()),
		.avoid = outage->last
	};

	if (limit.tryable == PNVS_TRY_ALL)
	{
		PnvsClaim  *claims = palloc(exchange->capacity * sizeof(PnvsClaim));
		int			nclaims;
		int			nrows = pnvs_claim_due(exchange->claimer, &limit, claims, &nclaims,
										   &exchange->verdicts);

		add_claims(exchange, claims, nclaims);
		if (nrows < exchange->capacity)
			exchange->next_queued = pnvs_claim_next(exchange->claimer);
		exchange->capacity -= nclaims;
	}
	else
	{
		limit.max = LOOKED_AT_FOR_ONE;
		claim_one(exchange, &limit);
	}
	MemoryContextSwitchTo(visit);
}

/*
 * While all are refused: settles what is too late, and claims one at the most.  What
 * may not be tried yet is due all the same.
 */
static void
claim_one(PnvsExchange *exchange, const PnvsClaimLimit *limit)
{
	PnvsOutage *outage = &exchange->outages.sends;
	PnvsClaim	claims[LOOKED_AT_FOR_ONE];
	int			nclaims;
	int			nlate = pnvs_claim_expire(exchange->claimer, MAX_EXPIRED, &exchange->verdicts);
	int			nbefore = exchange->verdicts.n;
	int			nrows = pnvs_claim_due(exchange->claimer, limit, claims, &nclaims,
									   &exchange->verdicts);
	int			nsettled = exchange->verdicts.n - nbefore;

	add_claims(exchange, claims, nclaims);
	exchange->capacity -= nclaims;
	if (nrows == 0)
		exchange->next_queued = pnvs_claim_next(exchange->claimer);
	/* else there may be more of the same */
	if (nlate < MAX_EXPIRED && nsettled < LOOKED_AT_FOR_ONE)
		pnvs_outage_looked(outage, pnvs_monotonic_us());
	if (nclaims > 0)
		pnvs_outage_probe_started(outage, claims[0].id);
}

/* Rows of unknown fate are not claimed: two that look up the same do no harm. */
static void
claim_unknown(PnvsExchange *exchange)
{
	PnvsOutage *outage = &exchange->outages.look_ups;
	int			room = Min(exchange->capacity, exchange->look_up_capacity);
	PnvsClaim  *claims = palloc((room + 1) * sizeof(PnvsClaim));
	int			nattempts = exchange->nclaimed;
	int			nclaims;

	if (pnvs_outages_look_up_wait_us(&exchange->outages, pnvs_monotonic_us()) > 0)
		return;
	if (outage->failures > 0)
		room = Min(room, 1);
	nclaims = room > 0 ?
		pnvs_unknown_select(claims, room, exchange->looked_up, exchange->nlooked_up) : 0;
	if (nclaims > 0)
		pnvs_outage_probe_started(outage, claims[0].id);
	add_lookups(exchange, claims, nclaims);
	exchange->next_unknown = nclaims < room ?
		pnvs_unknown_next(claims, nclaims, exchange->looked_up, exchange->nlooked_up) :
		DT_NOBEGIN;
	exchange->capacity -= exchange->nclaimed - nattempts;
}

static void
add_claims(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims)
{
	for (int i = 0; i < nclaims; i++)
		add_attempt(exchange, &claims[i],
					claims[i].verify_first ? PNVS_PHASE_TO_VERIFY : PNVS_PHASE_TO_SEND);
}

/* One search for all rows of the same number. */
static void
add_lookups(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims)
{
	for (int i = 0; i < nclaims; i++)
	{
		bool		joined = false;

		for (int j = 0; j < exchange->nclaimed && !joined; j++)
			joined = pnvs_attempt_join(exchange->claimed[j], &claims[i]);
		if (!joined)
			add_attempt(exchange, &claims[i], PNVS_PHASE_TO_LOOK_UP);
	}
}

static void
add_attempt(PnvsExchange *exchange, const PnvsClaim *claim, PnvsPhase phase)
{
	PnvsAttempt *attempt = pnvs_attempt_create(exchange->attempt_context, claim, phase);

	exchange->claimed[exchange->nclaimed++] = attempt;
}
