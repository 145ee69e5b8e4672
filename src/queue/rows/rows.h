/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  What a sender does with the queue's rows: claim them, settle them, and read those of
 *	  unknown fate.
 *
 * All functions are to be called in a transaction, within a visit (see table.h) unless
 * they are a claimer's, and throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ROWS_H
#define PNVS_ROWS_H

#include "core/outage.h"
#include "queue/rows/verdict.h"
#include "table/row.h"

/* A row's position in the order in which rows are due. */
typedef struct PnvsPosition
{
	TimestampTz not_before;
	int64		id;				/* 0: before all rows of that time */
} PnvsPosition;

typedef struct PnvsClaimer
{
	int64		number;			/* in the rows that it claims */
	PnvsPosition seen;			/* all that is due up to here was looked at */
	PnvsPosition checked;		/* and up to here none was left locked */
	TimestampTz purged_up_to;	/* the next batch begins here */
} PnvsClaimer;

/* Which rows may be claimed; unless PNVS_TRY_ALL, one or none. */
typedef struct PnvsClaimLimit
{
	int			max;			/* so many are looked at */
	PnvsTryable tryable;
	int64		avoid;			/* the row that was refused last, or 0 */
} PnvsClaimLimit;

/*
 * Called with verdicts that were written, also with those that leave a row open (their
 * settled_at is 0).
 */
typedef void (*PnvsSettleObserver) (const PnvsVerdict *verdicts, int nverdicts);

/* claimer.c */
extern void pnvs_claimer_open(PnvsClaimer *claimer);
extern void pnvs_claimer_close(PnvsClaimer *claimer);
extern void pnvs_claimer_rewind(PnvsClaimer *claimer, TimestampTz not_before);
extern bool pnvs_claimer_is_dead(int64 number);

/* The admission_due of a message to a test number: it is never sent, whatever list there is later. */
#define PNVS_ADMISSION_OF_TEST DT_NOBEGIN

/* admission.c */
extern bool pnvs_admission_is_of_test(int row, int column);
extern void pnvs_admission_read(int row, int column, const PnvsClaim *claim,
								PnvsAdmission *admission);
extern void pnvs_admission_read_open(const PnvsTableRow *open, const PnvsClaim *claim,
									 PnvsAdmission *admission);

/* claim.c */
extern void pnvs_claim_read(int row, PnvsClaim *claim);
extern int	pnvs_claim_due(PnvsClaimer *claimer, const PnvsClaimLimit *limit,
						   PnvsClaim *claims, int *nclaims, PnvsVerdicts *verdicts);
extern int	pnvs_claim_expire(const PnvsClaimer *claimer, int max, PnvsVerdicts *verdicts);
extern TimestampTz pnvs_claim_next(PnvsClaimer *claimer);

/* settle.c */
extern void pnvs_settle_observe(PnvsSettleObserver observer);
extern void pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts,
							 int nverdicts);
extern bool pnvs_settle_cancel(const PnvsClaim *claim, bool not_needed);
extern void pnvs_settle_note_written(const PnvsVerdict *verdicts, int nverdicts);
extern int	pnvs_settle_find_locked(int64 *ids, int nids);

/* unknown.c */
extern int	pnvs_unknown_select(PnvsClaim *claims, int max, const int64 *under_way,
								int nunder_way);
extern TimestampTz pnvs_unknown_next(const PnvsClaim *claims, int nclaims,
									 const int64 *under_way, int nunder_way);
extern bool pnvs_unknown_is_number_busy(const PnvsClaim *claim, bool verifying);
extern int	pnvs_unknown_siblings(const PnvsClaim *claim, PnvsClaim **rows);
extern int	pnvs_unknown_taken_ids(const char *const *ids, int nids, const char ***taken);

#endif							/* PNVS_ROWS_H */
