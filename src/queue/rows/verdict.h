/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  What becomes of a row of the queue, by what became of its request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_VERDICT_H
#define PNVS_VERDICT_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "core/phone_number.h"
#include "remote/client.h"

/* A claimed row; texts are in UTF-8, which ASCII is. */
typedef struct PnvsClaim
{
	int64		id;
	ItemPointerData place;		/* its ctid as claimed, or invalid */
	const char *channel;
	const char *recipient;		/* digits */
	const char *service_sid;
	int			attempts;		/* this one included */
	TimestampTz not_before;
	TimestampTz send_before;
	TimestampTz created_at;
	TimestampTz dispatched_at;	/* of an unknown one: when it was claimed */
	TimestampTz unknown_since;	/* of an unknown one */
	bool		verify_first;	/* may have been sent before a promotion */
	int			own_refusals;	/* see outage.h */
} PnvsClaim;

/* What is to be written into the row; NULL and 0 stand for SQL's NULL. */
typedef struct PnvsVerdict
{
	int64		id;
	ItemPointerData place;		/* where the row was, or invalid */
	const char *was;			/* the state that it must be in */
	const char *state;			/* the state that it gets */
	TimestampTz settled_at;
	TimestampTz not_before;		/* 0: as it is */
	TimestampTz unknown_since;	/* 0: as it is */
	char		masked[PNVS_PHONE_NUMBER_SIZE]; /* once settled, else "" */
	const char *request_id;
	const char *verification_id;
	const char *status;
	const char *code;
	const char *message;
	int			http_status;
	int			uncounted;		/* so many attempts were none of the row's */

	/* of the request, not of the row: what others have to expect */
	PnvsFault	fault;
	PnvsCause	cause;
	const char *cause_code;		/* where there is a cause */
} PnvsVerdict;

/* Verdicts, one after the other. */
typedef struct PnvsVerdicts
{
	PnvsVerdict *list;
	int			n;
	int			size;
} PnvsVerdicts;

extern PnvsVerdict *pnvs_verdicts_add(PnvsVerdicts *verdicts);
extern void pnvs_verdict_on_answer(PnvsVerdict *verdict, const PnvsClaim *claim,
								   const PnvsAnswer *answer);
extern void pnvs_verdict_unsent(PnvsVerdict *verdict, const PnvsClaim *claim,
								const char *code, const char *message,
								int64 retry_after_ms);
extern void pnvs_verdict_waits(PnvsVerdict *verdict, const PnvsClaim *claim,
							   const char *code, const char *message);
extern PnvsFault pnvs_verdict_fault(const PnvsAnswer *answer);
extern void pnvs_verdict_blame(PnvsVerdict *verdict, PnvsFault fault, PnvsCause cause,
							   const char *code);
extern void pnvs_verdict_blame_answer(PnvsVerdict *verdict, const PnvsAnswer *answer);
extern void pnvs_verdict_settled(PnvsVerdict *verdict, const PnvsClaim *claim,
								 const char *was, const char *state,
								 const char *code, const char *message);
extern void pnvs_verdict_unknown(PnvsVerdict *verdict, const PnvsClaim *claim,
								 const char *code, const char *message);

#endif							/* PNVS_VERDICT_H */
