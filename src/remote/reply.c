/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  Reading the service's reply with PostgreSQL's own JSON parser.
 *
 * A reply is an object, the envelope, whose field Model is an object too; that
 * of a search has an array of objects, the records.  The tables below name the
 * fields that are read of each; everything else is passed over, whatever it
 * is.  Where a field is repeated the last one counts, as in jsonb; where a
 * field is of an unexpected kind it counts as missing.
 *
 * The service's words are foreign bytes, and whoever answers can put anything into
 * them.  All of them pass through make_text(), which is the one place that knows
 * how long each may be and what it must not show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "core/redaction.h"
#include "remote/reply.h"
#include "remote/reply_text.h"

/* The service nests four levels deep. */
#define MAX_DEPTH 32

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* Which object the parser is in. */
typedef enum Section
{
	OTHER,
	ENVELOPE,
	MODEL,
	RECORDS,
	RECORD
} Section;

typedef enum FieldKind
{
	WORDS_FIELD,				/* cut; without keys, numbers and codes */
	REQUEST_ID_FIELD,			/* the same, but a UUID is one whatever its
								 * digits */
	VALUE_FIELD,				/* cut; a number or so, which is asked for */
	ID_FIELD,					/* whole, or none: a part of it is no use */
	TRUTH_FIELD,
	NUMBER_FIELD,
	SECTION_FIELD				/* opens another section */
} FieldKind;

typedef struct Field
{
	Section		section;
	const char *name;
	FieldKind	kind;
	size_t		offset;			/* in PnvsReply, or PnvsRecord in a record */
	size_t		max_len;		/* of a text: bytes of UTF-8; else 0 */
} Field;

/* The service's own: a UUID, a code of up to 50, a number of 15; and sentences. */
#define MAX_WORD_LEN 64
#define MAX_MESSAGE_LEN 1024
#define MAX_SERVICE_SID_LEN 256
#define UUID_LEN 36

#define REPLY_FIELD(member) offsetof(PnvsReply, member)
#define RECORD_FIELD(member) offsetof(PnvsRecord, member)

static const Field fields[] = {
	{ENVELOPE, "RequestId", REQUEST_ID_FIELD, REPLY_FIELD(request_id), MAX_WORD_LEN},
	{ENVELOPE, "Code", WORDS_FIELD, REPLY_FIELD(code), MAX_WORD_LEN},
	{ENVELOPE, "Message", WORDS_FIELD, REPLY_FIELD(message), MAX_MESSAGE_LEN},
	{ENVELOPE, "Success", TRUTH_FIELD, REPLY_FIELD(success), 0},
	{ENVELOPE, "Model", SECTION_FIELD, 0, 0},

	{MODEL, "verifyCode", ID_FIELD, REPLY_FIELD(verify_code), MAX_WORD_LEN},
	{MODEL, "verificationId", ID_FIELD, REPLY_FIELD(verification_id), PNVS_MAX_VERIFICATION_ID_LEN},
	{MODEL, "status", WORDS_FIELD, REPLY_FIELD(status), MAX_WORD_LEN},
	{MODEL, "phoneNumber", VALUE_FIELD, REPLY_FIELD(phone_number), MAX_WORD_LEN},
	{MODEL, "channel", WORDS_FIELD, REPLY_FIELD(channel), MAX_WORD_LEN},
	{MODEL, "pageNo", NUMBER_FIELD, REPLY_FIELD(page_no), 0},
	{MODEL, "totalPage", NUMBER_FIELD, REPLY_FIELD(total_pages), 0},
	{MODEL, "records", SECTION_FIELD, 0, 0},

	{RECORD, "verificationId", ID_FIELD, RECORD_FIELD(verification_id), PNVS_MAX_VERIFICATION_ID_LEN},
	{RECORD, "to", VALUE_FIELD, RECORD_FIELD(recipient), MAX_WORD_LEN},
	{RECORD, "channel", WORDS_FIELD, RECORD_FIELD(channel), MAX_WORD_LEN},
	{RECORD, "serviceSid", VALUE_FIELD, RECORD_FIELD(service_sid), MAX_SERVICE_SID_LEN},
	{RECORD, "status", WORDS_FIELD, RECORD_FIELD(status), MAX_WORD_LEN},
	{RECORD, "sendDate", NUMBER_FIELD, RECORD_FIELD(send_date_ms), 0},
	{RECORD, "updatedDate", NUMBER_FIELD, RECORD_FIELD(updated_date_ms), 0},
};

typedef struct Reader
{
	PnvsReply  *reply;
	const PnvsSecrets *secrets;
	int			records_size;
	int			depth;
	Section		sections[MAX_DEPTH + 1];	/* by depth */
	const Field *field;			/* the one whose value comes next, or NULL */
} Reader;

static PnvsReplyFault name_markup(const char *body, size_t len);
static bool is_too_deep(char *json, size_t len);
static int	count_byte(const char *text, size_t len, char byte);
static void clear_model(PnvsReply *reply);
static const Field *find_field(Section section, const char *name);
static PNVS_JSON_ACTION on_object_start(void *state);
static PNVS_JSON_ACTION on_array_start(void *state);
static PNVS_JSON_ACTION on_end(void *state);
static PNVS_JSON_ACTION on_field(void *state, char *name, bool isnull);
static PNVS_JSON_ACTION on_scalar(void *state, char *token, JsonTokenType type);
static char *make_text(const Reader *reader, const Field *field, char *token);
static void hide_secrets(const PnvsSecrets *secrets, const Field *field, char *text);
static bool is_uuid(const char *text);
static PnvsRecord *add_record(Reader *reader);
static PnvsTruth make_truth(const char *token, JsonTokenType type);
static int64 make_number(const char *token);

/*
 * Reads a reply.  *reply is filled in whatever the result; its texts are
 * allocated in the current memory context.
 */
PnvsReplyFault
pnvs_reply_parse(const char *body, size_t body_len, const PnvsSecrets *secrets,
				 PnvsReply *reply)
{
	Reader		reader = {.reply = reply,.secrets = secrets};
	JsonSemAction actions = {0};
	PnvsReplyFault markup;
	char	   *json;
	size_t		json_len;

	memset(reply, 0, sizeof(*reply));
	clear_model(reply);

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

	json = pnvs_reply_text_plain_escapes(body, body_len, &json_len);
	if (is_too_deep(json, json_len))
		return PNVS_REPLY_TOO_DEEP;

	actions.semstate = &reader;
	actions.object_start = on_object_start;
	actions.object_end = on_end;
	actions.array_start = on_array_start;
	actions.array_end = on_end;
	actions.object_field_start = on_field;
	actions.scalar = on_scalar;
	if (pg_parse_json(pnvs_make_json_lexer(json, (int) json_len, PG_UTF8, true),
					  &actions) != JSON_SUCCESS)
		return PNVS_REPLY_NOT_JSON;
	if (reply->code == NULL && reply->success == PNVS_UNKNOWN)
		return PNVS_REPLY_NOT_ENVELOPE;
	return PNVS_REPLY_OK;
}

/* Recognises what a proxy or gateway puts in the place of a reply. */
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
 * each level, so this has to be known before it runs; PostgreSQL's lexer tells,
 * which does not.
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

static void
clear_model(PnvsReply *reply)
{
	reply->verify_code = NULL;
	reply->verification_id = NULL;
	reply->status = NULL;
	reply->phone_number = NULL;
	reply->channel = NULL;
	reply->page_no = -1;
	reply->total_pages = -1;
	reply->nrecords = 0;
}

static const Field *
find_field(Section section, const char *name)
{
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		/* most names differ in their first byte */
		if (fields[i].section == section && fields[i].name[0] == name[0] &&
			strcmp(fields[i].name, name) == 0)
			return &fields[i];
	}
	return NULL;
}

/* The parser's actions: is_too_deep() has made sure that the depth fits. */
static PNVS_JSON_ACTION
on_object_start(void *state)
{
	Reader	   *reader = state;
	Section		outer = reader->sections[reader->depth];
	Section		section = OTHER;

	if (reader->depth == 0)
		section = ENVELOPE;
	else if (outer == ENVELOPE && reader->field && reader->field->kind == SECTION_FIELD)
		section = MODEL;
	else if (outer == RECORDS)
	{
		section = RECORD;
		add_record(reader);
	}
	reader->sections[++reader->depth] = section;
	reader->field = NULL;
	PNVS_JSON_ACTION_DONE;
}

static PNVS_JSON_ACTION
on_array_start(void *state)
{
	Reader	   *reader = state;
	Section		outer = reader->sections[reader->depth];
	bool		is_records = outer == MODEL && reader->field &&
	reader->field->kind == SECTION_FIELD;

	reader->sections[++reader->depth] = is_records ? RECORDS : OTHER;
	reader->field = NULL;
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
	Section		section = reader->sections[reader->depth];

	reader->field = find_field(section, name);
	if (reader->field && reader->field->kind == SECTION_FIELD)
	{
		/* a repeated Model or array of records takes the place of the first */
		if (section == ENVELOPE)
			clear_model(reader->reply);
		else
			reader->reply->nrecords = 0;
	}
	PNVS_JSON_ACTION_DONE;
}

static PNVS_JSON_ACTION
on_scalar(void *state, char *token, JsonTokenType type)
{
	Reader	   *reader = state;
	const Field *field = reader->field;
	char	   *base = (char *) reader->reply;

	reader->field = NULL;
	if (field == NULL)
		PNVS_JSON_ACTION_DONE;
	if (field->section == RECORD)
		base = (char *) &reader->reply->records[reader->reply->nrecords - 1];
	base += field->offset;

	switch (field->kind)
	{
		case WORDS_FIELD:
		case REQUEST_ID_FIELD:
		case VALUE_FIELD:
		case ID_FIELD:
			*(char **) base = type == JSON_TOKEN_NULL ? NULL : make_text(reader, field, token);
			break;
		case TRUTH_FIELD:
			*(PnvsTruth *) base = make_truth(token, type);
			break;
		case NUMBER_FIELD:
			*(int64 *) base = type == JSON_TOKEN_NULL ? -1 : make_number(token);
			break;
		case SECTION_FIELD:
			break;
	}
	PNVS_JSON_ACTION_DONE;
}

/*
 * A text as it may be kept and shown, or NULL where there is nothing left.  Secrets
 * are looked for before it is cut and converted: beyond the cut there may be the
 * rest of one, and they are in UTF-8.
 */
static char *
make_text(const Reader *reader, const Field *field, char *token)
{
	char	   *text = pnvs_reply_text_trim(token);
	size_t		longest = MAX_WORD_LEN; /* of what is hidden */
	size_t		len = strlen(text);

	if (field->kind == ID_FIELD && len > field->max_len)
		return NULL;
	for (int i = 0; i < reader->secrets->nwords; i++)
		longest = Max(longest, strlen(reader->secrets->words[i]));
	if (len > field->max_len + longest)
		text[field->max_len + longest] = '\0';
	hide_secrets(reader->secrets, field, text);

	/* not in the middle of a character */
	len = Min(len, field->max_len);
	while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
		len--;
	text[len] = '\0';
	return pnvs_reply_text_convert(text);
}

static void
hide_secrets(const PnvsSecrets *secrets, const Field *field, char *text)
{
	switch (field->kind)
	{
		case WORDS_FIELD:
			pnvs_redact(text, secrets->words, secrets->nwords, true);
			break;
		case REQUEST_ID_FIELD:
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

static PnvsRecord *
add_record(Reader *reader)
{
	PnvsReply  *reply = reader->reply;
	PnvsRecord *record;

	if (reply->records == NULL)
	{
		reader->records_size = 32;
		reply->records = palloc(reader->records_size * sizeof(PnvsRecord));
	}
	else if (reply->nrecords == reader->records_size)
	{
		reader->records_size *= 2;
		reply->records = repalloc(reply->records,
								  reader->records_size * sizeof(PnvsRecord));
	}
	record = &reply->records[reply->nrecords++];
	memset(record, 0, sizeof(*record));
	record->send_date_ms = -1;
	record->updated_date_ms = -1;
	return record;
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
