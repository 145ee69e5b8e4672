/*-------------------------------------------------------------------------
 *
 * fuzz_reply.c
 *	  Fuzzes the reader of replies, outside of a server.
 *
 * PostgreSQL's JSON parser comes from libpgcommon.  What else of the server the
 * reader calls stands below: memory that is freed after each input, and a
 * database whose encoding, by the input's first byte, is UTF-8 or LATIN1.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "fuzz.h"
#include "remote/reply.h"

typedef struct Block
{
	struct Block *next;
	size_t		size;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} Block;

/* As they stand in the corpus. */
static const PnvsSecrets secrets = {{"testid", "6281234567890", "caf\xC3\xA9"}, 3, 1};

static Block *blocks = NULL;
static int	encoding = PG_UTF8;

static void free_blocks(void);
static void check_text(const char *text);
static void check_reply(const PnvsReply *reply);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	PnvsReply	reply;
	char	   *body;

	if (len == 0)
		return 0;
	encoding = data[0] & 1 ? PG_LATIN1 : PG_UTF8;
	len--;

	/* exactly as large as it is: a body is not NUL-terminated */
	body = malloc(len ? len : 1);
	FUZZ_ASSERT(body != NULL);
	if (len > 0)
		memcpy(body, data + 1, len);
	if (pnvs_reply_parse(body, len, &secrets, &reply) == PNVS_REPLY_OK)
		check_reply(&reply);
	free(body);
	free_blocks();
	return 0;
}

static void
check_reply(const PnvsReply *reply)
{
	FUZZ_ASSERT(reply->code != NULL || reply->success != PNVS_UNKNOWN);
	check_text(reply->request_id);
	check_text(reply->code);
	check_text(reply->message);
	check_text(reply->verify_code);
	check_text(reply->verification_id);
	check_text(reply->status);
	check_text(reply->phone_number);
	check_text(reply->channel);
	for (int i = 0; i < reply->nrecords; i++)
	{
		check_text(reply->records[i].verification_id);
		check_text(reply->records[i].recipient);
		check_text(reply->records[i].channel);
		check_text(reply->records[i].service_sid);
		check_text(reply->records[i].status);
		FUZZ_ASSERT(reply->records[i].send_date_ms >= -1);
		FUZZ_ASSERT(reply->records[i].updated_date_ms >= -1);
	}
}

/* Every text can be stored: not empty, and whole in the database's encoding. */
static void
check_text(const char *text)
{
	if (text == NULL)
		return;
	FUZZ_ASSERT(text[0] != '\0');
	FUZZ_ASSERT(strstr(text, secrets.words[0]) == NULL);
	if (encoding == PG_UTF8)
		FUZZ_ASSERT(pg_encoding_verifymbstr(PG_UTF8, text, (int) strlen(text)) ==
					(int) strlen(text));
}

static void
free_blocks(void)
{
	while (blocks != NULL)
	{
		Block	   *block = blocks;

		blocks = block->next;
		free(block);
	}
}

/* --- of the server */

void *
palloc(Size size)
{
	Block	   *block = malloc(offsetof(Block, data) + size);

	FUZZ_ASSERT(block != NULL);
	block->next = blocks;
	block->size = size;
	blocks = block;
	return block->data;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, Size size)
{
	Block	   *old = (Block *) ((char *) pointer - offsetof(Block, data));

	return memcpy(palloc(size), pointer, Min(size, old->size));
}

void
pfree(void *pointer)
{
}

char *
pnstrdup(const char *text, Size len)
{
	char	   *copy;

	len = strnlen(text, len);
	copy = memcpy(palloc(len + 1), text, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *text)
{
	return pnstrdup(text, strlen(text));
}

int
GetDatabaseEncoding(void)
{
	return encoding;
}

Oid
FindDefaultConversionProc(int32 for_encoding, int32 to_encoding)
{
	return 1;
}

/* UTF-8 to LATIN1, up to the first character that it does not have. */
int
pg_do_encoding_conversion_buf(Oid proc, int src_encoding, int dest_encoding,
							  unsigned char *src, int srclen,
							  unsigned char *dest, int destlen, bool noError)
{
	int			taken = 0;

	while (taken < srclen)
	{
		pg_wchar	c = utf8_to_unicode(src + taken);

		FUZZ_ASSERT(destlen > 1);
		if (c > 0xFF)
			break;
		*dest++ = (unsigned char) c;
		destlen--;
		taken += pg_utf_mblen(src + taken);
	}
	*dest = '\0';
	return taken;
}
