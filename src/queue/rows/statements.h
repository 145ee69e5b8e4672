/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  The statements on the queue's table: their texts, plans and results.
 *
 * All functions are to be called within a visit (see table.h), and throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_STATEMENTS_H
#define PNVS_STATEMENTS_H

#include "executor/spi.h"

typedef enum PnvsStatementId
{
	PNVS_FIND_DUPLICATE,
	PNVS_CANCEL,
	PNVS_FIND,
	PNVS_HIGHEST_ID,
	PNVS_SELECT_DUE,
	PNVS_SELECT_LATE,
	PNVS_CLAIM,
	PNVS_LOCK_ROWS,
	PNVS_SELECT_EXISTING,
	PNVS_SETTLE,
	PNVS_SETTLE_IN_PLACE,
	PNVS_NEXT_QUEUED,
	PNVS_NEXT_UNKNOWN,
	PNVS_OLDEST_RETAINED,
	PNVS_CLAIMERS,
	PNVS_SELECT_CLAIMED,
	PNVS_INTERRUPT,
	PNVS_PURGE,
	PNVS_SELECT_UNKNOWN,
	PNVS_SELECT_BEING_SENT,
	PNVS_SELECT_SIBLINGS,
	PNVS_TAKEN_VERIFICATIONS
} PnvsStatementId;

#define PNVS_STATEMENT_COUNT (PNVS_TAKEN_VERIFICATIONS + 1)

/* The columns that verification_queue shows, the first of PNVS_FIND's, in their order. */
#define PNVS_QUEUE_COLUMNS 19

extern uint64 pnvs_table_run(PnvsStatementId id, Datum *values, const char *nulls);
extern uint64 pnvs_table_read(PnvsStatementId id, Datum *values, const char *nulls);
extern Datum pnvs_table_value(uint64 row, int column, bool *isnull);
extern char *pnvs_table_text(uint64 row, int column);
extern char *pnvs_table_optional_text(uint64 row, int column);

#endif							/* PNVS_STATEMENTS_H */
