/*-------------------------------------------------------------------------
 *
 * door.h
 *	  The part of the guard that remembers nothing: channels, countries, the switch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_DOOR_H
#define PNVS_DOOR_H

#include "guard/guard.h"

extern bool pnvs_guard_allows(const PnvsGuardMessage *message, bool is_test, PnvsRefusal *refusal);

#endif							/* PNVS_DOOR_H */
