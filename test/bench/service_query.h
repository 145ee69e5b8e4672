/*-------------------------------------------------------------------------
 *
 * service_query.h
 *	  Reads a request's query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVICE_QUERY_H
#define SERVICE_QUERY_H

#include <stdint.h>

extern const char *service_parameter(const char *query, const char *name);
extern int64_t service_serial(const char *query);

#endif
