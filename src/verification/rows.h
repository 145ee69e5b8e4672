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
#include "table/table.h"
#include "verification/verification.h"

/* A row; its texts are in the memory context of the caller. */
typedef struct PnvsVerification
{
	pg_uuid_t	id;
	Oid			requested_by;
	PnvsVerificationState state;	/* by now; tries in memory not regarded */
	PnvsVerificationState stored;
	const char *recipient;		/* digits; masked once it cannot be used any
								 * more */
	const char *service_sid;
	const char *purpose;		/* or NULL */
	PnvsChannelWord channels[PNVS_MAX_BEGIN_CHANNELS];
	int			nchannels;
	int			position;		/* of the channel that a fallback goes on from */
	PnvsChannelWord channel;	/* of the last message */
	int64		last_message;	/* in the queue */
	int			messages;
	bool		is_decoy;		/* nothing is sent, nothing approved */
	uint64		admission_key;	/* hash of the rate_key, or 0 */
	bool		trusted;
	TimestampTz begun_at;
	TimestampTz expires_at;
	TimestampTz resend_at;
	const char *refused;		/* or NULL */
	int			tries;			/* wrong codes that were committed */
	TimestampTz approved_at;	/* or 0 */
	uint64		approved_code;	/* hash of the code; 0: none */
} PnvsVerification;

extern PnvsTable pnvs_verification_table;

/* rows.c */
extern bool pnvs_verification_find(const pg_uuid_t *id, PnvsVerification *row);
extern bool pnvs_verification_lock(const pg_uuid_t *id, PnvsVerification *row);

#endif							/* PNVS_VERIFICATION_ROWS_H */
