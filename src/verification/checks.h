/*-------------------------------------------------------------------------
 *
 * checks.h
 *	  What the server remembers of the checks of a verification: its wrong codes, and the
 *	  code that the service has approved.
 *
 * ROLLBACK undoes none of it.  Functions are for verifications of this database, take a
 * time of the wall clock, and never throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CHECKS_H
#define PNVS_CHECKS_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef enum PnvsTryResult
{
	PNVS_TRY_TAKEN,
	PNVS_TRY_TOO_MANY,
	PNVS_TRY_EXPIRED,
	PNVS_TRY_NO_ROOM			/* memory is full: nobody would count it */
} PnvsTryResult;

/* A verification, as its row has it. */
typedef struct PnvsChecked
{
	pg_uuid_t	id;
	int			tries;			/* what memory may have lost */
	TimestampTz expires_at;		/* from then on nothing is remembered */
} PnvsChecked;

/* What is known of a typed code, by its hash, before the service is asked. */
typedef struct PnvsKnownCode
{
	int			tries;			/* wrong codes so far */
	bool		approved;		/* the service has approved it */
	bool		ambiguous;		/* it was asked, and its answer was lost */
	uint64		other_ambiguous;	/* another code, of which that is true; 0:
									 * none */
	int64		other_approved; /* it has approved another code: the newest
								 * message that it has approved; 0: none */
} PnvsKnownCode;

extern void pnvs_checks_init(void);
extern PnvsTryResult pnvs_checks_take(const PnvsChecked *checked, int max_tries, TimestampTz now,
									  int *tries);
extern void pnvs_checks_give_back(const pg_uuid_t *id, TimestampTz now);
extern int	pnvs_checks_tries(const PnvsChecked *checked, TimestampTz now);
extern void pnvs_checks_approve(const pg_uuid_t *id, uint64 code, int64 message, TimestampTz now);
extern void pnvs_checks_note_ambiguous(const pg_uuid_t *id, uint64 code, TimestampTz now);
extern void pnvs_checks_known(const PnvsChecked *checked, uint64 code, TimestampTz now,
							  PnvsKnownCode *known);

#endif							/* PNVS_CHECKS_H */
