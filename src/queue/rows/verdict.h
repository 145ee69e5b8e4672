/*-------------------------------------------------------------------------
 *
 * verdict.h
 *	  Turns what became of a request into the values that are written into its row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_VERDICT_H
#define PNVS_VERDICT_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "core/decision.h"
#include "core/phone_number.h"
#include "guard/guard.h"
#include "remote/client.h"

/* Why a message expires. */
#define PNVS_EXPIRED_MESSAGE "its time was over before it could be sent"

/* Why a message is taken back other than by cancel_verification(). */
#define PNVS_NOT_NEEDED "Local.NotNeeded"
#define PNVS_NOT_NEEDED_MESSAGE "no message was needed"

/* A claimed row; texts are in UTF-8, which ASCII is. */
typedef struct PnvsClaim
{
	int64		id;
	ItemPointerData place;		/* its ctid once claimed, or invalid */
	const char *channel;
	const char *recipient;		/* digits */
	const char *service_sid;
	Oid			requester;
	int			attempts;		/* this one included */
	TimestampTz not_before;
	TimestampTz send_before;
	TimestampTz created_at;
	TimestampTz dispatched_at;	/* when it was claimed to be sent */
	TimestampTz unknown_since;	/* of a row of unknown fate */
	bool		verify_first;	/* may have been sent before a promotion */
	int			own_refusals;	/* see outage.h */
	PnvsAdmission admission;
	bool		is_test;		/* was queued to a test number */
} PnvsClaim;

/* What the end of a request shows about other messages. */
typedef struct PnvsEvidence
{
	PnvsFault	fault;
	PnvsCause	cause;
	const char *code;			/* of the cause, if there is one */
} PnvsEvidence;

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
	const char *recipient;		/* masked, once settled; NULL: as it is */
	const char *request_id;
	const char *verification_id;
	const char *status;
	const char *code;
	const char *message;
	int			http_status;
	int			uncounted;		/* so many attempts do not count */

	/* of a settled row: its places, and whether they are given back */
	PnvsAdmission admission;
	bool		unsent;			/* the message was not sent, and never will be */

	/* evidence; not written */
	PnvsFault	fault;
	PnvsCause	cause;
	const char *cause_code;
} PnvsVerdict;

/* Verdicts, one after the other. */
typedef struct PnvsVerdicts
{
	PnvsVerdict *list;
	int			n;
	int			size;
} PnvsVerdicts;

extern PnvsVerdict *pnvs_verdicts_add(PnvsVerdicts *verdicts);
extern PnvsEvidence pnvs_verdict_evidence(const PnvsAnswer *answer);
extern void pnvs_verdict_show(PnvsVerdict *verdict, const PnvsEvidence *evidence);
extern void pnvs_verdict_on_answer(PnvsVerdict *verdict, const PnvsClaim *claim,
								   const PnvsAnswer *answer, const PnvsEvidence *evidence);
extern void pnvs_verdict_not_found(PnvsVerdict *verdict, const PnvsClaim *claim,
								   const PnvsNotFoundFacts *facts);
extern void pnvs_verdict_unsent(PnvsVerdict *verdict, const PnvsClaim *claim,
								const char *code, const char *message);
extern void pnvs_verdict_waits(PnvsVerdict *verdict, const PnvsClaim *claim,
							   const char *code, const char *message);
extern void pnvs_verdict_deferred(PnvsVerdict *verdict, const PnvsClaim *claim,
								  TimestampTz until, const char *code, const char *message);
extern void pnvs_verdict_unknown(PnvsVerdict *verdict, const PnvsClaim *claim,
								 const char *code, const char *message);
extern void pnvs_verdict_settled(PnvsVerdict *verdict, const PnvsClaim *claim,
								 PnvsState was, PnvsState state);
extern void pnvs_verdict_explain(PnvsVerdict *verdict, const char *code, const char *message);

#endif							/* PNVS_VERDICT_H */
