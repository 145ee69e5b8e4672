/*-------------------------------------------------------------------------
 *
 * decision.h
 *	  What becomes of a queued message: its next state, and when it is due again.
 *
 * Times are in us, of any one clock; 0 stands for no time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_DECISION_H
#define PNVS_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/outcome.h"

/* The states of a row, as the queue's table names them. */
typedef enum PnvsState
{
	PNVS_STATE_QUEUED,
	PNVS_STATE_SENDING,
	PNVS_STATE_SENT,
	PNVS_STATE_FAILED,
	PNVS_STATE_EXPIRED,
	PNVS_STATE_CANCELED,
	PNVS_STATE_UNKNOWN			/* nobody knows whether it was sent */
} PnvsState;

/* The facts about a claimed message. */
typedef struct PnvsMessageFacts
{
	int			attempts;		/* this one included */
	int			max_attempts;
	int			own_refusals;	/* see outage.h */
	int64_t		send_before_us;
	uint32_t	random;			/* any number, evenly distributed */
} PnvsMessageFacts;

/* The facts about a row of unknown fate that was looked up, and not found. */
typedef struct PnvsNotFoundFacts
{
	bool		obstacle;		/* something keeps the search from being
								 * evidence */
	bool		outage;			/* which would keep every search from it */
	int64_t		unknown_since_us;
	int64_t		due_us;			/* when this look-up was due */
	int64_t		asked_us;		/* when the search began, or failed to */
	int64_t		look_for_us;	/* how long a row is looked up */
} PnvsNotFoundFacts;

typedef struct PnvsDecision
{
	PnvsState	state;
	int64_t		settled_us;		/* now, if the state is for good */
	int64_t		due_us;			/* else: when the row is due */
	bool		uncounted;		/* it was no attempt */
} PnvsDecision;

extern const char *pnvs_state_name(PnvsState state);
extern bool pnvs_state_is_unsent(PnvsState state);
extern PnvsState pnvs_decision_on_due(bool foreign, bool sendable, int64_t send_before_us,
									  int64_t now_us);
extern PnvsDecision pnvs_decision_on_answer(const PnvsMessageFacts *message, PnvsOutcome outcome,
											PnvsFault fault, int64_t retry_after_ms,
											int64_t now_us);
extern PnvsDecision pnvs_decision_on_unsent(const PnvsMessageFacts *message,
											int64_t retry_after_ms, int64_t now_us);
extern int64_t pnvs_decision_next_try_us(const PnvsMessageFacts *message, int64_t now_us);
extern PnvsDecision pnvs_decision_deferred(const PnvsMessageFacts *message, int64_t until_us,
										   int64_t now_us);
extern PnvsDecision pnvs_decision_not_found(const PnvsNotFoundFacts *row, int64_t now_us);

#endif							/* PNVS_DECISION_H */
