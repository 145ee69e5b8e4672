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
#include "queue/exchange.h"
#include "queue/lookup.h"
#include "queue/table.h"

static bool lock_table(PnvsExchange *exchange);
static void settle(PnvsExchange *exchange);
static int	write_verdicts(const PnvsExchange *exchange, int nwritten);
static void claim_queued(PnvsExchange *exchange);
static void claim_unknown(PnvsExchange *exchange);
static void add_claims(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims);
static void add_lookups(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims);
static void add_flight(PnvsExchange *exchange, const PnvsClaim *claim,
					   PnvsFlightTask task);

/* To be run in a transaction; throws. */
void
pnvs_exchange_work(void *arg)
{
	PnvsExchange *exchange = arg;
	MemoryContext caller = MemoryContextSwitchTo(exchange->scratch);
	PnvsTableVisit visit;

	exchange->landed = palloc((exchange->nflights + 1) * sizeof(PnvsFlight *));
	exchange->claimed = palloc((exchange->room + 1) * sizeof(PnvsFlight *));
	if (lock_table(exchange))
	{
		pnvs_ledger_commit_durably();
		pnvs_table_enter_alone(&visit);
		if (exchange->nflights > 0)
			settle(exchange);
		if (exchange->unknown_first)
			claim_unknown(exchange);
		if (exchange->room > 0 && exchange->queued_due)
			claim_queued(exchange);
		if (exchange->room > 0 && exchange->unknown_due && !exchange->unknown_first)
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
	exchange->locked = !ConditionalLockRelationOid(table, RowExclusiveLock);
	if (exchange->locked)
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

	for (int i = 0; i < exchange->nflights; i++)
	{
		PnvsFlight *flight = exchange->flights[i];

		/* no two look-ups must find the same record free */
		if (flight->task != PNVS_FLIGHT_SEND)
			nwritten = write_verdicts(exchange, nwritten);
		if (pnvs_flight_is_done(flight))
			pnvs_flight_land(flight, &exchange->verdicts);
		else if (exchange->abandon)
			pnvs_flight_abandon(flight, &exchange->verdicts);
		else
			continue;
		exchange->landed[exchange->nlanded++] = flight;
		/* one that goes on, to send or to the next page, keeps its place */
		if (flight->again && !exchange->abandon)
			exchange->room = Max(exchange->room - 1, 0);
	}
	(void) write_verdicts(exchange, nwritten);
	MemoryContextSwitchTo(visit);
}

/* Writes the verdicts that come after the first nwritten; the number of all. */
static int
write_verdicts(const PnvsExchange *exchange, int nwritten)
{
	const PnvsVerdicts *verdicts = &exchange->verdicts;

	if (verdicts->n > nwritten)
		pnvs_ledger_settle(exchange->ledger, verdicts->list + nwritten,
						   verdicts->n - nwritten);
	return verdicts->n;
}

static void
claim_queued(PnvsExchange *exchange)
{
	PnvsClaim  *claims = palloc(exchange->room * sizeof(PnvsClaim));
	int			nclaims;
	int			nrows = pnvs_ledger_claim(exchange->ledger, exchange->room, claims, &nclaims,
										  &exchange->candidate);

	add_claims(exchange, claims, nclaims);
	exchange->next_queued = nrows < exchange->room ?
		pnvs_ledger_next_queued(exchange->ledger) : DT_NOBEGIN;
	exchange->room -= nclaims;
}

/* Rows of unknown fate are not claimed: two that look up the same do no harm. */
static void
claim_unknown(PnvsExchange *exchange)
{
	int			room = Min(exchange->room, exchange->lookup_room);
	PnvsClaim  *claims = palloc((room + 1) * sizeof(PnvsClaim));
	int			nflights = exchange->nclaimed;
	int			nclaims = room > 0 ?
	pnvs_lookup_select(claims, room, exchange->looked_up, exchange->nlooked_up) : 0;

	add_lookups(exchange, claims, nclaims);
	exchange->next_unknown = nclaims < room ?
		pnvs_lookup_next(claims, nclaims, exchange->looked_up, exchange->nlooked_up) :
		DT_NOBEGIN;
	exchange->room -= exchange->nclaimed - nflights;
}

static void
add_claims(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims)
{
	for (int i = 0; i < nclaims; i++)
		add_flight(exchange, &claims[i],
				   claims[i].verify_first ? PNVS_FLIGHT_VERIFY : PNVS_FLIGHT_SEND);
}

/* One search for all rows of the same number. */
static void
add_lookups(PnvsExchange *exchange, const PnvsClaim *claims, int nclaims)
{
	for (int i = 0; i < nclaims; i++)
	{
		bool		taken_along = false;

		for (int j = 0; j < exchange->nclaimed && !taken_along; j++)
			taken_along = pnvs_flight_take_along(exchange->claimed[j], &claims[i]);
		if (!taken_along)
			add_flight(exchange, &claims[i], PNVS_FLIGHT_LOOK_UP);
	}
}

static void
add_flight(PnvsExchange *exchange, const PnvsClaim *claim, PnvsFlightTask task)
{
	exchange->claimed[exchange->nclaimed++] =
		pnvs_flight_create(exchange->flight_context, claim, task);
}
