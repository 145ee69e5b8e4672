/*-------------------------------------------------------------------------
 *
 * table.h
 *	  The queue's table: where it is, and how its statements are run.
 *
 * A visit is what stands between two calls: pnvs_table_enter() connects to SPI
 * and becomes the table's owner, pnvs_table_leave() takes both back.  An ERROR
 * in between does so too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_H
#define PNVS_TABLE_H

#include "executor/spi.h"

/* The statements; their texts and parameters stand in table.c. */
typedef enum PnvsStatementId
{
	PNVS_ENQUEUE,
	PNVS_FIND_DUPLICATE,
	PNVS_LOCK_QUEUED,
	PNVS_CANCEL,
	PNVS_FIND,
	PNVS_SELECT_DUE,
	PNVS_CLAIM,
	PNVS_SETTLE,
	PNVS_SETTLE_IN_PLACE,
	PNVS_FIND_UNSETTLED,
	PNVS_NEXT_QUEUED,
	PNVS_NEXT_UNKNOWN,
	PNVS_OLDEST_SETTLED,
	PNVS_CLAIMERS,
	PNVS_SELECT_CLAIMED,
	PNVS_INTERRUPT,
	PNVS_PURGE,
	PNVS_SELECT_UNKNOWN,
	PNVS_SELECT_RIVALS,
	PNVS_SELECT_SIBLINGS,
	PNVS_TAKEN_VERIFICATIONS
} PnvsStatementId;

#define PNVS_STATEMENT_COUNT (PNVS_TAKEN_VERIFICATIONS + 1)

/* The most parameters that a statement has. */
#define PNVS_MAX_STATEMENT_PARAMETERS 16

typedef struct PnvsTableVisit
{
	Oid			user;
	int			security_context;
	int			guc_level;
	bool		snapshot_pushed;
} PnvsTableVisit;

extern Oid	pnvs_table_oid(void);
extern Oid	pnvs_table_owner(void);
extern void pnvs_table_enter(PnvsTableVisit *visit);
extern void pnvs_table_enter_pinned(PnvsTableVisit *visit);
extern void pnvs_table_enter_alone(PnvsTableVisit *visit);
extern void pnvs_table_leave(PnvsTableVisit *visit);
extern void pnvs_table_pin_settings(int action);
extern uint64 pnvs_table_run(PnvsStatementId id, Datum *values, const char *nulls);
extern uint64 pnvs_table_read(PnvsStatementId id, Datum *values, const char *nulls);
extern Datum pnvs_table_value(uint64 row, int column, bool *isnull);
extern char *pnvs_table_text(uint64 row, int column);

#endif							/* PNVS_TABLE_H */
