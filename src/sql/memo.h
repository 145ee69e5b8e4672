/*-------------------------------------------------------------------------
 *
 * memo.h
 *	  One statement, one message: calls that a statement repeats.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MEMO_H
#define PNVS_MEMO_H

#include "fmgr.h"

#include "core/operation.h"

/* What makes two calls the same. */
typedef struct PnvsMemoKey
{
	const char *data;
	uint32		len;
	uint32		hash;
} PnvsMemoKey;

extern void pnvs_memo_key(PnvsMemoKey *key, const PnvsOperation *operation,
						  const char *const *values);
extern bool pnvs_memo_find(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum *row);
extern void pnvs_memo_keep(FunctionCallInfo fcinfo, const PnvsMemoKey *key, Datum row);

#endif							/* PNVS_MEMO_H */
