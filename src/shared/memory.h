/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  Shared memory: each module describes its piece, and gets it at server start.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SHARED_MEMORY_H
#define PNVS_SHARED_MEMORY_H

#include "storage/lwlock.h"

/* A module's piece of shared memory. */
typedef struct PnvsSharedPart
{
	const char *name;			/* of the memory, and of the locks' tranche */
	Size		(*size) (void); /* once settings are known */
	int			(*nlocks) (void);	/* the same; or NULL: it needs none */
	void		(*init) (void); /* or NULL: all zeros will do */
	void	  **memory;			/* out; NULL if the library is not preloaded */
	LWLockPadded **locks;		/* out */
} PnvsSharedPart;

extern void pnvs_shared_memory_add(const PnvsSharedPart *part);
extern bool pnvs_shared_memory_is_free(void);

#endif							/* PNVS_SHARED_MEMORY_H */
