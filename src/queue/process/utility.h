/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  Statements of others that concern the queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_UTILITY_H
#define PNVS_UTILITY_H

extern void pnvs_utility_init(void);

#endif							/* PNVS_UTILITY_H */
