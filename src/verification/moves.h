/*-------------------------------------------------------------------------
 *
 * moves.h
 *	  What the transaction under way knows of verified rows: which of its own were checked,
 *	  and which were deleted and may come back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MOVES_H
#define PNVS_MOVES_H

#include "access/htup.h"
#include "utils/uuid.h"

/* A verified row that has been deleted, and may be inserted again. */
typedef struct PnvsMove
{
	uint64		declaration;	/* hash of the trigger's arguments */
	uint64		number;			/* one of decimal digits */
	pg_uuid_t	id;
	Oid			table;			/* the topmost one, of partitions */
	uint32		copy;			/* set by moves.c; a caller leaves 0 */
} PnvsMove;

extern bool pnvs_moves_was_checked(Oid trigger, HeapTuple row);
extern void pnvs_moves_note_checked(Oid trigger, HeapTuple row);
extern void pnvs_moves_note_deleted(PnvsMove move);
extern bool pnvs_moves_take_deleted(PnvsMove move);
extern bool pnvs_moves_any_deleted(void);

#endif							/* PNVS_MOVES_H */
