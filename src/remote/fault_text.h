/*-------------------------------------------------------------------------
 *
 * fault_text.h
 *	  Calls without a readable reply, in words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FAULT_TEXT_H
#define PNVS_FAULT_TEXT_H

#include "remote/client.h"

extern const char *pnvs_fault_text_transport(const PnvsAnswer *answer);
extern const char *pnvs_fault_text_reply(const PnvsAnswer *answer);

#endif							/* PNVS_FAULT_TEXT_H */
