/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  Counts what each rule has admitted, refused and observed.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_COUNTERS_H
#define PNVS_GUARD_COUNTERS_H

#include "guard/shares.h"

/* A rule's counters, as they are kept in a snapshot. */
typedef struct PnvsSavedCounters
{
	PnvsRule	rule;
	TimestampTz since;
	PnvsRuleCounters sum;
} PnvsSavedCounters;

extern void pnvs_counters_assign(PnvsPolicy *policy);
extern void pnvs_counters_reset(bool all, PnvsScope scope, TimestampTz now);
extern bool pnvs_counters_save(int slot, PnvsSavedCounters *saved);
extern void pnvs_counters_load(int slot, const PnvsSavedCounters *saved);

#endif							/* PNVS_GUARD_COUNTERS_H */
