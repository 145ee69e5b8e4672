/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  An attempt: one request for a claimed row, from its start to its verdict.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ATTEMPT_H
#define PNVS_ATTEMPT_H

#include "core/phase.h"
#include "queue/rows/verdict.h"

/* A record that a search has found; texts are the attempt's. */
typedef struct PnvsFoundRecord
{
	const char *verification_id;	/* first, for pg_qsort_strcmp() */
	const char *status;
	TimestampTz sent_at;
} PnvsFoundRecord;

typedef struct PnvsAttempt
{
	MemoryContext context;		/* of all that follows, and of the request */
	MemoryContext call_context; /* of the call under way, and of its answer */
	PnvsClaim	claim;
	PnvsPhase	phase;
	PnvsCall   *call;			/* or NULL: none is under way */
	PnvsAnswer *answer;			/* to the call, or NULL: not taken yet */
	PnvsEvidence evidence;		/* of the answer, or of the failed start */
	const char *start_code;		/* why it could not be started */
	const char *start_message;
	int			repeated;		/* a set of PnvsRepeat */
	int64		settle_after_us;	/* its row is locked; monotonic, or 0 */
	int			page;			/* of a search; from 1 */
	TimestampTz asked_at;		/* when the search began */
	PnvsFoundRecord *found_records;
	int			nfound;
	int64	   *joined_ids;		/* further rows that the search is for */
	int			njoined;
} PnvsAttempt;

extern PnvsAttempt *pnvs_attempt_create(MemoryContext parent, const PnvsClaim *claim,
										PnvsPhase phase);
extern void pnvs_attempt_start(PnvsAttempt *attempt);
extern void pnvs_attempt_withhold(PnvsAttempt *attempt);
extern bool pnvs_attempt_is_done(const PnvsAttempt *attempt);
extern bool pnvs_attempt_join(PnvsAttempt *attempt, const PnvsClaim *claim);
extern bool pnvs_attempt_finish(PnvsAttempt *attempt, PnvsVerdicts *verdicts);
extern void pnvs_attempt_abandon(PnvsAttempt *attempt, PnvsVerdicts *verdicts);
extern void pnvs_attempt_destroy(PnvsAttempt *attempt);

#endif							/* PNVS_ATTEMPT_H */
