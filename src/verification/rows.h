/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  The rows of pnvs_internal.phone_verification: one a verification.
 *
 * For the files of this folder.  Statements are run, and results read, within a visit of
 * the table (see table/table.h).  Functions throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_VERIFICATION_ROWS_H
#define PNVS_VERIFICATION_ROWS_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/rules.h"
#include "core/verification.h"
#include "queue/queue.h"
#include "table/row.h"
#include "table/table.h"
#include "verification/verification.h"

/* The columns, from 1. */
typedef enum PnvsVerificationColumn
{
	PNVS_VERIFICATION_COLUMN_ID = 1,
	PNVS_VERIFICATION_COLUMN_BEGUN_AT,
	PNVS_VERIFICATION_COLUMN_EXPIRES_AT,
	PNVS_VERIFICATION_COLUMN_RECIPIENT_HASH,
	PNVS_VERIFICATION_COLUMN_SESSION_HASH,
	PNVS_VERIFICATION_COLUMN_ENDED_AT,
	PNVS_VERIFICATION_COLUMN_REQUESTED_BY,
	PNVS_VERIFICATION_COLUMN_STATE,
	PNVS_VERIFICATION_COLUMN_RECIPIENT,
	PNVS_VERIFICATION_COLUMN_PURPOSE,
	PNVS_VERIFICATION_COLUMN_REFERENCE,
	PNVS_VERIFICATION_COLUMN_SERVICE_SID,
	PNVS_VERIFICATION_COLUMN_CHANNELS,
	PNVS_VERIFICATION_COLUMN_CHANNEL_POSITION,
	PNVS_VERIFICATION_COLUMN_CHANNEL,
	PNVS_VERIFICATION_COLUMN_LAST_MESSAGE,
	PNVS_VERIFICATION_COLUMN_MESSAGES,
	PNVS_VERIFICATION_COLUMN_IS_DECOY,
	PNVS_VERIFICATION_COLUMN_ADMISSION_KEY,
	PNVS_VERIFICATION_COLUMN_TRUSTED,
	PNVS_VERIFICATION_COLUMN_RESEND_AT,
	PNVS_VERIFICATION_COLUMN_REFUSED,
	PNVS_VERIFICATION_COLUMN_REFUSED_COUNT,
	PNVS_VERIFICATION_COLUMN_TRIES,
	PNVS_VERIFICATION_COLUMN_WRONG_AT,
	PNVS_VERIFICATION_COLUMN_APPROVED_AT,
	PNVS_VERIFICATION_COLUMN_APPROVED_CODE,
	PNVS_VERIFICATION_COLUMN_USED_AT,
	PNVS_VERIFICATION_COLUMN_ORIGIN_SYSTEM,
	PNVS_VERIFICATION_COLUMN_ORIGIN_DATABASE
} PnvsVerificationColumn;

#define PNVS_VERIFICATION_COLUMN_COUNT PNVS_VERIFICATION_COLUMN_ORIGIN_DATABASE

/* The statements, in the order of the description. */
typedef enum PnvsVerificationStatement
{
	PNVS_VERIFICATION_SELECT_OVER,
	PNVS_VERIFICATION_MASK,
	PNVS_VERIFICATION_PURGE,
	PNVS_VERIFICATION_FIRST_OPEN,
	PNVS_VERIFICATION_FIRST_ENDED,
	PNVS_VERIFICATION_SELECT_NUMBER,
	PNVS_VERIFICATION_LOCK_NUMBER,
	PNVS_VERIFICATION_ERASE_NUMBER,
	PNVS_VERIFICATION_COUNT_REFUSED,
	PNVS_VERIFICATION_SELECT_NEXT_CHANNEL
} PnvsVerificationStatement;

#define PNVS_VERIFICATION_STATEMENT_COUNT (PNVS_VERIFICATION_SELECT_NEXT_CHANNEL + 1)

/* A word of the column "refused", also for the page. */
#define PNVS_TOO_MANY "too_many"

/* Of a row that is open, by the column's name. */
#define PNVS_VERIFICATION_VALUE(row, column, isnull) \
	pnvs_table_row_value(row, PNVS_VERIFICATION_COLUMN_##column, isnull)
#define PNVS_VERIFICATION_DATUM(row, column) \
	pnvs_table_row_datum(row, PNVS_VERIFICATION_COLUMN_##column)
#define PNVS_VERIFICATION_TEXT(row, column) \
	TextDatumGetCString(PNVS_VERIFICATION_DATUM(row, column))
#define PNVS_VERIFICATION_OPTIONAL_TEXT(row, column) \
	pnvs_table_row_optional_text(row, PNVS_VERIFICATION_COLUMN_##column)
#define PNVS_VERIFICATION_OPTIONAL_INT64(row, column) \
	pnvs_table_row_optional_int64(row, PNVS_VERIFICATION_COLUMN_##column)
#define PNVS_VERIFICATION_PUT(row, column, value) \
	pnvs_table_row_put(row, PNVS_VERIFICATION_COLUMN_##column, value)

/* A row; its texts are in the memory context of the caller. */
typedef struct PnvsVerification
{
	pg_uuid_t	id;
	ItemPointerData place;		/* where it was found */
	Oid			requested_by;
	PnvsVerificationState state;	/* by now; tries in memory not regarded */
	PnvsVerificationState stored;
	bool		foreign;		/* begun in another database */
	const char *recipient;		/* digits; masked once it cannot be used any
								 * more */
	const char *service_sid;
	const char *purpose;		/* or NULL */
	const char *reference;		/* or NULL */
	PnvsChannelWord channels[PNVS_MAX_BEGIN_CHANNELS];
	int			nchannels;
	int			position;		/* of the channel that a fallback goes on from */
	PnvsChannelWord channel;	/* of the last message */
	int64		last_message;	/* in the queue; 0: it has none */
	int			messages;
	bool		is_decoy;		/* nothing is sent, nothing approved */
	uint64		admission_key;	/* hash of the rate_key, or 0 */
	bool		trusted;
	TimestampTz begun_at;
	TimestampTz expires_at;
	TimestampTz resend_at;		/* DT_NOEND: never */
	const char *refused;		/* or NULL */
	int			tries;			/* wrong codes that were committed */
	TimestampTz approved_at;	/* or 0 */
	uint64		approved_code;	/* hash of the code; 0: none */
	PnvsVerificationMessage queued[PNVS_MAX_MESSAGES_READ]; /* its messages, the
															 * newest first, if it
															 * is pending */
	int			nqueued;
} PnvsVerification;

/* The result of pnvs_verification_lock_after(). */
typedef enum PnvsRowLock
{
	PNVS_ROW_LOCKED,
	PNVS_ROW_BUSY,				/* another transaction has locked it */
	PNVS_ROW_OTHER				/* it does not wait for another message */
} PnvsRowLock;

/*
 * Whether a code of it can be approved, and another message be sent: if none could be sent
 * so far, another channel may help, or another minute.
 */
static inline bool
pnvs_verification_is_open(const PnvsVerification *row)
{
	return row->state == PNVS_VERIFICATION_PENDING || row->state == PNVS_VERIFICATION_FAILED;
}

/* A code is checked for so many messages: more are not on a person's phone. */
#define PNVS_CONFIRM_MESSAGES 3

extern PnvsTable pnvs_verification_table;

/* rows.c */
extern bool pnvs_verification_find(const pg_uuid_t *id, PnvsVerification *row);
extern bool pnvs_verification_lock(const pg_uuid_t *id, PnvsVerification *row);
extern void pnvs_verification_put_end(const PnvsTableRow *open, const char *state, TimestampTz now);
extern bool pnvs_verification_is_foreign(const PnvsTableRow *row);
extern PnvsRowLock pnvs_verification_lock_after(const pg_uuid_t *id, int64 message,
												PnvsVerification *row);
extern void pnvs_verification_count_tries(PnvsVerification *row);
extern void pnvs_verification_show(const PnvsVerification *row, PnvsBegun *begun);

/* message.c */
extern void pnvs_verification_require_memory(const char *function);
extern const char *pnvs_verification_send(PnvsVerification *row, PnvsChannelWord channel,
										  int *retry_after_s);
extern void pnvs_verification_send_next(PnvsVerification *row);
extern void pnvs_verification_note_message(PnvsVerification *row);
extern Datum pnvs_verification_message_ids(int nverifications);

/* confirm_lock.c */
extern bool pnvs_confirm_lock(uint64 key, bool *waited);
extern bool pnvs_confirm_wait_for_message(const PnvsVerification *row);
extern void pnvs_confirm_unlock(uint64 key);

/* confirm_messages.c */
extern int	pnvs_confirm_messages(PnvsVerification *row, int64 after,
								  PnvsVerificationMessage *messages, bool *undecided);

/* confirm_rows.c */
extern uint64 pnvs_verification_hash(const pg_uuid_t *id);
extern uint64 pnvs_verification_hash_code(uint64 id_hash, const char *code);
extern bool pnvs_verification_write_approval(PnvsVerification *row, uint64 code);
extern void pnvs_verification_write_wrong(PnvsVerification *row, int tries);

#endif							/* PNVS_VERIFICATION_ROWS_H */
