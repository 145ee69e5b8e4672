/*-------------------------------------------------------------------------
 *
 * array.h
 *	  Arrays of SQL's, as the queue's statements take them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ARRAY_H
#define PNVS_ARRAY_H

#include "queue/rows/verdict.h"

extern Datum pnvs_array_of_ids(const int64 *ids, int nids);
extern Datum pnvs_array_of_tids(Datum *tids, int n);
extern Datum pnvs_array_of_places(const PnvsVerdict *verdicts, int n);
extern Datum pnvs_array_of_texts(const PnvsVerdict *verdicts, int n, size_t offset);
extern Datum pnvs_array_of_times(const PnvsVerdict *verdicts, int n, size_t offset);
extern Datum pnvs_array_of_masked(const PnvsVerdict *verdicts, int n);
extern Datum pnvs_array_of_numbers(const PnvsVerdict *verdicts, int n, size_t offset);

#endif							/* PNVS_ARRAY_H */
