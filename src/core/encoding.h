/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Writes percent-encoding, hexadecimal digits and UTC timestamps, as the service's
 *	  protocol requires.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ENCODING_H
#define PNVS_ENCODING_H

#include <stddef.h>
#include <stdint.h>

#include "core/text_buffer.h"

/* "2023-10-26T10:22:32Z" and its NUL */
#define PNVS_UTC_TIMESTAMP_SIZE 21

extern void pnvs_encoding_append_percent(PnvsTextBuffer *buffer, const char *text);
extern void pnvs_encoding_append_hex(PnvsTextBuffer *buffer,
									 const unsigned char *bytes, size_t len);
extern bool pnvs_encoding_utc_timestamp(int64_t epoch_s,
										char out[PNVS_UTC_TIMESTAMP_SIZE]);

#endif							/* PNVS_ENCODING_H */
