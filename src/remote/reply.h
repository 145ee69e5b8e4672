/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  The service's reply, read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REPLY_H
#define PNVS_REPLY_H

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
	PNVS_REPLY_NOT_ENVELOPE		/* JSON, but with neither Code nor Success */
} PnvsReplyFault;

/*
 * What the request said that no word of its reply may repeat, in UTF-8: first the
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
 * Texts are in the database's encoding, without surrounding white space, of limited
 * length and without secrets; NULL where the reply has none, or an empty one.
 * Numbers are -1 there.
 */
typedef struct PnvsRecord
{
	char	   *verification_id;
	char	   *recipient;
	char	   *channel;
	char	   *service_sid;
	char	   *status;
	int64		send_date_ms;	/* since the epoch */
	int64		updated_date_ms;
} PnvsRecord;

typedef struct PnvsReply
{
	char	   *request_id;
	char	   *code;
	char	   *message;
	PnvsTruth	success;
	/* of Model: */
	char	   *verify_code;
	char	   *verification_id;
	char	   *status;
	char	   *phone_number;
	char	   *channel;
	int64		page_no;
	int64		total_pages;
	PnvsRecord *records;
	int			nrecords;
} PnvsReply;

extern PnvsReplyFault pnvs_reply_parse(const char *body, size_t body_len,
									   const PnvsSecrets *secrets, PnvsReply *reply);

#endif							/* PNVS_REPLY_H */
