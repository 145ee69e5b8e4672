/*-------------------------------------------------------------------------
 *
 * array.h
 *	  Makes the SQL arrays that the queue's statements take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ARRAY_H
#define PNVS_ARRAY_H

extern Datum pnvs_array_make(Oid type, Datum *values, bool *nulls, int n);
extern Datum pnvs_array_of_ids(const int64 *ids, int nids);
extern Datum pnvs_array_of_texts(const char *const *texts, int ntexts);

#endif							/* PNVS_ARRAY_H */
