/*-------------------------------------------------------------------------
 *
 * rate_key.h
 *	  The key that a caller's messages are counted under.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_RATE_KEY_H
#define PNVS_RATE_KEY_H

#include <stddef.h>

/* Bytes; enough for every token and address, and short enough to be hashed at each call. */
#define PNVS_RATE_KEY_MAX_LEN 1024
#define PNVS_RATE_KEY_SIZE (PNVS_RATE_KEY_MAX_LEN + 1)

typedef enum PnvsRateKeyFault
{
	PNVS_RATE_KEY_OK,
	PNVS_RATE_KEY_EMPTY,
	PNVS_RATE_KEY_TOO_LONG
} PnvsRateKeyFault;

extern PnvsRateKeyFault pnvs_rate_key_normalise(const char *text, char key[PNVS_RATE_KEY_SIZE]);

#endif							/* PNVS_RATE_KEY_H */
