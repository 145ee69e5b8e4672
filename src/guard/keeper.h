/*-------------------------------------------------------------------------
 *
 * keeper.h
 *	  Writes snapshots: at intervals, and when the server ends.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_KEEPER_H
#define PNVS_GUARD_KEEPER_H

#include "guard/guard.h"

extern void pnvs_keeper_register(void);
extern void pnvs_keeper_begin(void);
extern const PnvsKeptMemory *pnvs_keeper_memory(int i);

extern PGDLLEXPORT void pnvs_keeper_main(Datum arg);

#endif							/* PNVS_GUARD_KEEPER_H */
