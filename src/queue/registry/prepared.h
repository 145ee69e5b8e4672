/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  Which prepared transactions have queued, or taken back, something.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PREPARED_H
#define PNVS_PREPARED_H

extern void pnvs_prepared_note_name(const char *gid);
extern void pnvs_prepared_remember(void);
extern bool pnvs_prepared_is_remembered(const char *gid);

#endif							/* PNVS_PREPARED_H */
