/*-------------------------------------------------------------------------
 *
 * wait_text.h
 *	  A time to wait, in words for the person who waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_WAIT_TEXT_H
#define PNVS_WAIT_TEXT_H

/* Room for any number of days. */
#define PNVS_WAIT_TEXT_SIZE 24

extern void pnvs_wait_text(int seconds, char text[PNVS_WAIT_TEXT_SIZE]);

#endif							/* PNVS_WAIT_TEXT_H */
