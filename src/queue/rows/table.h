/*-------------------------------------------------------------------------
 *
 * table.h
 *	  Finds the queue's table, and enters it: locked, checked, as its owner.
 *
 * Statements run within a visit: pnvs_table_enter() connects to SPI, becomes the table's
 * owner and pins settings, and pnvs_table_leave() undoes that.  So does an ERROR in
 * between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_H
#define PNVS_TABLE_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* Its columns, from 1. */
typedef enum PnvsQueueColumn
{
	PNVS_COLUMN_ID = 1,
	PNVS_COLUMN_CHANNEL,
	PNVS_COLUMN_RECIPIENT,
	PNVS_COLUMN_SERVICE_SID,
	PNVS_COLUMN_STATE,
	PNVS_COLUMN_NOT_BEFORE,
	PNVS_COLUMN_SEND_BEFORE,
	PNVS_COLUMN_ATTEMPTS,
	PNVS_COLUMN_CREATED_AT,
	PNVS_COLUMN_SETTLED_AT,
	PNVS_COLUMN_REQUESTED_BY,
	PNVS_COLUMN_REFERENCE,
	PNVS_COLUMN_DEDUP_KEY,
	PNVS_COLUMN_REQUEST_ID,
	PNVS_COLUMN_VERIFICATION_ID,
	PNVS_COLUMN_STATUS,
	PNVS_COLUMN_CODE,
	PNVS_COLUMN_MESSAGE,
	PNVS_COLUMN_HTTP_STATUS,
	PNVS_COLUMN_CLAIMER,
	PNVS_COLUMN_DISPATCHED_AT,
	PNVS_COLUMN_UNKNOWN_SINCE,
	PNVS_COLUMN_RETAIN_FROM,
	PNVS_COLUMN_ORIGIN_SYSTEM,
	PNVS_COLUMN_ORIGIN_DATABASE,
	PNVS_COLUMN_ORIGIN_TIMELINE,
	PNVS_COLUMN_ADMISSION_DUE,
	PNVS_COLUMN_ADMISSION_KEY,
	PNVS_COLUMN_ADMISSION_TRUSTED
} PnvsQueueColumn;

#define PNVS_COLUMN_COUNT PNVS_COLUMN_ADMISSION_TRUSTED

typedef struct PnvsTableVisit
{
	Oid			user;
	int			security_context;
	int			guc_level;
	bool		snapshot_pushed;
} PnvsTableVisit;

extern Oid	pnvs_table_oid(void);
extern Oid	pnvs_table_sequence(void);
extern Oid	pnvs_table_owner(void);
extern Relation pnvs_table_open(LOCKMODE mode);
extern void pnvs_table_check(Oid table);
extern bool pnvs_table_is_referenced(void);
extern void pnvs_table_enter(PnvsTableVisit *visit, LOCKMODE mode);
extern void pnvs_table_enter_unattended(PnvsTableVisit *visit);
extern void pnvs_table_leave(PnvsTableVisit *visit);
extern void pnvs_table_pin_settings(void);

#endif							/* PNVS_TABLE_H */
