/*-------------------------------------------------------------------------
 *
 * blocks.c
 *	  The blocks that a partition's memory is made of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard/blocks.h"

static uint32 kept_for(const PnvsPartition *partition, uint32 head);

/* An empty block, if more than that many are free; 0 if not. */
uint32
pnvs_block_allocate(PnvsPartition *partition, uint32 kept)
{
	uint32		head = partition->first_free;

	if (partition->nfree <= kept)
		return 0;
	partition->nfree--;
	if (head == 0)
		head = ++partition->nused;
	else
		partition->first_free = pnvs_block_at(partition, head)->next;
	memset(pnvs_block_at(partition, head), 0, offsetof(PnvsBlock, u));
	return head;
}

/* Frees the blocks from a link of a list on. */
void
pnvs_blocks_free(PnvsPartition *partition, uint32 *more)
{
	while (*more != 0)
	{
		uint32		head = *more;
		PnvsBlock  *block = pnvs_block_at(partition, head);

		*more = block->more;
		block->next = partition->first_free;
		partition->first_free = head;
		partition->nfree++;
	}
}

/* Copies the places of a list. */
void
pnvs_blocks_read(const PnvsPartition *partition, uint32 head, PnvsPlaceList *places)
{
	const PnvsBlock *block = pnvs_block_at(partition, head);
	int			n = Min(block->n, PNVS_HEAD_PLACES);

	places->n = block->n;
	memcpy(places->items, block->u.list.places, n * sizeof(PnvsPlaces));
	while (n < places->n)
	{
		int			more = Min(places->n - n, PNVS_MORE_PLACES);

		block = pnvs_block_at(partition, block->more);
		memcpy(&places->items[n], block->u.places, more * sizeof(PnvsPlaces));
		n += more;
	}
}

/* Copies places back to a list that has blocks enough, see pnvs_blocks_resize(). */
void
pnvs_blocks_write(PnvsPartition *partition, uint32 head, const PnvsPlaceList *places)
{
	PnvsBlock  *block = pnvs_block_at(partition, head);
	int			n = Min(places->n, PNVS_HEAD_PLACES);

	block->n = places->n;
	memcpy(block->u.list.places, places->items, n * sizeof(PnvsPlaces));
	while (n < places->n)
	{
		int			more = Min(places->n - n, PNVS_MORE_PLACES);

		block = pnvs_block_at(partition, block->more);
		memcpy(block->u.places, &places->items[n], more * sizeof(PnvsPlaces));
		n += more;
	}
	pnvs_blocks_free(partition, &block->more);
}

/* Adds blocks to a list until it has room for size places; returns how many it has room for. */
int
pnvs_blocks_resize(PnvsPartition *partition, uint32 head, int size)
{
	PnvsBlock  *block = pnvs_block_at(partition, head);
	uint32		kept = kept_for(partition, head);
	int			room = PNVS_HEAD_PLACES;

	while (room < size)
	{
		if (block->more == 0)
			block->more = pnvs_block_allocate(partition, kept);
		if (block->more == 0)
			break;
		block = pnvs_block_at(partition, block->more);
		room += PNVS_MORE_PLACES;
	}
	return room;
}

/* The free blocks that a list must leave alone: a shared bucket's, one for each other's first. */
static uint32
kept_for(const PnvsPartition *partition, uint32 head)
{
	if ((pnvs_block_at(partition, head)->kind & PNVS_KIND_BUCKET) == 0)
		return partition->reserve;
	return partition->max_bucket_lists - partition->nbucket_lists;
}
