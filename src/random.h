/*-------------------------------------------------------------------------
 *
 * random.h
 *	  Random bytes that nobody can guess.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_RANDOM_H
#define PNVS_RANDOM_H

extern void pnvs_random(void *to, size_t len);

#endif							/* PNVS_RANDOM_H */
