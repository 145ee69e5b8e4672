/*-------------------------------------------------------------------------
 *
 * exact.h
 *	  Memory of exactly the size that is asked for, so that the address
 *	  sanitizer sees the first byte that is read or written beyond.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EXACT_H
#define EXACT_H

#include <stddef.h>

#include "core/text_buffer.h"

/* free() what these return. */
extern void *exact_alloc(size_t size);
extern char *exact_copy(const char *text);

/* A buffer of size bytes, its NUL included; exact_buffer_free() ends it. */
extern void exact_buffer_init(PnvsTextBuffer *buffer, size_t size);
extern void exact_buffer_free(PnvsTextBuffer *buffer);

#endif							/* EXACT_H */
