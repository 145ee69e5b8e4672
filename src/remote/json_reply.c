/*-------------------------------------------------------------------------
 *
 * json_reply.c
 *	  Reads a JSON reply into a struct, by a table of the fields that it may have.
 *
 * PostgreSQL's own JSON parser reads; a field that is not in the table is skipped,
 * whatever it is.  If a field is repeated the last one counts, as in jsonb; a field
 * of an unexpected type counts as missing.
 *
 * The texts of a reply are foreign bytes, and whoever answers can put anything into
 * them.  All of them pass through make_text(), the only place that knows how long
 * each may be and what it must not show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "core/redaction.h"
#include "remote/json_reply.h"
#include "remote/json_text.h"

/* The service nests four levels deep. */
#define MAX_DEPTH 32

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* An array has room for so many structs at first, and twice as many when it is full. */
#define FIRST_ARRAY_SIZE 32

#define UUID_LEN 36

/* An object or an array that the parser is in. */
typedef struct Level
{
	const PnvsJsonObject *object;	/* or NULL: its fields are skipped */
	const PnvsJsonField *array; /* or NULL: its elements are skipped */
	char	   *base;			/* the struct that it is read into */
} Level;

typedef struct Reader
{
	const PnvsJsonObject *object;
	void	   *reply;
	const PnvsSecrets *secrets;
	int			depth;
	Level		levels[MAX_DEPTH + 1];	/* by depth */
	const PnvsJsonField *field; /* the one whose value comes next, or NULL */
} Reader;

static PnvsReplyFault name_markup(const char *body, size_t len);
static bool is_too_deep(char *json, size_t len);
static int	count_byte(const char *text, size_t len, char byte);
static void clear(const PnvsJsonObject *object, char *base);
static const PnvsJsonField *find_field(const PnvsJsonObject *object, const char *name);
static PNVS_JSON_ACTION on_object_start(void *state);
static void enter(Reader *reader, const Level *level);
static PNVS_JSON_ACTION on_array_start(void *state);
static PNVS_JSON_ACTION on_end(void *state);
static PNVS_JSON_ACTION on_field(void *state, char *name, bool isnull);
static PNVS_JSON_ACTION on_scalar(void *state, char *token, JsonTokenType type);
static char *add_element(const PnvsJsonField *array, char *base);
static char *make_text(const PnvsSecrets *secrets, const PnvsJsonField *field, char *token);
static void hide_secrets(const PnvsSecrets *secrets, PnvsJsonType type, char *text);
static bool is_uuid(const char *text);
static PnvsTruth make_truth(const char *token, JsonTokenType type);
static int64 make_number(const char *token);

/*
 * Reads a body into reply, a struct of the object's table.  Whatever the result,
 * each of its members has a value; texts and arrays are allocated in the current
 * memory context.
 */
PnvsReplyFault
pnvs_json_reply_read(const char *body, size_t body_len, const PnvsJsonObject *object,
					 const PnvsSecrets *secrets, void *reply)
{
	Reader		reader = {.object = object,.reply = reply,.secrets = secrets};
	JsonSemAction actions = {0};
	PnvsReplyFault markup;
	char	   *json;
	size_t		json_len;

	memset(reply, 0, object->size);
	clear(object, reply);

	if (body_len >= 3 && memcmp(body, BYTE_ORDER_MARK, 3) == 0)
	{
		body += 3;
		body_len -= 3;
	}
	markup = name_markup(body, body_len);
	if (markup != PNVS_REPLY_OK)
		return markup;
	if (pg_encoding_verifymbstr(PG_UTF8, body, (int) body_len) != (int) body_len)
		return PNVS_REPLY_NOT_UTF8;

	json = pnvs_json_text_plain_escapes(body, body_len, &json_len);
	if (is_too_deep(json, json_len))
		return PNVS_REPLY_TOO_DEEP;

	actions.semstate = &reader;
	actions.object_start = on_object_start;
	actions.object_end = on_end;
	actions.array_start = on_array_start;
	actions.array_end = on_end;
	actions.object_field_start = on_field;
	actions.scalar = on_scalar;
	return pg_parse_json(pnvs_make_json_lexer(json, (int) json_len, PG_UTF8, true),
						 &actions) == JSON_SUCCESS ? PNVS_REPLY_OK : PNVS_REPLY_NOT_JSON;
}

/* Recognises the pages by which proxies and gateways answer. */
static PnvsReplyFault
name_markup(const char *body, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", *body) != NULL && *body != '\0')
	{
		body++;
		len--;
	}
	if (len == 0)
		return PNVS_REPLY_EMPTY;
	if (*body != '<')
		return PNVS_REPLY_OK;
	if ((len >= 5 && pg_strncasecmp(body, "<?xml", 5) == 0) ||
		(len >= 6 && pg_strncasecmp(body, "<Error", 6) == 0))
		return PNVS_REPLY_XML;
	return PNVS_REPLY_HTML;
}

/*
 * Whether a JSON text nests deeper than MAX_DEPTH.  The parser calls itself for
 * each level, so the lexer, which does not, has to find out before.
 */
static bool
is_too_deep(char *json, size_t len)
{
	JsonLexContext *lexer;
	int			depth = 0;

	if (count_byte(json, len, '{') + count_byte(json, len, '[') <= MAX_DEPTH)
		return false;

	lexer = pnvs_make_json_lexer(json, (int) len, PG_UTF8, false);

	while (json_lex(lexer) == JSON_SUCCESS && lexer->token_type != JSON_TOKEN_END)
	{
		if (lexer->token_type == JSON_TOKEN_OBJECT_START ||
			lexer->token_type == JSON_TOKEN_ARRAY_START)
			depth++;
		else if (lexer->token_type == JSON_TOKEN_OBJECT_END ||
				 lexer->token_type == JSON_TOKEN_ARRAY_END)
			depth--;
		if (depth > MAX_DEPTH)
			return true;
	}
	return false;
}

static int
count_byte(const char *text, size_t len, char byte)
{
	const char *end = text + len;
	int			count = 0;

	while ((text = memchr(text, byte, end - text)) != NULL)
	{
		count++;
		text++;
	}
	return count;
}

/* As if the reply had none of the object's fields.  Arrays keep their room. */
static void
clear(const PnvsJsonObject *object, char *base)
{
	for (int i = 0; i < object->nfields; i++)
	{
		const PnvsJsonField *field = &object->fields[i];

		switch (field->type)
		{
			case PNVS_JSON_WORDS:
			case PNVS_JSON_REQUEST_ID:
			case PNVS_JSON_VALUE:
			case PNVS_JSON_ID:
				*(char **) (base + field->offset) = NULL;
				break;
			case PNVS_JSON_TRUTH:
				*(PnvsTruth *) (base + field->offset) = PNVS_UNKNOWN;
				break;
			case PNVS_JSON_NUMBER:
				*(int64 *) (base + field->offset) = -1;
				break;
			case PNVS_JSON_OBJECT:
				clear(field->object, base);
				break;
			case PNVS_JSON_ARRAY:
				*(int *) (base + field->count_offset) = 0;
				break;
		}
	}
}

static const PnvsJsonField *
find_field(const PnvsJsonObject *object, const char *name)
{
	for (int i = 0; i < object->nfields; i++)
	{
		/* most names differ in their first byte */
		if (object->fields[i].name[0] == name[0] && strcmp(object->fields[i].name, name) == 0)
			return &object->fields[i];
	}
	return NULL;
}

/* The parser's actions: is_too_deep() has made sure that the depth fits. */
static PNVS_JSON_ACTION
on_object_start(void *state)
{
	Reader	   *reader = state;
	const Level *outer = &reader->levels[reader->depth];
	Level		level = {0};

	if (reader->depth == 0)
	{
		level.object = reader->object;
		level.base = reader->reply;
	}
	else if (outer->array)
	{
		level.object = outer->array->object;
		level.base = add_element(outer->array, outer->base);
	}
	else if (reader->field && reader->field->type == PNVS_JSON_OBJECT)
	{
		level.object = reader->field->object;
		level.base = outer->base;
	}
	enter(reader, &level);
	PNVS_JSON_ACTION_DONE;
}

/* The object or array that begins is the level of what follows. */
static void
enter(Reader *reader, const Level *level)
{
	reader->levels[++reader->depth] = *level;
	reader->field = NULL;
}

static PNVS_JSON_ACTION
on_array_start(void *state)
{
	Reader	   *reader = state;
	Level		level = {.base = reader->levels[reader->depth].base};

	if (reader->field && reader->field->type == PNVS_JSON_ARRAY)
		level.array = reader->field;
	enter(reader, &level);
	PNVS_JSON_ACTION_DONE;
}

static PNVS_JSON_ACTION
on_end(void *state)
{
	Reader	   *reader = state;

	reader->depth--;
	reader->field = NULL;
	PNVS_JSON_ACTION_DONE;
}

static PNVS_JSON_ACTION
on_field(void *state, char *name, bool isnull)
{
	Reader	   *reader = state;
	const Level *level = &reader->levels[reader->depth];

	reader->field = level->object ? find_field(level->object, name) : NULL;
	if (reader->field == NULL)
		PNVS_JSON_ACTION_DONE;
	/* a repeated object or array takes the place of the first */
	if (reader->field->type == PNVS_JSON_OBJECT)
		clear(reader->field->object, level->base);
	else if (reader->field->type == PNVS_JSON_ARRAY)
		*(int *) (level->base + reader->field->count_offset) = 0;
	PNVS_JSON_ACTION_DONE;
}

static PNVS_JSON_ACTION
on_scalar(void *state, char *token, JsonTokenType type)
{
	Reader	   *reader = state;
	const PnvsJsonField *field = reader->field;
	char	   *member;

	reader->field = NULL;
	if (field == NULL)
		PNVS_JSON_ACTION_DONE;
	member = reader->levels[reader->depth].base + field->offset;
	switch (field->type)
	{
		case PNVS_JSON_WORDS:
		case PNVS_JSON_REQUEST_ID:
		case PNVS_JSON_VALUE:
		case PNVS_JSON_ID:
			*(char **) member = type == JSON_TOKEN_NULL ? NULL :
				make_text(reader->secrets, field, token);
			break;
		case PNVS_JSON_TRUTH:
			*(PnvsTruth *) member = make_truth(token, type);
			break;
		case PNVS_JSON_NUMBER:
			*(int64 *) member = type == JSON_TOKEN_NULL ? -1 : make_number(token);
			break;
		case PNVS_JSON_OBJECT:
		case PNVS_JSON_ARRAY:
			break;
	}
	PNVS_JSON_ACTION_DONE;
}

/* Another struct at the end of an array, cleared. */
static char *
add_element(const PnvsJsonField *array, char *base)
{
	size_t		size = array->object->size;
	char	  **elements = (char **) (base + array->offset);
	int		   *count = (int *) (base + array->count_offset);
	char	   *element;

	if (*elements == NULL)
		*elements = palloc(FIRST_ARRAY_SIZE * size);
	/* full, if it has not been fuller before */
	else if (*count >= FIRST_ARRAY_SIZE && (*count & (*count - 1)) == 0)
		*elements = repalloc(*elements, 2 * *count * size);
	element = *elements + (*count)++ * size;
	memset(element, 0, size);
	clear(array->object, element);
	return element;
}

/*
 * A text as it may be kept and shown, or NULL if nothing is left.  Secrets are
 * looked for before it is cut and converted: the cut may go through one, and they
 * are in UTF-8.
 */
static char *
make_text(const PnvsSecrets *secrets, const PnvsJsonField *field, char *token)
{
	char	   *text = pnvs_json_text_trim(token);
	size_t		longest = UUID_LEN; /* of what is hidden or kept */
	size_t		len = strlen(text);

	if (field->type == PNVS_JSON_ID && len > field->max_len)
		return NULL;
	for (int i = 0; i < secrets->nwords; i++)
		longest = Max(longest, strlen(secrets->words[i]));
	if (len > field->max_len + longest)
		text[field->max_len + longest] = '\0';
	hide_secrets(secrets, field->type, text);

	/* not in the middle of a character */
	len = Min(len, field->max_len);
	while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
		len--;
	text[len] = '\0';
	return pnvs_json_text_convert(text);
}

static void
hide_secrets(const PnvsSecrets *secrets, PnvsJsonType type, char *text)
{
	switch (type)
	{
		case PNVS_JSON_WORDS:
			pnvs_redact(text, secrets->words, secrets->nwords, true);
			break;
		case PNVS_JSON_REQUEST_ID:
			pnvs_redact(text, secrets->words, secrets->nwords, !is_uuid(text));
			break;
		default:
			pnvs_redact(text, secrets->words, secrets->ncredentials, false);
			break;
	}
}

/* Eight hexadecimal digits, three times four, and twelve. */
static bool
is_uuid(const char *text)
{
	if (strlen(text) != UUID_LEN)
		return false;
	for (int i = 0; i < UUID_LEN; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

/* true and false, as JSON has them or as texts. */
static PnvsTruth
make_truth(const char *token, JsonTokenType type)
{
	if (type == JSON_TOKEN_TRUE ||
		(type == JSON_TOKEN_STRING && pg_strcasecmp(token, "true") == 0))
		return PNVS_TRUE;
	if (type == JSON_TOKEN_FALSE ||
		(type == JSON_TOKEN_STRING && pg_strcasecmp(token, "false") == 0))
		return PNVS_FALSE;
	return PNVS_UNKNOWN;
}

/* A whole number that is not negative, also as a text; -1 for anything else. */
static int64
make_number(const char *token)
{
	char	   *end;
	int64		value;

	errno = 0;
	value = strtoi64(token, &end, 10);
	return end != token && *end == '\0' && errno == 0 && value >= 0 ? value : -1;
}
