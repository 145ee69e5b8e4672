/*-------------------------------------------------------------------------
 *
 * fuzz_reply.c
 *	  Fuzzes the reader of replies, outside of a server: by the table of the
 *	  verification service, and by one of another shape.
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

/* An array in an array, and members of each type. */
typedef struct Leaf
{
	char	   *id;
	PnvsTruth	truth;
	int64		number;
} Leaf;

typedef struct Branch
{
	Leaf	   *leaves;
	int			nleaves;
	int64		number;
} Branch;

typedef struct Tree
{
	char	   *words;
	Branch	   *branches;
	int			nbranches;
} Tree;

static const PnvsJsonField leaf_fields[] = {
	{"id", PNVS_JSON_ID, offsetof(Leaf, id), 8, NULL, 0},
	{"truth", PNVS_JSON_TRUTH, offsetof(Leaf, truth), 0, NULL, 0},
	{"number", PNVS_JSON_NUMBER, offsetof(Leaf, number), 0, NULL, 0},
};
static const PnvsJsonObject leaf = {leaf_fields, lengthof(leaf_fields), sizeof(Leaf)};
static const PnvsJsonField branch_fields[] = {
	{"Model", PNVS_JSON_ARRAY, offsetof(Branch, leaves), 0, &leaf, offsetof(Branch, nleaves)},
	{"pageNo", PNVS_JSON_NUMBER, offsetof(Branch, number), 0, NULL, 0},
};
static const PnvsJsonObject branch = {branch_fields, lengthof(branch_fields), sizeof(Branch)};
static const PnvsJsonField model_fields[] = {
	{"records", PNVS_JSON_ARRAY, offsetof(Tree, branches), 0, &branch, offsetof(Tree, nbranches)},
	{"status", PNVS_JSON_WORDS, offsetof(Tree, words), 8, NULL, 0},
};
static const PnvsJsonObject model = {model_fields, lengthof(model_fields), sizeof(Tree)};
static const PnvsJsonField tree_fields[] = {
	{"Model", PNVS_JSON_OBJECT, 0, 0, &model, 0},
};
static const PnvsJsonObject tree_object = {tree_fields, lengthof(tree_fields), sizeof(Tree)};

static Block *blocks = NULL;
static int	encoding = PG_UTF8;

static void free_blocks(void);
static void check_text(const char *text);
static void check_reply(const PnvsReply *reply);
static void check_tree(const Tree *tree);
static void check_known_tree(void);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	check_known_tree();
	return 0;
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	PnvsReply	reply;
	Tree		tree;
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
	if (pnvs_json_reply_read(body, len, &tree_object, &secrets, &tree) == PNVS_REPLY_OK)
		check_tree(&tree);
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

static void
check_tree(const Tree *tree)
{
	check_text(tree->words);
	for (int i = 0; i < tree->nbranches; i++)
	{
		FUZZ_ASSERT(tree->branches[i].number >= -1);
		for (int j = 0; j < tree->branches[i].nleaves; j++)
		{
			check_text(tree->branches[i].leaves[j].id);
			FUZZ_ASSERT(tree->branches[i].leaves[j].number >= -1);
		}
	}
}

/* More elements than an array begins with, a repeated array, and what is skipped. */
static void
check_known_tree(void)
{
	static const char begin[] = "{\"Model\": {\"records\": [{\"pageNo\": 9}], \"status\": \" testid, no \", "
	"\"records\": [7, [{}], {\"pageNo\": 3, \"Model\": [";
	static const char leaf_text[] = "{\"id\": \"a\", \"truth\": true, \"number\": \"12\", \"other\": {\"id\": \"b\"}}, ";
	static const char end[] = "{\"id\": \"too long by far\", \"number\": -1}]}, {}]}}";
	char		body[sizeof(begin) + 100 * sizeof(leaf_text) + sizeof(end)];
	Tree		tree;
	const Leaf *leaves;

	strcpy(body, begin);
	for (int i = 0; i < 100; i++)
		strcat(body, leaf_text);
	strcat(body, end);
	FUZZ_ASSERT(pnvs_json_reply_read(body, strlen(body), &tree_object, &secrets, &tree) ==
				PNVS_REPLY_OK);
	FUZZ_ASSERT(strcmp(tree.words, "******, ") == 0);
	FUZZ_ASSERT(tree.nbranches == 2 && tree.branches[0].number == 3);
	FUZZ_ASSERT(tree.branches[1].number == -1 && tree.branches[1].nleaves == 0);
	FUZZ_ASSERT(tree.branches[0].nleaves == 101);
	leaves = tree.branches[0].leaves;
	for (int i = 0; i < 100; i++)
		FUZZ_ASSERT(strcmp(leaves[i].id, "a") == 0 && leaves[i].truth == PNVS_TRUE &&
					leaves[i].number == 12);
	FUZZ_ASSERT(leaves[100].id == NULL && leaves[100].truth == PNVS_UNKNOWN &&
				leaves[100].number == -1);
	free_blocks();
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
