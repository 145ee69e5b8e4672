/*-------------------------------------------------------------------------
 *
 * blocks.h
 *	  The blocks that a partition's memory is made of.
 *
 * A block has the size of a cache line: the head of a list with its first places, more
 * places of a list, or a note.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_BLOCKS_H
#define PNVS_GUARD_BLOCKS_H

#include "guard/shares.h"

#define PNVS_HEAD_PLACES 2
#define PNVS_MORE_PLACES 3

/* Blocks are told by their index + 1, so that 0 is none. */
typedef struct PnvsBlock
{
	uint32		next;			/* of a head: the bucket's next; the next free */
	uint32		more;			/* the list's next block */
	uint16		n;				/* of a head: places of the list */
	uint8		kind;			/* of a head */
	uint32		unused;
	union
	{
		struct
		{
			uint64		key;
			uint64		unused;
			PnvsPlaces	places[PNVS_HEAD_PLACES];
		}			list;
		struct
		{
			uint64		key;
			PnvsGuardNote note;
		}			note;
		PnvsPlaces	places[PNVS_MORE_PLACES];
	}			u;
} PnvsBlock;

static inline PnvsBlock *
pnvs_block_at(const PnvsPartition *partition, uint32 block)
{
	return (PnvsBlock *) ((char *) partition + partition->blocks) + (block - 1);
}

/* The list of a channel word, in a partition that has whole lists. */
static inline PnvsPlaceList *
pnvs_flat_list(const PnvsPartition *partition, uint8 kind)
{
	return (PnvsPlaceList *) ((char *) partition + partition->blocks) +
		(kind & (PNVS_CHANNEL_WORD_COUNT - 1));
}

extern uint32 pnvs_block_allocate(PnvsPartition *partition, uint32 kept);
extern void pnvs_blocks_free(PnvsPartition *partition, uint32 *more);
extern void pnvs_blocks_read(const PnvsPartition *partition, uint32 head, PnvsPlaceList *places);
extern void pnvs_blocks_write(PnvsPartition *partition, uint32 head, const PnvsPlaceList *places);
extern int	pnvs_blocks_resize(PnvsPartition *partition, uint32 head, int size);

#endif							/* PNVS_GUARD_BLOCKS_H */
