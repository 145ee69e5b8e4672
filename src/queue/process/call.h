/*-------------------------------------------------------------------------
 *
 * call.h
 *	  Sends the messages that are due from a session, for CALL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CALL_H
#define PNVS_CALL_H

extern void pnvs_call_process(int64 max_requests);

#endif							/* PNVS_CALL_H */
