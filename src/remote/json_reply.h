/*-------------------------------------------------------------------------
 *
 * json_reply.h
 *	  Reads a JSON reply into a struct, by a table of the fields that it may have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_JSON_REPLY_H
#define PNVS_JSON_REPLY_H

#include "core/operation.h"
#include "core/outcome.h"

typedef enum PnvsReplyFault
{
	PNVS_REPLY_OK,
	PNVS_REPLY_EMPTY,
	PNVS_REPLY_HTML,
	PNVS_REPLY_XML,
	PNVS_REPLY_NOT_UTF8,
	PNVS_REPLY_TOO_DEEP,
	PNVS_REPLY_NOT_JSON,
	PNVS_REPLY_NOT_ENVELOPE		/* JSON, but none of the service's */
} PnvsReplyFault;

/*
 * Words of the request that no text of its reply may repeat, in UTF-8: first the
 * credentials, then numbers and codes.  None is empty.
 */
#define PNVS_MAX_SECRETS (2 + PNVS_MAX_PARAMETERS)

typedef struct PnvsSecrets
{
	const char *words[PNVS_MAX_SECRETS];
	int			nwords;
	int			ncredentials;
} PnvsSecrets;

/*
 * The type of a field, and of the member that it is read into.  A text is in the
 * database's encoding, without surrounding white space, no longer than the table
 * allows and without secrets; NULL if the reply has none, or an empty one.
 */
typedef enum PnvsJsonType
{
	PNVS_JSON_WORDS,			/* text: cut; without any secret */
	PNVS_JSON_REQUEST_ID,		/* text: the same, but the digits of a UUID
								 * stay */
	PNVS_JSON_VALUE,			/* text: cut; without credentials */
	PNVS_JSON_ID,				/* text: NULL if too long; without credentials */
	PNVS_JSON_TRUTH,			/* PnvsTruth */
	PNVS_JSON_NUMBER,			/* int64: whole, or -1 */
	PNVS_JSON_OBJECT,			/* its fields are read into the same struct */
	PNVS_JSON_ARRAY				/* a pointer to structs, one for each object,
								 * and an int with their number */
} PnvsJsonType;

typedef struct PnvsJsonField
{
	const char *name;
	PnvsJsonType type;
	size_t		offset;			/* of the member; none for an object */
	size_t		max_len;		/* of a text, in bytes of UTF-8 */
	const struct PnvsJsonObject *object;	/* of an object or an array's */
	size_t		count_offset;	/* of an array's number */
} PnvsJsonField;

typedef struct PnvsJsonObject
{
	const PnvsJsonField *fields;
	int			nfields;
	size_t		size;			/* of the struct */
} PnvsJsonObject;

extern PnvsReplyFault pnvs_json_reply_read(const char *body, size_t body_len,
										   const PnvsJsonObject *object,
										   const PnvsSecrets *secrets, void *reply);

#endif							/* PNVS_JSON_REPLY_H */
