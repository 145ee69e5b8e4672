/*-------------------------------------------------------------------------
 *
 * signed_request.h
 *	  Makes a signed HTTP request of an action and its parameters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SIGNED_REQUEST_H
#define PNVS_SIGNED_REQUEST_H

#include "core/endpoint.h"
#include "core/signature.h"
#include "remote/credentials.h"
#include "remote/http.h"

extern PnvsHttpRequest *pnvs_signed_request_make(const PnvsEndpoint *endpoint,
												 const PnvsCredentials *credentials,
												 const char *action, const char *version,
												 const PnvsQueryParameter *parameters);
extern bool pnvs_signed_request_correct_clock(int64 server_time_s);

#endif							/* PNVS_SIGNED_REQUEST_H */
