/*-------------------------------------------------------------------------
 *
 * sender.h
 *	  Claims messages, sends them and settles them, many at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SENDER_H
#define PNVS_SENDER_H

#include "datatype/timestamp.h"

#include "queue/rows/rows.h"
#include "queue/sender/transaction.h"

typedef struct PnvsSender PnvsSender;

extern PnvsSender *pnvs_sender_create(PnvsTransact transact, int64 max_requests);
extern void pnvs_sender_destroy(PnvsSender *sender);
extern void pnvs_sender_look(PnvsSender *sender, TimestampTz not_before);
extern void pnvs_sender_settings_changed(PnvsSender *sender);
extern void pnvs_sender_stop_claiming(PnvsSender *sender);
extern void pnvs_sender_turn(PnvsSender *sender);
extern void pnvs_sender_abandon(PnvsSender *sender);
extern int64 pnvs_sender_wait_us(const PnvsSender *sender);
extern bool pnvs_sender_is_idle(const PnvsSender *sender);
extern bool pnvs_sender_is_waiting(const PnvsSender *sender);
extern int	pnvs_sender_unsettled(const PnvsSender *sender);
extern bool pnvs_sender_is_done(const PnvsSender *sender);
extern bool pnvs_sender_has_table(const PnvsSender *sender);
extern TimestampTz pnvs_sender_next_due(const PnvsSender *sender);
extern PnvsClaimer *pnvs_sender_claimer(PnvsSender *sender);

#endif							/* PNVS_SENDER_H */
