/*-------------------------------------------------------------------------
 *
 * passed_over.h
 *	  Rows that cannot be claimed, left alone for a while.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PASSED_OVER_H
#define PNVS_PASSED_OVER_H

#include "datatype/timestamp.h"

#define PNVS_MAX_PASSED_OVER 1000

/* Where a row stands in the order in which rows are due. */
typedef struct PnvsPosition
{
	TimestampTz not_before;
	int64		id;				/* 0: before all rows of that time */
} PnvsPosition;

typedef struct PnvsPassedOverRow
{
	PnvsPosition position;
	TimestampTz until;
} PnvsPassedOverRow;

typedef struct PnvsPassedOver
{
	TimestampTz next_release;	/* DT_NOEND: nothing is passed over */
	PnvsPassedOverRow bulk;		/* everything up to there, what did not fit */
	int			nrows;
	PnvsPassedOverRow rows[PNVS_MAX_PASSED_OVER];
} PnvsPassedOver;

extern bool pnvs_position_is_before(PnvsPosition a, PnvsPosition b);
extern void pnvs_passed_over_init(PnvsPassedOver *list);
extern void pnvs_passed_over_add(PnvsPassedOver *list, PnvsPosition row, TimestampTz until);
extern void pnvs_passed_over_put_off(PnvsPassedOver *list, TimestampTz until);
extern bool pnvs_passed_over_release(PnvsPassedOver *list, TimestampTz now);
extern Datum pnvs_passed_over_ids(const PnvsPassedOver *list);

#endif							/* PNVS_PASSED_OVER_H */
