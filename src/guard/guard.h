/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  The guard: what may be sent at all, and which codes may be checked.
 *
 * A message is admitted at the door, before it is sent or queued; it then has a place
 * under every limit that counts it.  Places are the server's: ROLLBACK does not undo
 * them, whoever took them gives them back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_H
#define PNVS_GUARD_H

#include "datatype/timestamp.h"

#include "compat.h"
#include "core/phone_number.h"
#include "core/rules.h"

/* A message at the door. */
typedef struct PnvsGuardMessage
{
	const char *recipient;		/* digits */
	PnvsChannelWord channel;
	const char *rate_key;		/* or NULL: rules for keys do not apply */
	bool		trusted;
	bool		direct;			/* sent at once, so that pnvs.sending counts */
	TimestampTz due;			/* when it is to be sent */
} PnvsGuardMessage;

/* The places that an admitted message has; all zeros: none. */
typedef struct PnvsAdmission
{
	char		recipient[PNVS_PHONE_NUMBER_SIZE];
	PnvsChannelWord channel;
	TimestampTz due;			/* 0: it has no places */
	TimestampTz taken_at;		/* a crash since then may have forgotten them */
	uint64		key;			/* hash of the rate_key, of this server,
								 * database and role; 0: none */
	bool		trusted;
} PnvsAdmission;

/* Why a message was refused. */
typedef enum PnvsRefusalReason
{
	PNVS_ADMITTED,
	PNVS_REFUSED_LIMIT,			/* Local.RateLimited */
	PNVS_REFUSED_COUNTRY,		/* Local.CountryNotAllowed */
	PNVS_REFUSED_BREAKER,		/* Local.BreakerOpen */
	PNVS_REFUSED_CHANNEL,		/* Local.ChannelNotAllowed */
	PNVS_REFUSED_OFF			/* pnvs.sending is off */
} PnvsRefusalReason;

typedef struct PnvsRefusal
{
	PnvsRefusalReason reason;
	PnvsScope	scope;			/* of the limit */
	int			retry_after_s;	/* of a limit or the breaker; -1: never */
} PnvsRefusal;

/*
 * Admits a message and takes its places, or says why not.  Throws if a limit is set and
 * the library is not preloaded.  pnvs.sending is judged for direct calls alone: queued
 * rows wait.
 */
extern PnvsRefusal pnvs_guard_admit(const PnvsGuardMessage *message, TimestampTz now,
									PnvsAdmission *admission);

/* The guard's error for a refused message, 38V03. */
pg_noreturn extern void pnvs_guard_throw(const PnvsRefusal *refusal);

/* The local code and text of a row that was refused. */
extern const char *pnvs_guard_code(const PnvsRefusal *refusal);
extern const char *pnvs_guard_message(const PnvsRefusal *refusal);

/* Gives an admission's places back, once; and when the (sub)transaction under way ends. */
extern void pnvs_guard_give_back(const PnvsAdmission *admission, TimestampTz now);
extern void pnvs_guard_give_back_at_abort(const PnvsAdmission *admission);
extern void pnvs_guard_give_back_at_commit(const PnvsAdmission *admission);

/* The service has approved a verification of this number: its latest message. */
extern void pnvs_guard_approve_latest(const char *number, TimestampTz now);

/* The same of a message whose places are known. */
extern void pnvs_guard_approve(const PnvsAdmission *admission, TimestampTz now);

/*
 * A code is to be checked: takes a place under the rules for tries, of the number or, if
 * that is NULL, of the verification.  It is given back if the code is approved, or if the
 * service has not judged it.
 */
typedef struct PnvsTry
{
	uint64		key;			/* 0: no place was taken */
	bool		of_number;		/* a number's share of memory, not an ID's */
	TimestampTz at;
} PnvsTry;

extern PnvsRefusal pnvs_guard_admit_try(const char *number, const char *verification_id,
										TimestampTz now, PnvsTry *try);
extern void pnvs_guard_give_back_try(const PnvsTry *try, TimestampTz now);

/* For support: forgets what blocks a number; for superusers: everything of a scope. */
extern void pnvs_guard_unblock(const char *number);
extern void pnvs_guard_reset(bool all, PnvsScope scope);

/* To be called when the library is loaded. */
extern void pnvs_guard_init(void);

#endif							/* PNVS_GUARD_H */
