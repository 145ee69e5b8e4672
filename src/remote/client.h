/*-------------------------------------------------------------------------
 *
 * client.h
 *	  Calls an operation of the service, and judges the answer.
 *
 * A session uses pnvs_client_call(), which waits.  A sender with many calls under
 * way takes the steps by themselves: start, wait for all calls, finish each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CLIENT_H
#define PNVS_CLIENT_H

#include "core/operation.h"
#include "remote/http.h"
#include "remote/reply.h"

typedef struct PnvsAnswer
{
	PnvsOutcome outcome;
	PnvsCodeGroup code_group;
	PnvsHttpResult http;
	PnvsReplyFault reply_fault; /* if the transport had no fault */
	PnvsReply	reply;			/* if has_reply: neither had a fault */
	bool		has_reply;
	bool		succeeded;		/* the service says so */
	int			connect_timeout_ms; /* of the request */
	int			request_timeout_ms;
} PnvsAnswer;

/* Why a call is made again.  Several are or'ed into a set. */
typedef enum PnvsRepeat
{
	PNVS_REPEAT_NONE = 0,
	PNVS_REPEAT_CLOCK = 1 << 0	/* to sign it by the service's clock */
} PnvsRepeat;

/* How long a call may take. */
typedef enum PnvsTimeouts
{
	PNVS_TIMEOUTS_AS_SET,
	PNVS_TIMEOUTS_NOT_SHORTENED /* the defaults, if the caller has set less */
} PnvsTimeouts;

typedef struct PnvsCall PnvsCall;

extern PnvsCall *pnvs_client_start(const PnvsOperation *operation,
								   const char *const *values, PnvsTimeouts timeouts);
extern bool pnvs_client_is_done(const PnvsCall *call);
extern long pnvs_client_time_left_ms(const PnvsCall *call);
extern bool pnvs_client_maybe_sent(const PnvsCall *call);
extern void pnvs_client_prepare_to_wait(void);
extern bool pnvs_client_wait(long wait_ms, uint32 wait_event);
extern void pnvs_client_finish(PnvsCall *call, PnvsAnswer *answer);
extern void pnvs_client_call(const PnvsOperation *operation, const char *const *values,
							 PnvsTimeouts timeouts, PnvsAnswer *answer);
extern PnvsRepeat pnvs_client_repeat(const PnvsAnswer *answer, int repeated);

/* client_check.c */
extern bool pnvs_client_approves(const PnvsAnswer *answer, const char *number);
extern bool pnvs_client_may_mean_wrong_code(const PnvsAnswer *answer);
extern bool pnvs_client_may_have_judged(const PnvsAnswer *answer);

/* client_fault.c */
extern const char *pnvs_client_fault(const PnvsAnswer *answer);

#endif							/* PNVS_CLIENT_H */
