/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  What became of a request, judged from facts: how far it got, and what the
 *	  service said.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OUTCOME_H
#define PNVS_OUTCOME_H

#include <stdbool.h>

/* How far a request got.  The order is that of the wire. */
typedef enum PnvsStage
{
	PNVS_STAGE_RESOLVE,			/* looking the host's name up */
	PNVS_STAGE_CONNECT,			/* TCP, and a proxy's CONNECT */
	PNVS_STAGE_TLS,				/* handshake and certificate */
	PNVS_STAGE_REQUEST,			/* the request is being written */
	PNVS_STAGE_REPLY			/* it was written; the reply is awaited or
								 * read */
} PnvsStage;

typedef enum PnvsOutcome
{
	PNVS_ACCEPTED,				/* the service did it */
	PNVS_REFUSED,				/* it did not, and a repeat would not help */
	PNVS_THROTTLED,				/* it did not, and a later repeat may help */
	PNVS_UNSENT,				/* the service never saw the request */
	PNVS_AMBIGUOUS				/* it may have done it: never repeat by itself */
} PnvsOutcome;

/* The service's word on success, where it has one. */
typedef enum PnvsTruth
{
	PNVS_UNKNOWN,
	PNVS_FALSE,
	PNVS_TRUE
} PnvsTruth;

/* What a Code of the service is about; finer than the outcome. */
typedef enum PnvsCodeGroup
{
	PNVS_CODE_OK,
	PNVS_CODE_REFUSED,			/* the caller's or the configuration's fault */
	PNVS_CODE_CREDENTIALS,
	PNVS_CODE_CLOCK,			/* the clocks differ by more than 15 minutes */
	PNVS_CODE_THROTTLED,
	PNVS_CODE_AMBIGUOUS,
	PNVS_CODE_UNKNOWN
} PnvsCodeGroup;

extern const char *pnvs_stage_name(PnvsStage stage);
extern PnvsCodeGroup pnvs_code_group(const char *code);
extern PnvsOutcome pnvs_outcome_of_failure(bool maybe_sent);
extern PnvsOutcome pnvs_outcome_of_reply(int http_status, const char *code,
										 PnvsTruth success);

#endif							/* PNVS_OUTCOME_H */
