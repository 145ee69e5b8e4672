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

extern void pnvs_keeper_register(void);
extern void pnvs_keeper_begin(void);

extern PGDLLEXPORT void pnvs_keeper_main(Datum arg);

#endif							/* PNVS_GUARD_KEEPER_H */
