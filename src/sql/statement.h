/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Which execution of which statement is calling.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_STATEMENT_H
#define PNVS_STATEMENT_H

#include "fmgr.h"

extern void pnvs_statement_init(void);
extern MemoryContext pnvs_statement_context(FunctionCallInfo fcinfo);

#endif							/* PNVS_STATEMENT_H */
