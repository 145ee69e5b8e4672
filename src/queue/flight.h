/*-------------------------------------------------------------------------
 *
 * flight.h
 *	  A claimed row on its way: its request, and what comes of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FLIGHT_H
#define PNVS_FLIGHT_H

#include "core/phase.h"
#include "queue/verdict.h"

/* What a look-up has found; texts are the flight's. */
typedef struct PnvsSighting
{
	const char *verification_id;
	const char *status;
	int64		send_date_ms;	/* since the epoch */
} PnvsSighting;

typedef struct PnvsFlight
{
	MemoryContext context;		/* of all that follows, and of the request */
	MemoryContext call_context; /* of the call under way */
	PnvsClaim	claim;
	PnvsPhase	phase;
	PnvsCall   *call;			/* or NULL: none is under way */
	const char *start_code;		/* why it could not be started */
	const char *start_message;
	PnvsCause	start_cause;
	bool		clock_corrected;	/* which is done once */
	TimestampTz settle_after;	/* its row could not be settled; or 0 */
	int			page;			/* of a search; from 1 */
	int			collected;		/* the last page whose records were taken */
	TimestampTz asked_at;		/* when the search began */
	PnvsSighting *sightings;
	int			nsightings;
	int64	   *companions;		/* rows that the same search is for */
	int			ncompanions;
} PnvsFlight;

extern PnvsFlight *pnvs_flight_create(MemoryContext parent, const PnvsClaim *claim,
									  PnvsPhase phase);
extern void pnvs_flight_start(PnvsFlight *flight);
extern void pnvs_flight_withhold(PnvsFlight *flight);
extern bool pnvs_flight_is_done(const PnvsFlight *flight);
extern bool pnvs_flight_take_along(PnvsFlight *flight, const PnvsClaim *claim);
extern bool pnvs_flight_land(PnvsFlight *flight, PnvsVerdicts *verdicts);
extern void pnvs_flight_abandon(PnvsFlight *flight, PnvsVerdicts *verdicts);
extern void pnvs_flight_destroy(PnvsFlight *flight);

#endif							/* PNVS_FLIGHT_H */
