/*-------------------------------------------------------------------------
 *
 * text_buffer.c
 *	  A bounded buffer that text is appended to.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/text_buffer.h"

/*
 * Starts an empty text in data, which must hold at least one byte and stays
 * the caller's.
 */
void
pnvs_text_buffer_init(PnvsTextBuffer *buffer, char *data, size_t size)
{
	buffer->data = data;
	buffer->size = size;
	buffer->len = 0;
	buffer->overflowed = false;
	data[0] = '\0';
}

/* Appends a NUL-terminated text. */
void
pnvs_text_buffer_append(PnvsTextBuffer *buffer, const char *text)
{
	pnvs_text_buffer_append_len(buffer, text, strlen(text));
}

/* Appends len bytes, or nothing at all where they do not fit. */
void
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

/* Appends one byte. */
void
pnvs_text_buffer_append_char(PnvsTextBuffer *buffer, char c)
{
	pnvs_text_buffer_append_len(buffer, &c, 1);
}
