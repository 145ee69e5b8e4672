/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  The verification service's reply, read into a struct.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REPLY_H
#define PNVS_REPLY_H

#include "remote/json_reply.h"

/* The only status of a checked code that the service documents. */
#define PNVS_STATUS_APPROVED "approved"

/* A text is NULL and a number -1 if the reply has none. */
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
