/*-------------------------------------------------------------------------
 *
 * counted.h
 *	  The lists that count a message.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_COUNTED_H
#define PNVS_GUARD_COUNTED_H

#include "guard/guard.h"
#include "guard/shares.h"

/* What a message has to do with shared memory, during one call. */
typedef struct PnvsCounted
{
	const PnvsAdmission *admission;
	const PnvsPolicy *policy;
	PnvsPartition *number;		/* the partition of its number */
	PnvsPartition *partitions[PNVS_SHARE_COUNT];	/* all that are locked */
	int			npartitions;
	uint64		number_key;
	uint64		country;
	bool		has_breaker;
	PnvsGuardList *lists;
	int			nlists;
} PnvsCounted;

extern void pnvs_counted_collect(const PnvsAdmission *admission, PnvsCounted *counted);
extern TimestampTz pnvs_counted_lock(const PnvsCounted *counted, bool sweep, TimestampTz now);
extern void pnvs_counted_unlock(const PnvsCounted *counted);

/* room.c */
extern TimestampTz pnvs_counted_admitted_at(const PnvsCounted *counted, TimestampTz at);
extern TimestampTz pnvs_list_admitted_at(const PnvsGuardList *list, TimestampTz at);

#endif							/* PNVS_GUARD_COUNTED_H */
