/*-------------------------------------------------------------------------
 *
 * client.h
 *	  One operation of the service, from its parameters to its answer.
 *
 * A session calls pnvs_client_call(), which waits.  What has many calls under
 * way at once takes the steps apart: start, wait for all of them, finish.
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
	PnvsReplyFault reply_fault; /* where the transport had no fault */
	PnvsReply	reply;			/* where neither had one */
	bool		has_reply;
	bool		succeeded;		/* the service says so */
	int			connect_timeout_ms; /* that it ran under */
	int			request_timeout_ms;
} PnvsAnswer;

/* Why a call is made again.  Several are or'ed into a set. */
typedef enum PnvsRepeat
{
	PNVS_REPEAT_NONE = 0,
	PNVS_REPEAT_CLOCK = 1 << 0	/* to sign it by the service's clock */
} PnvsRepeat;

typedef struct PnvsCall PnvsCall;

extern PnvsCall *pnvs_client_start(const PnvsOperation *operation,
								   const char *const *values);
extern bool pnvs_client_is_done(const PnvsCall *call);
extern long pnvs_client_time_left_ms(const PnvsCall *call);
extern bool pnvs_client_maybe_sent(const PnvsCall *call);
extern void pnvs_client_prepare_to_wait(void);
extern void pnvs_client_expect_calls(int ncalls);
extern bool pnvs_client_needs_rest(void);
extern bool pnvs_client_wait(long wait_ms, uint32 wait_event);
extern void pnvs_client_finish(PnvsCall *call, PnvsAnswer *answer);
extern void pnvs_client_call(const PnvsOperation *operation,
							 const char *const *values, PnvsAnswer *answer);
extern PnvsRepeat pnvs_client_repeat(const PnvsAnswer *answer, int repeated);

#endif							/* PNVS_CLIENT_H */
