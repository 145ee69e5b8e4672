/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  What callers pass, checked and made ready for the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ARGUMENTS_H
#define PNVS_ARGUMENTS_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* A typed code is 4 to 8 digits; what is longer is something else. */
#define PNVS_MAX_TYPED_CODE_LEN 16

/* Fits an index's page with room to spare. */
#define PNVS_MAX_DEDUP_KEY_LEN 512

extern const char *pnvs_argument_channel(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_number(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_optional_number(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_service_sid(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_required_service_sid(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_typed_code(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_optional_typed_code(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_verification_id(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_optional_verification_id(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_send_date(FunctionCallInfo fcinfo, int n);
extern TimestampTz pnvs_argument_not_before(FunctionCallInfo fcinfo, int n, TimestampTz now);
extern TimestampTz pnvs_argument_end(FunctionCallInfo fcinfo, int n, const char *name,
									 TimestampTz start);
extern const char *pnvs_argument_dedup_key(FunctionCallInfo fcinfo, int n);
extern int64 pnvs_argument_queue_id(FunctionCallInfo fcinfo, int n);
extern const char *pnvs_argument_check_number(const char *text);
extern const char *pnvs_argument_utf8(const char *text);
extern const char *pnvs_argument_check_service_sid(const char *text);
extern int	pnvs_argument_count(FunctionCallInfo fcinfo, int n, const char *name,
								int max);

#endif							/* PNVS_ARGUMENTS_H */
