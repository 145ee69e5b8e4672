/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  Notices that somebody has set the wall clock back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CLOCK_H
#define PNVS_CLOCK_H

extern bool pnvs_clock_was_set_back(int64 *ahead_us);

#endif							/* PNVS_CLOCK_H */
