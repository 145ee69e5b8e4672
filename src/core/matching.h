/*-------------------------------------------------------------------------
 *
 * matching.h
 *	  Which record of the service belongs to which message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MATCHING_H
#define PNVS_MATCHING_H

#include <stdbool.h>
#include <stdint.h>

/* The clocks of both sides are set by NTP; a minute apart they raise alarms. */
#define PNVS_CLOCK_MARGIN_MS 30000

/* Fewer visible digits than that of a masked number tell no one number from another. */
#define PNVS_MIN_VISIBLE_DIGITS 4

/* A message whose record is looked for; times in ms, of any one epoch. */
typedef struct PnvsCandidate
{
	int64_t		from_ms;		/* dispatched */
	int64_t		until_ms;		/* given up */
	int			record;			/* out: the index of its record, or -1 */
} PnvsCandidate;

/* What one record needs while records are matched. */
typedef struct PnvsMatchingSlot
{
	int			before;			/* the next free record at or before it */
	int			after;			/* the next free record at or after it */
} PnvsMatchingSlot;

extern bool pnvs_matching_fits_number(const char *shown, const char *number);
extern void pnvs_matching_assign(PnvsCandidate *candidates, int ncandidates,
								 const int64_t *sent_ms, int nrecords,
								 PnvsMatchingSlot *slots);

#endif							/* PNVS_MATCHING_H */
