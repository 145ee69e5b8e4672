/*-------------------------------------------------------------------------
 *
 * failure_log.h
 *	  What a sender says of a transaction that failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FAILURE_LOG_H
#define PNVS_FAILURE_LOG_H

#include "queue/sender/transaction.h"

extern PnvsCommit pnvs_failure_log(ErrorData *error);
extern void pnvs_failure_log_written(void);
extern void pnvs_failure_log_telling(bool telling);

#endif							/* PNVS_FAILURE_LOG_H */
