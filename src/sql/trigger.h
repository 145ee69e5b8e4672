/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  What the trigger functions share: their table, and the columns that their arguments
 *	  name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TRIGGER_H
#define PNVS_TRIGGER_H

#include "commands/trigger.h"

extern int	pnvs_trigger_column(const TriggerData *trigger, const char *function,
								const char *name);
extern Oid	pnvs_trigger_table(const TriggerData *trigger);
extern HeapTuple pnvs_trigger_new_row(const TriggerData *trigger);
extern const char *pnvs_trigger_number(const TriggerData *trigger, HeapTuple row, int column);
extern bool pnvs_trigger_same_number(const char *one, const char *other);
extern const char *pnvs_trigger_digits(const char *number);

#endif							/* PNVS_TRIGGER_H */
