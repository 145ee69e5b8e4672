/*-------------------------------------------------------------------------
 *
 * history.h
 *	  What happened to a phone number.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_VERIFICATION_HISTORY_H
#define PNVS_VERIFICATION_HISTORY_H

#include "verification/verification.h"

/* history.c */
extern PnvsHistoryEvent *pnvs_history_add(PnvsHistory *history, const char *event,
										  TimestampTz at);

/* blocked.c */
extern void pnvs_history_add_blocks(PnvsHistory *history, const char *number, TimestampTz now);

#endif							/* PNVS_VERIFICATION_HISTORY_H */
