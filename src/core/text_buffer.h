/*-------------------------------------------------------------------------
 *
 * text_buffer.h
 *	  A bounded buffer that text is appended to.
 *
 * The core floor allocates nothing, so its callers bring the memory.  An
 * append that does not fit writes nothing and marks the buffer as overflowed;
 * every later append is then ignored too, so that a chain of appends needs one
 * check at its end.  The content is always NUL-terminated.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TEXT_BUFFER_H
#define PNVS_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct PnvsTextBuffer
{
	char	   *data;
	size_t		size;			/* bytes in data, the NUL included */
	size_t		len;			/* bytes used, the NUL excluded */
	bool		overflowed;
} PnvsTextBuffer;

extern void pnvs_text_buffer_init(PnvsTextBuffer *buffer, char *data, size_t size);
extern void pnvs_text_buffer_append(PnvsTextBuffer *buffer, const char *text);
extern void pnvs_text_buffer_append_len(PnvsTextBuffer *buffer, const char *text,
										size_t len);
extern void pnvs_text_buffer_append_char(PnvsTextBuffer *buffer, char c);

#endif							/* PNVS_TEXT_BUFFER_H */
