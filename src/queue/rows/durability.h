/*-------------------------------------------------------------------------
 *
 * durability.h
 *	  Makes sure that a claim is flushed and replicated before its request goes out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_DURABILITY_H
#define PNVS_DURABILITY_H

extern void pnvs_durability_demand(void);
extern bool pnvs_durability_is_reached(void);

#endif							/* PNVS_DURABILITY_H */
