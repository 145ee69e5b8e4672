/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzzers share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_FUZZ_H
#define PNVS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not assert(), which a build may switch off. */
#define FUZZ_ASSERT(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

extern int	LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);

/* A malloc'ed copy that ends right behind its NUL, so that overruns are seen. */
static inline char *
fuzz_text(const unsigned char *data, size_t len)
{
	char	   *text = malloc(len + 1);

	FUZZ_ASSERT(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

#endif							/* PNVS_FUZZ_H */
