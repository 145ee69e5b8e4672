/*-------------------------------------------------------------------------
 *
 * signed_request.h
 *	  An operation of the service, made into a signed HTTP request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SIGNED_REQUEST_H
#define PNVS_SIGNED_REQUEST_H

#include "core/operation.h"
#include "remote/http.h"

extern void pnvs_signed_request_make(PnvsHttpRequest *http, const PnvsOperation *operation,
									 const char *const *values);
extern bool pnvs_signed_request_correct_clock(int64 server_time_s);

#endif							/* PNVS_SIGNED_REQUEST_H */
