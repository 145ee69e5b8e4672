/*-------------------------------------------------------------------------
 *
 * waiters.h
 *	  Sessions that wait until a message is settled, and how they are woken.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_WAITERS_H
#define PNVS_WAITERS_H

/*
 * A session waits in the list that its message hashes to, and only that list is woken.
 * There are more lists than sessions are likely to wait at a time, so that few are woken
 * for another message.  A list takes 12 bytes of shared memory.
 */
#define PNVS_WAIT_LISTS 1024

/* The lists of messages that were settled together; to begin with, all zeros. */
typedef struct PnvsSettledSet
{
	bool		lists[PNVS_WAIT_LISTS];
} PnvsSettledSet;

extern void pnvs_waiters_init(void);
extern void pnvs_waiters_add(PnvsSettledSet *settled, int64 id);
extern void pnvs_waiters_wake(const PnvsSettledSet *settled);
extern void pnvs_waiters_wake_at_commit(int64 id);
extern void pnvs_waiters_begin(int64 id);
extern void pnvs_waiters_wait(int64 id, long wait_ms, uint32 wait_event);
extern void pnvs_waiters_end(void);

#endif							/* PNVS_WAITERS_H */
