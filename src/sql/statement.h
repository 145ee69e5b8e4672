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

/* The execution of a statement. */
typedef struct PnvsStatement
{
	MemoryContext context;		/* lasts as long as that, or longer */
	uint64		number;			/* tells those apart that share it; 0: any of
								 * them */
} PnvsStatement;

extern void pnvs_statement_init(void);
extern bool pnvs_statement_find(FunctionCallInfo fcinfo, PnvsStatement *statement);

#endif							/* PNVS_STATEMENT_H */
