/*-------------------------------------------------------------------------
 *
 * complaint.h
 *	  What lasts is told of once a minute.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_COMPLAINT_H
#define PNVS_COMPLAINT_H

extern int64 pnvs_complaint_count(const char *cause);

#endif							/* PNVS_COMPLAINT_H */
