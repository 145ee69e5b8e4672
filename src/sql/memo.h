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

extern char *pnvs_memo_key(const PnvsOperation *operation, const char *const *values);
extern bool pnvs_memo_find(FunctionCallInfo fcinfo, const char *key, Datum *row);
extern void pnvs_memo_keep(FunctionCallInfo fcinfo, const char *key, Datum row);

#endif							/* PNVS_MEMO_H */
