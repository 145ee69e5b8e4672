/*-------------------------------------------------------------------------
 *
 * table_check.h
 *	  Checks that the queue's table is as the install script made it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_CHECK_H
#define PNVS_TABLE_CHECK_H

extern void pnvs_table_check(Oid table);
extern bool pnvs_table_is_referenced(void);

#endif							/* PNVS_TABLE_CHECK_H */
