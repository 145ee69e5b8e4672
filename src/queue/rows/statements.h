/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  The statements on the queue's table: their texts, plans, parameters and results.
 *
 * Statements are run, and results read, within a visit (see table.h).  Functions throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_STATEMENTS_H
#define PNVS_STATEMENTS_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

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

/* The columns of PNVS_FIND behind these. */
typedef enum PnvsFindColumn
{
	PNVS_FIND_REQUESTED_BY = PNVS_QUEUE_COLUMNS + 1,
	PNVS_FIND_XMIN,
	PNVS_FIND_ADMISSION			/* the first of six, see admission.c */
} PnvsFindColumn;

/* The columns of PNVS_SELECT_DUE, _LATE, _UNKNOWN and _SIBLINGS. */
typedef enum PnvsRowColumn
{
	PNVS_ROW_PLACE = 1,
	PNVS_ROW_ID,
	PNVS_ROW_ATTEMPTS,
	PNVS_ROW_NOT_BEFORE,
	PNVS_ROW_SEND_BEFORE,
	PNVS_ROW_CREATED_AT,
	PNVS_ROW_DISPATCHED_AT,
	PNVS_ROW_UNKNOWN_SINCE,
	PNVS_ROW_ORIGIN_SYSTEM,
	PNVS_ROW_ORIGIN_DATABASE,
	PNVS_ROW_ORIGIN_TIMELINE,
	PNVS_ROW_ADMISSION_DUE,
	PNVS_ROW_ADMISSION_KEY,
	PNVS_ROW_ADMISSION_TRUSTED,
	PNVS_ROW_CHANNEL,
	PNVS_ROW_RECIPIENT,
	PNVS_ROW_SERVICE_SID
} PnvsRowColumn;

/* PNVS_CLAIM returns the ID first, and then the new place. */
#define PNVS_CLAIMED_PLACE 2

/* Other statements return one column. */
#define PNVS_FIRST_COLUMN 1

extern Datum pnvs_array_make(Oid type, Datum *values, bool *nulls, int n);
extern Datum pnvs_array_of_ids(const int64 *ids, int nids);
extern Datum pnvs_array_of_texts(const char *const *texts, int ntexts);
extern int	pnvs_table_run(PnvsStatementId id, Datum *values);
extern int	pnvs_table_read(PnvsStatementId id, Datum *values);
extern int	pnvs_table_run_for_ids(PnvsStatementId id, Datum *values, int64 **ids);
extern TimestampTz pnvs_table_run_for_time(PnvsStatementId id, Datum *values);
extern Datum pnvs_result_value(int row, int column, bool *isnull);
extern Datum pnvs_result_datum(int row, int column);
extern char *pnvs_result_optional_text(int row, int column);

/* A column by its type; a NULL raises an error.  Texts are copied. */
#define pnvs_result_int32(row, column) DatumGetInt32(pnvs_result_datum(row, column))
#define pnvs_result_int64(row, column) DatumGetInt64(pnvs_result_datum(row, column))
#define pnvs_result_oid(row, column) DatumGetObjectId(pnvs_result_datum(row, column))
#define pnvs_result_xid(row, column) DatumGetTransactionId(pnvs_result_datum(row, column))
#define pnvs_result_time(row, column) DatumGetTimestampTz(pnvs_result_datum(row, column))
#define pnvs_result_text(row, column) TextDatumGetCString(pnvs_result_datum(row, column))

#endif							/* PNVS_STATEMENTS_H */
