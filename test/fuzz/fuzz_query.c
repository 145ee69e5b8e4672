/*-------------------------------------------------------------------------
 *
 * fuzz_query.c
 *	  Fuzzes canonicalisation against a slow and obvious one.
 *
 * The input is a sequence of NUL-terminated texts: name, value, name, value.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/signature.h"
#include "fuzz.h"

#define MAX_PARAMETERS 8
#define OUT_SIZE 4096

static int	split(char *text, size_t len, PnvsQueryParameter *parameters);
static int	by_name(const void *a, const void *b);
static bool slow_query(PnvsQueryParameter *parameters, int n, char *out, size_t size);
static bool has_repeated_name(const PnvsQueryParameter *parameters, int n);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);
	size_t		size = len > 0 ? (size_t) data[0] * 16 + 1 : 1;
	char	   *out = malloc(size);
	char		expected[OUT_SIZE];
	PnvsQueryParameter parameters[MAX_PARAMETERS];
	PnvsTextBuffer query;
	int			n = split(text, len, parameters);
	bool		fits;

	FUZZ_ASSERT(out != NULL);
	pnvs_text_buffer_init(&query, out, size);
	fits = pnvs_signature_canonical_query(&query, parameters, n);
	FUZZ_ASSERT(query.len < size && out[query.len] == '\0');

	/* the order of equal names is nobody's promise */
	if (!has_repeated_name(parameters, n) &&
		slow_query(parameters, n, expected, sizeof(expected)))
	{
		FUZZ_ASSERT(fits == (strlen(expected) < size));
		FUZZ_ASSERT(!fits || strcmp(out, expected) == 0);
	}
	free(out);
	free(text);
	return 0;
}

static int
split(char *text, size_t len, PnvsQueryParameter *parameters)
{
	char	   *end = text + len;
	int			n = 0;

	while (n < MAX_PARAMETERS && text < end)
	{
		parameters[n].name = text;
		text += strlen(text) + 1;
		parameters[n++].value = text < end ? text : NULL;
		if (text < end)
			text += strlen(text) + 1;
	}
	return n;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const PnvsQueryParameter *) a)->name,
				  ((const PnvsQueryParameter *) b)->name);
}

static bool
slow_query(PnvsQueryParameter *parameters, int n, char *out, size_t size)
{
	const char *plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	size_t		len = 0;
	bool		first = true;

	qsort(parameters, (size_t) n, sizeof(*parameters), by_name);
	out[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		const char *parts[] = {parameters[i].name, parameters[i].value};

		if (parameters[i].value == NULL)
			continue;
		for (int part = 0; part < 2; part++)
		{
			len += (size_t) snprintf(out + len, size - len, "%s",
									 part ? "=" : first ? "" : "&");
			for (const char *c = parts[part]; *c; c++)
			{
				if (len + 8 > size)
					return false;
				len += (size_t) snprintf(out + len, size - len,
										 strchr(plain, *c) ? "%c" : "%%%02X",
										 (unsigned char) *c);
			}
		}
		first = false;
	}
	return true;
}

static bool
has_repeated_name(const PnvsQueryParameter *parameters, int n)
{
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (strcmp(parameters[i].name, parameters[j].name) == 0)
				return true;
		}
	}
	return false;
}
