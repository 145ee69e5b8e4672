/*-------------------------------------------------------------------------
 *
 * signature.h
 *	  Computes Alibaba Cloud's signature version 3, ACS3-HMAC-SHA256, in its stages.
 *
 *	  parameters -> canonical query -> canonical request -> string to sign
 *	  -> authorization
 *
 * Each stage is a text that can be compared with the help page on signatures.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SIGNATURE_H
#define PNVS_SIGNATURE_H

#include <stdbool.h>

#include "core/text_buffer.h"

/* SHA-256 of an empty body, which every signed request has. */
#define PNVS_EMPTY_BODY_SHA256 \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* "ACS3-HMAC-SHA256", a newline, 64 hexadecimal digits, NUL. */
#define PNVS_STRING_TO_SIGN_SIZE 82

typedef struct PnvsQueryParameter
{
	const char *name;
	const char *value;			/* UTF-8, not encoded; NULL omits it */
} PnvsQueryParameter;

typedef struct PnvsSignedRequest
{
	const char *method;
	const char *host;			/* with the port, unless it is the default */
	const char *action;
	const char *version;
	const char *date;			/* yyyy-MM-ddTHH:mm:ssZ */
	const char *nonce;
	const char *security_token; /* NULL without temporary credentials */
	const char *canonical_query;
} PnvsSignedRequest;

extern bool pnvs_signature_canonical_query(PnvsTextBuffer *out,
										   const PnvsQueryParameter *parameters,
										   int nparameters);
extern bool pnvs_signature_canonical_request(PnvsTextBuffer *out,
											 const PnvsSignedRequest *request);
extern bool pnvs_signature_string_to_sign(PnvsTextBuffer *out,
										  const PnvsTextBuffer *canonical_request);
extern bool pnvs_signature_authorization(PnvsTextBuffer *out,
										 const PnvsTextBuffer *string_to_sign,
										 const char *access_key_id,
										 const char *access_key_secret,
										 bool has_security_token);

#endif							/* PNVS_SIGNATURE_H */
