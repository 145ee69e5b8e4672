/*-------------------------------------------------------------------------
 *
 * service_query.c
 *	  Reads a request's query.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "service_query.h"

/* The beginning of a parameter's value, or NULL; name ends in "=". */
const char *
service_parameter(const char *query, const char *name)
{
	const char *at = query;

	while ((at = strstr(at + 1, name)) != NULL)
	{
		if (at[-1] == '?' || at[-1] == '&')
			return at + strlen(name);
	}
	return NULL;
}

/* The message's serial number in the verification ID "V<number>-<serial>"; 0: none. */
int64_t
service_serial(const char *query)
{
	const char *id = service_parameter(query, "VerificationId=V");
	const char *serial = id ? strchr(id, '-') : NULL;

	return serial ? strtoll(serial + 1, NULL, 10) : 0;
}
