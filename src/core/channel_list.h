/*-------------------------------------------------------------------------
 *
 * channel_list.h
 *	  The channels of pnvs.channels: those that may be used at all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CHANNEL_LIST_H
#define PNVS_CHANNEL_LIST_H

#include "core/rules.h"

/* A set of channels has this bit for each. */
#define PNVS_CHANNEL_BIT(channel) (1u << (channel))

extern bool pnvs_channel_list_parse(const char *text, uint32_t *channels);

#endif							/* PNVS_CHANNEL_LIST_H */
