/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  The fields of the verification service's reply.
 *
 * A reply is an object whose field Model is an object too; the Model of a search
 * has an array of objects, the records.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "remote/reply.h"

/* The service's own are a UUID, a code of up to 50, a number of 15; and sentences. */
#define MAX_WORD_LEN 64
#define MAX_MESSAGE_LEN 1024
#define MAX_SERVICE_SID_LEN 256

#define REPLY_MEMBER(member) offsetof(PnvsReply, member)
#define RECORD_MEMBER(member) offsetof(PnvsRecord, member)
#define OBJECT(fields, type) {fields, lengthof(fields), sizeof(type)}

static const PnvsJsonField record_fields[] = {
	{"verificationId", PNVS_JSON_ID, RECORD_MEMBER(verification_id), PNVS_MAX_VERIFICATION_ID_LEN, NULL, 0},
	{"to", PNVS_JSON_VALUE, RECORD_MEMBER(recipient), MAX_WORD_LEN, NULL, 0},
	{"channel", PNVS_JSON_WORDS, RECORD_MEMBER(channel), MAX_WORD_LEN, NULL, 0},
	{"serviceSid", PNVS_JSON_VALUE, RECORD_MEMBER(service_sid), MAX_SERVICE_SID_LEN, NULL, 0},
	{"status", PNVS_JSON_WORDS, RECORD_MEMBER(status), MAX_WORD_LEN, NULL, 0},
	{"sendDate", PNVS_JSON_NUMBER, RECORD_MEMBER(send_date_ms), 0, NULL, 0},
	{"updatedDate", PNVS_JSON_NUMBER, RECORD_MEMBER(updated_date_ms), 0, NULL, 0},
};
static const PnvsJsonObject record_object = OBJECT(record_fields, PnvsRecord);

static const PnvsJsonField model_fields[] = {
	{"verifyCode", PNVS_JSON_ID, REPLY_MEMBER(verify_code), MAX_WORD_LEN, NULL, 0},
	{"verificationId", PNVS_JSON_ID, REPLY_MEMBER(verification_id), PNVS_MAX_VERIFICATION_ID_LEN, NULL, 0},
	{"status", PNVS_JSON_WORDS, REPLY_MEMBER(status), MAX_WORD_LEN, NULL, 0},
	{"phoneNumber", PNVS_JSON_VALUE, REPLY_MEMBER(phone_number), MAX_WORD_LEN, NULL, 0},
	{"channel", PNVS_JSON_WORDS, REPLY_MEMBER(channel), MAX_WORD_LEN, NULL, 0},
	{"pageNo", PNVS_JSON_NUMBER, REPLY_MEMBER(page_no), 0, NULL, 0},
	{"totalPage", PNVS_JSON_NUMBER, REPLY_MEMBER(total_pages), 0, NULL, 0},
	{"records", PNVS_JSON_ARRAY, REPLY_MEMBER(records), 0, &record_object, REPLY_MEMBER(nrecords)},
};
static const PnvsJsonObject model_object = OBJECT(model_fields, PnvsReply);

static const PnvsJsonField reply_fields[] = {
	{"RequestId", PNVS_JSON_REQUEST_ID, REPLY_MEMBER(request_id), MAX_WORD_LEN, NULL, 0},
	{"Code", PNVS_JSON_WORDS, REPLY_MEMBER(code), MAX_WORD_LEN, NULL, 0},
	{"Message", PNVS_JSON_WORDS, REPLY_MEMBER(message), MAX_MESSAGE_LEN, NULL, 0},
	{"Success", PNVS_JSON_TRUTH, REPLY_MEMBER(success), 0, NULL, 0},
	{"Model", PNVS_JSON_OBJECT, 0, 0, &model_object, 0},
};
static const PnvsJsonObject reply_object = OBJECT(reply_fields, PnvsReply);

/*
 * Reads a reply.  Whatever the result, each member of *reply has a value; its texts
 * and records are allocated in the current memory context.
 */
PnvsReplyFault
pnvs_reply_parse(const char *body, size_t body_len, const PnvsSecrets *secrets,
				 PnvsReply *reply)
{
	PnvsReplyFault fault = pnvs_json_reply_read(body, body_len, &reply_object, secrets, reply);

	if (fault == PNVS_REPLY_OK && reply->code == NULL && reply->success == PNVS_UNKNOWN)
		return PNVS_REPLY_NOT_ENVELOPE;
	return fault;
}
