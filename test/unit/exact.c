/*-------------------------------------------------------------------------
 *
 * exact.c
 *	  Memory of exactly the size that is asked for.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"

/* Filled with a byte that no test expects, so that a missing NUL shows. */
void *
exact_alloc(size_t size)
{
	void	   *memory = malloc(size);

	if (memory == NULL)
	{
		fprintf(stderr, "out of memory\n");
		abort();
	}
	memset(memory, '!', size);
	return memory;
}

char *
exact_copy(const char *text)
{
	size_t		size = strlen(text) + 1;

	return memcpy(exact_alloc(size), text, size);
}

void
exact_buffer_init(PnvsTextBuffer *buffer, size_t size)
{
	pnvs_text_buffer_init(buffer, exact_alloc(size), size);
}

void
exact_buffer_free(PnvsTextBuffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
}
