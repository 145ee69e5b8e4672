/*-------------------------------------------------------------------------
 *
 * sign.c
 *	  Signs requests with src/core, one a line, and prints every stage.
 *
 * The words of a line are separated by spaces; each is an "x" and the text in
 * hexadecimal digits, so that it may hold any byte, or a "-" for NULL:
 *
 *	  in	access key id, its secret, security token, method, host, action,
 *			version, date (decimal seconds since the epoch), nonce, and any
 *			number of pairs: parameter's name, its value
 *	  out	date, canonical query, canonical request, string to sign,
 *			authorization
 *
 * Whatever is not as expected ends the program: its peer is a test.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/encoding.h"
#include "core/signature.h"

#define MAX_PARAMETERS 64

/* How much longer than the line any stage can be: percent-encoding triples. */
#define GROWTH 3
#define FIXED_SIZE 4096

enum
{
	ACCESS_KEY_ID, ACCESS_KEY_SECRET, SECURITY_TOKEN, METHOD, HOST, ACTION, VERSION,
	DATE, NONCE, FIRST_PARAMETER
};

#define MAX_WORDS (FIRST_PARAMETER + 2 * MAX_PARAMETERS)

static void sign_line(char *line);
static int	split(char *line, char *words[MAX_WORDS]);
static char *decode(char *word);
static void new_buffer(PnvsTextBuffer *buffer, size_t size);
static void print(PnvsTextBuffer *stage, char end);
static void must(bool holds, const char *what);

int
main(void)
{
	char	   *line = NULL;
	size_t		size = 0;

	while (getline(&line, &size, stdin) > 0)
	{
		sign_line(line);
		must(fflush(stdout) == 0, "standard output is closed");
	}
	free(line);
	return 0;
}

static void
sign_line(char *line)
{
	size_t		size = GROWTH * strlen(line) + FIXED_SIZE;
	char	   *words[MAX_WORDS];
	int			nparameters = (split(line, words) - FIRST_PARAMETER) / 2;
	char		date[PNVS_UTC_TIMESTAMP_SIZE];
	PnvsQueryParameter parameters[MAX_PARAMETERS];
	PnvsSignedRequest request;
	PnvsTextBuffer stamp;
	PnvsTextBuffer query;
	PnvsTextBuffer canonical_request;
	PnvsTextBuffer string_to_sign;
	PnvsTextBuffer authorization;

	for (int i = 0; i < nparameters; i++)
	{
		parameters[i].name = words[FIRST_PARAMETER + 2 * i];
		parameters[i].value = words[FIRST_PARAMETER + 2 * i + 1];
	}
	new_buffer(&stamp, sizeof(date));
	new_buffer(&query, size);
	new_buffer(&canonical_request, size);
	new_buffer(&string_to_sign, PNVS_STRING_TO_SIGN_SIZE);
	new_buffer(&authorization, size);

	must(pnvs_encoding_utc_timestamp(strtoll(words[DATE], NULL, 10), date), "the date");
	pnvs_text_buffer_append(&stamp, date);
	must(pnvs_signature_canonical_query(&query, parameters, nparameters), "the query");
	request.method = words[METHOD];
	request.host = words[HOST];
	request.action = words[ACTION];
	request.version = words[VERSION];
	request.date = date;
	request.nonce = words[NONCE];
	request.security_token = words[SECURITY_TOKEN];
	request.canonical_query = query.data;
	must(pnvs_signature_canonical_request(&canonical_request, &request), "the request");
	must(pnvs_signature_string_to_sign(&string_to_sign, &canonical_request), "the hash");
	must(pnvs_signature_authorization(&authorization, &string_to_sign,
									  words[ACCESS_KEY_ID], words[ACCESS_KEY_SECRET],
									  words[SECURITY_TOKEN] != NULL), "the signature");

	print(&stamp, ' ');
	print(&query, ' ');
	print(&canonical_request, ' ');
	print(&string_to_sign, ' ');
	print(&authorization, '\n');
}

/* Returns the number of words, each decoded in its place. */
static int
split(char *line, char *words[MAX_WORDS])
{
	int			n = 0;

	for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n"))
	{
		must(n < MAX_WORDS, "too many words");
		words[n++] = decode(word);
	}
	must(n >= FIRST_PARAMETER && (n - FIRST_PARAMETER) % 2 == 0, "the number of words");
	return n;
}

static char *
decode(char *word)
{
	size_t		len = strlen(word) / 2;

	if (strcmp(word, "-") == 0)
		return NULL;
	must(word[0] == 'x', "a word without its x");
	for (size_t i = 0; i < len; i++)
	{
		unsigned int byte;

		must(sscanf(word + 1 + 2 * i, "%2x", &byte) == 1 && byte != 0, "a byte");
		word[i] = (char) byte;
	}
	word[len] = '\0';
	return word;
}

static void
new_buffer(PnvsTextBuffer *buffer, size_t size)
{
	char	   *data = malloc(size);

	must(data != NULL, "out of memory");
	pnvs_text_buffer_init(buffer, data, size);
}

/* Not with the encoder of src/core, which is what is being tested. */
static void
print(PnvsTextBuffer *stage, char end)
{
	putchar('x');
	for (size_t i = 0; i < stage->len; i++)
		printf("%02x", (unsigned char) stage->data[i]);
	putchar(end);
	free(stage->data);
}

static void
must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "test/oracle/sign: %s\n", what);
	exit(1);
}
