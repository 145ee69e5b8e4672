/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The background worker that starts a worker where there is work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LAUNCHER_H
#define PNVS_LAUNCHER_H

extern void pnvs_launcher_register(void);
extern PGDLLEXPORT void pnvs_launcher_main(Datum arg);

#endif							/* PNVS_LAUNCHER_H */
