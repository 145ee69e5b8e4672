/*-------------------------------------------------------------------------
 *
 * claimer.h
 *	  Who claims rows: its number, and how far it has looked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CLAIMER_H
#define PNVS_CLAIMER_H

#include "datatype/timestamp.h"

/* Where a row stands in the order in which rows are due. */
typedef struct PnvsPosition
{
	TimestampTz not_before;
	int64		id;				/* 0: before all rows of that time */
} PnvsPosition;

typedef struct PnvsClaimer
{
	int64		number;			/* who this is, in the rows that it claims */
	PnvsPosition seen;			/* nothing is due up to here */
	PnvsPosition checked;		/* nothing that somebody held is left up to
								 * here */
	TimestampTz purged_up_to;	/* the next batch begins here */
} PnvsClaimer;

extern void pnvs_claimer_open(PnvsClaimer *claimer);
extern void pnvs_claimer_close(PnvsClaimer *claimer);
extern void pnvs_claimer_rewind(PnvsClaimer *claimer, TimestampTz not_before);
extern bool pnvs_claimer_is_dead(int64 number);

#endif							/* PNVS_CLAIMER_H */
