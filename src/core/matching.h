/*-------------------------------------------------------------------------
 *
 * matching.h
 *	  Finds out which record of the service belongs to which message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_MATCHING_H
#define PNVS_MATCHING_H

#include <stdbool.h>
#include <stdint.h>

/* The clocks of both sides are set by NTP; a minute apart they raise alarms. */
#define PNVS_CLOCK_MARGIN_US INT64_C(30000000)

/* Fewer visible digits of a masked number do not tell one number from another. */
#define PNVS_MIN_VISIBLE_DIGITS 4

/* A message whose record is looked for; times in us, of any one clock. */
typedef struct PnvsCandidate
{
	int64_t		from_us;		/* dispatched */
	int64_t		until_us;		/* given up */
	int			record;			/* out: the index of its record, or -1 */
} PnvsCandidate;

/* A record of the service. */
typedef struct PnvsSentRecord
{
	int64_t		sent_us;
	int			before;			/* the next free record at or before it */
	int			after;			/* the next free record at or after it */
} PnvsSentRecord;

extern bool pnvs_matching_tells_number(const char *shown);
extern bool pnvs_matching_fits_number(const char *shown, const char *number);
extern bool pnvs_matching_is_in_time(const PnvsCandidate *candidate, const PnvsSentRecord *record);
extern void pnvs_matching_assign(PnvsCandidate *candidates, int ncandidates,
								 PnvsSentRecord *records, int nrecords);

#endif							/* PNVS_MATCHING_H */
