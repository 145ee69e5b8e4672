/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  Decides what became of a request: from how far it got, and from the service's
 *	  reply.
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
	PNVS_STAGE_REPLY			/* it was written; the reply is being read */
} PnvsStage;

typedef enum PnvsOutcome
{
	PNVS_ACCEPTED,				/* the service executed the request */
	PNVS_REFUSED,				/* it did not, and a repeat would not help */
	PNVS_THROTTLED,				/* it did not, and a later repeat may help */
	PNVS_UNSENT,				/* the service never received the request */
	PNVS_AMBIGUOUS				/* it may have executed it: never repeat it
								 * automatically */
} PnvsOutcome;

/* The reply's Success, if it has this field. */
typedef enum PnvsTruth
{
	PNVS_UNKNOWN,
	PNVS_FALSE,
	PNVS_TRUE
} PnvsTruth;

/* What a Code of the service means; finer than the outcome. */
typedef enum PnvsCodeGroup
{
	PNVS_CODE_OK,
	PNVS_CODE_REFUSED,			/* the caller's or the configuration's fault */
	PNVS_CODE_CREDENTIALS,
	PNVS_CODE_ACCOUNT,			/* not activated, or nothing left to pay with */
	PNVS_CODE_ENDPOINT,			/* another product's, or without TLS */
	PNVS_CODE_CLOCK,			/* the clocks differ by more than 15 minutes */
	PNVS_CODE_TIME_STAMP,		/* the time stamp cannot be read */
	PNVS_CODE_THROTTLED,
	PNVS_CODE_AMBIGUOUS,
	PNVS_CODE_UNKNOWN
} PnvsCodeGroup;

/* Whether the failure of a request concerns its message or all messages. */
typedef enum PnvsFault
{
	PNVS_FAULT_UNCLEAR,			/* nobody knows */
	PNVS_FAULT_NONE,			/* it did not fail */
	PNVS_FAULT_MESSAGE,			/* the service refused this message: others
								 * may succeed */
	PNVS_FAULT_ALL				/* every message would fail */
} PnvsFault;

/* The reason that stops all messages, for the administrator. */
typedef enum PnvsCause
{
	PNVS_CAUSE_NONE,			/* there is none */
	PNVS_CAUSE_SETTINGS,		/* no request can be made with them */
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

extern bool pnvs_outcome_came_to_nothing(PnvsOutcome outcome, PnvsCodeGroup group);
extern PnvsCause pnvs_cause_of_code(PnvsCodeGroup group);
extern PnvsCause pnvs_cause_of_stage(PnvsStage stage);
extern PnvsFault pnvs_fault_of_code(PnvsCodeGroup group);
extern bool pnvs_code_refuses_channel(const char *code);

#endif							/* PNVS_OUTCOME_H */
