/*-------------------------------------------------------------------------
 *
 * text_buffer.h
 *	  A bounded buffer that text is appended to.
 *
 * The core allocates nothing, so its callers provide the memory.  An append that does not
 * fit writes nothing and marks the buffer as overflowed; all later appends are ignored,
 * so that a chain of appends needs one check at its end.  The text is always
 * NUL-terminated.  All of it is inline, for most texts have a constant length.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TEXT_BUFFER_H
#define PNVS_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct PnvsTextBuffer
{
	char	   *data;
	size_t		size;			/* bytes in data, the NUL included */
	size_t		len;			/* bytes used, the NUL excluded */
	bool		overflowed;
} PnvsTextBuffer;

/* Starts an empty text in data, which holds at least one byte and stays the caller's. */
static inline void
pnvs_text_buffer_init(PnvsTextBuffer *buffer, char *data, size_t size)
{
	buffer->data = data;
	buffer->size = size;
	buffer->len = 0;
	buffer->overflowed = false;
	data[0] = '\0';
}

/* Appends len bytes, or nothing if they do not fit. */
static inline void
pnvs_text_buffer_append_len(PnvsTextBuffer *buffer, const char *text, size_t len)
{
	if (buffer->overflowed || len >= buffer->size - buffer->len)
	{
		buffer->overflowed = true;
		return;
	}
	memcpy(buffer->data + buffer->len, text, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

/* Appends a NUL-terminated text. */
static inline void
pnvs_text_buffer_append(PnvsTextBuffer *buffer, const char *text)
{
	pnvs_text_buffer_append_len(buffer, text, strlen(text));
}

/* Appends one byte. */
static inline void
pnvs_text_buffer_append_char(PnvsTextBuffer *buffer, char c)
{
	pnvs_text_buffer_append_len(buffer, &c, 1);
}

#endif							/* PNVS_TEXT_BUFFER_H */
