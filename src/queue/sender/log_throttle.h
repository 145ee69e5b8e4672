/*-------------------------------------------------------------------------
 *
 * complaint.h
 *	  What lasts is told of once a minute.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOG_THROTTLE_H
#define PNVS_LOG_THROTTLE_H

extern int64 pnvs_log_throttle_count(const char *cause);

#endif							/* PNVS_LOG_THROTTLE_H */
