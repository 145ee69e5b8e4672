/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  What sessions do with the queue: queue a message, cancel it, read its row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_QUEUE_H
#define PNVS_QUEUE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "guard/guard.h"
#include "queue/rows/statements.h"

/* What becomes of a message that the guard refuses. */
typedef enum PnvsOnRefusal
{
	PNVS_THROW_REFUSAL,
	PNVS_KEEP_REFUSED,			/* it is queued, and has failed already */
	PNVS_RETURN_REFUSAL			/* nothing is queued */
} PnvsOnRefusal;

/* A message to be queued.  Texts are in the database's encoding. */
typedef struct PnvsQueueRequest
{
	const char *channel;
	const char *recipient;		/* digits */
	const char *service_sid;
	TimestampTz now;
	TimestampTz not_before;
	TimestampTz send_before;
	const char *reference;		/* or NULL */
	const char *dedup_key;		/* or NULL */
	TimestampTz dedup_since;	/* with dedup_key */
	const char *rate_key;		/* normalised, or NULL */
	uint64		admission_key;	/* without rate_key: its hash, or 0 */
	bool		trusted;
	PnvsOnRefusal on_refusal;
	Oid			requester;		/* 0: the current user */
	const char *source;			/* the table that reference is of, or NULL */
	const pg_uuid_t *phone_verification;	/* or NULL */
	int64		previous;		/* the message of it before this, or 0 */
	TimestampTz retain_until;	/* 0: as pnvs.retention says */
	bool		is_decoy;		/* takes its places, and is never sent */
} PnvsQueueRequest;

/* A row as its requester sees it; in the memory context of the caller. */
typedef struct PnvsQueueRow
{
	const char *state;
	bool		settled;
	bool		own_transaction;	/* queued by the transaction under way */
	const char *verification_id;	/* or NULL */
	const char *service_sid;
	Oid			requester;
	PnvsAdmission admission;
	/* the columns that verification_queue shows */
	Oid			types[PNVS_QUEUE_COLUMNS];
	Datum		values[PNVS_QUEUE_COLUMNS];
	bool		nulls[PNVS_QUEUE_COLUMNS];
} PnvsQueueRow;

/* A message of a number; texts are in the memory context of the caller. */
typedef struct PnvsQueueMessage
{
	bool		has_verification;
	pg_uuid_t	verification;	/* that it is a message of, if any */
	const char *channel;
	const char *state;
	int			attempts;
	TimestampTz created_at;
	TimestampTz send_before;
	TimestampTz dispatched_at;	/* 0: it was not */
	TimestampTz unknown_since;	/* 0: its fate was always known */
	TimestampTz settled_at;		/* 0: it is not */
	const char *code;			/* or NULL */
	const char *requested_by;
} PnvsQueueMessage;

/* More than a verification has. */
#define PNVS_MAX_MESSAGES_READ 10

/* A message of a verification; in the memory context of the caller. */
typedef struct PnvsVerificationMessage
{
	int64		id;
	const char *state;
	bool		settled;
	const char *channel;
	const char *service_sid;
	const char *verification_id;	/* or NULL */
	const char *recipient;		/* masked, once settled */
	Oid			requester;
	TimestampTz not_before;
	TimestampTz created_at;
	TimestampTz dispatched_at;	/* 0: it was never claimed */
	TimestampTz unknown_since;	/* 0: its fate is known */
	bool		is_being_sent;	/* by a worker that lives */
	PnvsAdmission admission;
} PnvsVerificationMessage;

/* A message of a verification that may have been sent. */
typedef struct PnvsUnsureMessage
{
	pg_uuid_t	verification;
	const char *recipient;		/* masked, once settled */
	TimestampTz from;			/* it was sent between these, if it was */
	TimestampTz until;
} PnvsUnsureMessage;

/* A row of a user's table, as its messages know it. */
typedef struct PnvsQueueSource
{
	const char *table;			/* qualified */
	const char *reference;
	const char *recipient;		/* digits */
} PnvsQueueSource;

/* queue.c */
extern int64 pnvs_queue_enqueue(const PnvsQueueRequest *request, PnvsRefusal *refusal);
extern bool pnvs_queue_cancel(int64 id);
extern bool pnvs_queue_find(int64 id, PnvsQueueRow *row);

/* messages.c */
extern int	pnvs_queue_messages_of(const pg_uuid_t *verification, int64 last,
								   PnvsVerificationMessage *messages);
extern bool pnvs_queue_find_verification(const char *verification_id, int64 *id,
										 pg_uuid_t *verification);
extern int	pnvs_queue_unsure(int max, PnvsUnsureMessage **messages);
extern void pnvs_queue_cancel_of(const pg_uuid_t *verification, int64 last, bool frees_places);
extern void pnvs_queue_cancel_of_row(const PnvsQueueSource *source);
extern void pnvs_queue_rename_row(const PnvsQueueSource *source, const char *reference);

/* number.c */
extern int	pnvs_queue_of_number(const char *number, Datum of_verifications,
								 PnvsQueueMessage **messages);
extern int	pnvs_queue_erase(const char *number, Datum of_verifications);

#endif							/* PNVS_QUEUE_H */
