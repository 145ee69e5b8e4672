/*-------------------------------------------------------------------------
 *
 * waiters.h
 *	  Sessions that wait until a message is settled, and how they are woken.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_WAITERS_H
#define PNVS_WAITERS_H

extern void pnvs_waiters_init(void);
extern void pnvs_waiters_begin(int64 id);
extern void pnvs_waiters_wait(int64 id, long wait_ms, uint32 wait_event);
extern void pnvs_waiters_end(void);

#endif							/* PNVS_WAITERS_H */
