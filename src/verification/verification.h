/*-------------------------------------------------------------------------
 *
 * verification.h
 *	  A verification from beginning to end: begun, resent, confirmed, used once.
 *
 * Its messages are rows of the queue.  A verification is known by a random UUID, which is
 * a secret of whoever has begun it; other roles are told the same of it as of an ID that
 * does not exist.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_VERIFICATION_H
#define PNVS_VERIFICATION_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/phone_number.h"
#include "core/rules.h"
#include "remote/client.h"
#include "verification/checks.h"

/* Each of the service's channels once. */
#define PNVS_MAX_BEGIN_CHANNELS 3

/* A verification to be begun.  Texts are in the database's encoding. */
typedef struct PnvsBeginRequest
{
	const char *recipient;		/* digits; NULL: it is no phone number */
	PnvsChannelWord channels[PNVS_MAX_BEGIN_CHANNELS];
	int			nchannels;
	const char *purpose;		/* or NULL */
	const char *session_key;	/* or NULL */
	const char *rate_key;		/* normalised, or NULL */
	bool		trusted;
	bool		is_decoy;
	int64		valid_for_us;
	const char *service_sid;	/* NULL: none is set */
	const char *reference;		/* or NULL */
} PnvsBeginRequest;

/* The row of begin_verification() and resend_verification(). */
typedef struct PnvsBegun
{
	bool		has_id;
	pg_uuid_t	id;
	const char *state;			/* NULL: there is no such verification */
	bool		is_open;		/* another message may be sent for it */
	const char *channel;		/* of the last message, or NULL */
	const char *refused;		/* or NULL */
	int			retry_after_s;	/* -1: none */
	TimestampTz resend_at;		/* 0: none */
	TimestampTz expires_at;		/* 0: none */
	const char *purpose;		/* or NULL */
} PnvsBegun;

/* The row of confirm_verification(). */
typedef struct PnvsConfirmed
{
	bool		approved;
	const char *state;			/* NULL: there is no such verification */
	int			tries_left;		/* -1: not known */
	int			retry_after_s;	/* -1: none */
} PnvsConfirmed;

/* An approval to be used up.  Texts are in the database's encoding. */
typedef struct PnvsUse
{
	pg_uuid_t	id;
	const char *recipient;		/* digits */
	const char *const *purposes;
	int			npurposes;		/* 0: it has no purpose */
	int64		good_for_us;	/* since the approval */
} PnvsUse;

/* Why an approval cannot be used up. */
typedef enum PnvsUseFault
{
	PNVS_USE_NOT_TOLD,			/* to those who may not see the verification */
	PNVS_USE_OF_OTHER_DATABASE,
	PNVS_USE_NOT_CONFIRMED,
	PNVS_USE_EXPIRED,
	PNVS_USE_MAX_TRIES,
	PNVS_USE_CANCELED,
	PNVS_USE_REFUSED,
	PNVS_USE_USED,
	PNVS_USE_OF_OTHER_NUMBER,
	PNVS_USE_TOO_LATE,
	PNVS_USE_FOR_OTHER_PURPOSE
} PnvsUseFault;

/* Something that happened to a number; texts are constant or in the memory of the list. */
typedef struct PnvsHistoryEvent
{
	TimestampTz at;
	const char *event;
	int			verification;	/* the first is 1; 0: none */
	const char *channel;		/* or NULL */
	const char *detail;			/* or NULL */
	int			count;			/* 0: not known */
	const char *purpose;		/* or NULL */
	const char *requested_by;	/* or NULL */
	TimestampTz until;			/* 0: none */
	int			position;		/* in the order of adding */
} PnvsHistoryEvent;

typedef struct PnvsHistory
{
	PnvsHistoryEvent *events;
	int			n;
	int			size;
} PnvsHistory;

/* A direct check of a message that may belong to a verification. */
typedef struct PnvsDirectCheck
{
	bool		is_counted;		/* it belongs to one */
	bool		is_undecided;	/* or it is not known to which: it is refused */
	PnvsChecked checked;
	int64		message;		/* in the queue; 0: it is not known which */
	const char *recipient;		/* digits, or masked: then nothing is approved */
	uint64		code;			/* hash of the code */
	bool		has_try;
} PnvsDirectCheck;

/* begin.c */
extern void pnvs_verification_begin(const PnvsBeginRequest *request, PnvsBegun *begun);

/* resend.c; PNVS_ANY_CHANNEL: the verification's next */
extern void pnvs_verification_resend(const pg_uuid_t *id, PnvsChannelWord channel,
									 PnvsBegun *begun);
extern bool pnvs_verification_cancel(const pg_uuid_t *id);
extern void pnvs_verification_status(const pg_uuid_t *id, PnvsBegun *begun,
									 PnvsConfirmed *confirmed);

/* fallback.c */
extern void pnvs_fallback_init(void);

/* history.c; number: digits */
extern void pnvs_verification_history(const char *number, PnvsHistory *history);

/* erase.c */
extern int64 pnvs_verification_erase(const char *number);

/* upkeep.c */
extern void pnvs_verification_upkeep_init(void);

/* confirm.c; code: what the person typed, cleaned */
extern void pnvs_verification_confirm(const pg_uuid_t *id, const char *code,
									  PnvsConfirmed *confirmed);

/* direct_check.c */
extern void pnvs_direct_check_begin(PnvsDirectCheck *check, const char *const *values);
extern bool pnvs_direct_check_take(PnvsDirectCheck *check);
extern void pnvs_direct_check_give_back(const PnvsDirectCheck *check);
extern void pnvs_direct_check_note(const PnvsDirectCheck *check, const PnvsAnswer *answer);
extern void pnvs_direct_check_note_lost(const PnvsDirectCheck *check);

/* use.c */
extern const char *pnvs_verification_use(const pg_uuid_t *id, const char *purpose,
										 int64 good_for_us);
extern bool pnvs_verification_use_up(const PnvsUse *use);
extern PnvsUseFault pnvs_verification_use_fault(const PnvsUse *use);

#endif							/* PNVS_VERIFICATION_H */
