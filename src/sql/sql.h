/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  What the SQL functions share: arguments, rows, and the answers that a statement has got
 *	  already.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SQL_H
#define PNVS_SQL_H

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "queue/queue.h"
#include "remote/failure.h"

/* The epoch of Unix as a timestamptz. */
#define PNVS_UNIX_EPOCH \
	(((int64) UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* arguments.c: n is the argument's position, from 0 */
extern const char *pnvs_argument_required(const char *value, const char *name);
extern const char *pnvs_argument_channel(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_number(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_recipient(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_service_sid(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_required_service_sid(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_typed_code(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_possible_code(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_verification_id(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_send_date(FunctionCallInfo fcinfo, int n);
extern TimestampTz pnvs_argument_not_before(FunctionCallInfo fcinfo, int n, TimestampTz now);
extern TimestampTz pnvs_argument_end(FunctionCallInfo fcinfo, int n, const char *name,
									 TimestampTz start);
extern int64 pnvs_argument_good_for(const Interval *interval);
extern const char *pnvs_argument_rate_key(FunctionCallInfo fcinfo, int n);
extern bool pnvs_argument_flag(FunctionCallInfo fcinfo, int n);
extern int64 pnvs_argument_queue_id(FunctionCallInfo fcinfo, int n);
extern int	pnvs_argument_count(FunctionCallInfo fcinfo, int n, const char *name, int max);
extern const char *pnvs_argument_utf8(const char *text);
extern const char *pnvs_argument_check_recipient(const char *text);
extern const char *pnvs_argument_check_service_sid(const char *text);
extern void pnvs_argument_find_row(int64 id, PnvsQueueRow *row);
pg_noreturn extern void pnvs_argument_refuse(const char *what, const char *hint);

/* verification_arguments.c */
extern const pg_uuid_t *pnvs_argument_phone_verification(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_possible_recipient(FunctionCallInfo fcinfo, int n);
extern int	pnvs_argument_channels(FunctionCallInfo fcinfo, int n, PnvsChannelWord *channels,
								   int max);
extern const char *pnvs_argument_kept_text(FunctionCallInfo fcinfo, int n, const char *name);
extern const char *pnvs_argument_session_key(FunctionCallInfo fcinfo, int n);
extern int64 pnvs_argument_valid_for(FunctionCallInfo fcinfo, int n);

/* row.c */
typedef struct PnvsRow
{
	TupleDesc	descriptor;
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
	int			filled;
} PnvsRow;

extern void pnvs_row_check_type(TupleDesc descriptor, const Oid *types, int ncolumns);
extern void pnvs_row_begin(PnvsRow *row, FunctionCallInfo fcinfo, const Oid *types,
						   int ncolumns);
extern void pnvs_row_add_value(PnvsRow *row, Datum value, bool isnull);
extern void pnvs_row_add_text(PnvsRow *row, const char *text);
extern Datum pnvs_row_finish(PnvsRow *row);

/* memo.c */
typedef struct PnvsMemoKey
{
	const char *data;
	uint32		len;
	uint32		hash;
} PnvsMemoKey;

extern const char *pnvs_memo_id(const pg_uuid_t *id);
extern void pnvs_memo_key(PnvsMemoKey *key, const char *function,
						  const char *const *values, int nvalues);
extern bool pnvs_memo_find(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum *row);
extern void pnvs_memo_keep(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum row,
						   bool undoable);

/* hide.c */
extern Datum pnvs_hide_call(PGFunction function, FunctionCallInfo fcinfo);

/* statement.c: an execution of a statement */
typedef struct PnvsStatement
{
	MemoryContext context;		/* lasts as long as the execution, or longer */
	uint64		number;			/* tells executions in one context apart; 0:
								 * any of them */
} PnvsStatement;

extern void pnvs_statement_init(void);
extern bool pnvs_statement_find(FunctionCallInfo fcinfo, PnvsStatement *statement);

#endif							/* PNVS_SQL_H */
