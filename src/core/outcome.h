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
	PNVS_CODE_ACCOUNT,			/* not activated, or nothing left to pay with */
	PNVS_CODE_ENDPOINT,			/* another product, or another way to speak to
								 * it */
	PNVS_CODE_CLOCK,			/* the clocks differ by more than 15 minutes */
	PNVS_CODE_TIME_STAMP,		/* the time stamp cannot be read */
	PNVS_CODE_THROTTLED,
	PNVS_CODE_AMBIGUOUS,
	PNVS_CODE_UNKNOWN
} PnvsCodeGroup;

/* Whose fault it was that a request came to nothing. */
typedef enum PnvsFault
{
	PNVS_FAULT_UNCLEAR,			/* nobody knows */
	PNVS_FAULT_NOBODY,			/* the service did it */
	PNVS_FAULT_ROW,				/* the service judged this message: others may
								 * fare better */
	PNVS_FAULT_EVERYBODY		/* every message would fare the same */
} PnvsFault;

/* What keeps all messages from being sent, as people have to know it to mend it. */
typedef enum PnvsCause
{
	PNVS_CAUSE_NONE,			/* nothing, or nothing that concerns all */
	PNVS_CAUSE_SETTINGS,		/* no request can be made of them */
	PNVS_CAUSE_CREDENTIALS,
	PNVS_CAUSE_ACCOUNT,
	PNVS_CAUSE_ENDPOINT,
	PNVS_CAUSE_CLOCK,
	PNVS_CAUSE_RESOLVE,
	PNVS_CAUSE_CONNECT,
	PNVS_CAUSE_TLS,
	PNVS_CAUSE_THROTTLED
} PnvsCause;

#define PNVS_CAUSE_COUNT (PNVS_CAUSE_THROTTLED + 1)

extern const char *pnvs_stage_name(PnvsStage stage);
extern PnvsCodeGroup pnvs_code_group(const char *code);
extern PnvsOutcome pnvs_outcome_of_failure(bool maybe_sent);
extern PnvsOutcome pnvs_outcome_of_reply(int http_status, const char *code,
										 PnvsTruth success);

extern PnvsCause pnvs_cause_of_code(PnvsCodeGroup group);
extern PnvsCause pnvs_cause_of_stage(PnvsStage stage);
extern PnvsFault pnvs_fault_of_code(PnvsCodeGroup group);

#endif							/* PNVS_OUTCOME_H */
