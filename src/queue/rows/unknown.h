/*-------------------------------------------------------------------------
 *
 * unknown.h
 *	  Reads the rows of unknown fate, and what a look-up must know of other rows.
 *
 * All functions are to be called in a transaction, within a visit (see table.h), and
 * throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_UNKNOWN_H
#define PNVS_UNKNOWN_H

#include "queue/rows/verdict.h"

extern int	pnvs_unknown_select(PnvsClaim *claims, int max, const int64 *under_way,
								int nunder_way);
extern TimestampTz pnvs_unknown_next(const PnvsClaim *claims, int nclaims,
									 const int64 *under_way, int nunder_way);
extern bool pnvs_unknown_is_number_busy(const PnvsClaim *claim, bool verifying);
extern int	pnvs_unknown_siblings(const PnvsClaim *claim, PnvsClaim **rows);
extern int	pnvs_unknown_taken_ids(const char *const *ids, int nids, const char ***taken);

#endif							/* PNVS_UNKNOWN_H */
