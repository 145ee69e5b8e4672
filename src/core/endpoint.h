/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *	  The address of the service, as an administrator writes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ENDPOINT_H
#define PNVS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

/* RFC 1035: a host name has 253 characters at the most; plus ":65535", NUL. */
#define PNVS_ENDPOINT_HOST_SIZE 272

typedef enum PnvsEndpointFault
{
	PNVS_ENDPOINT_OK,
	PNVS_ENDPOINT_BAD_SCHEME,
	PNVS_ENDPOINT_BAD_HOST,
	PNVS_ENDPOINT_BAD_PORT,
	PNVS_ENDPOINT_NOT_LOOPBACK	/* http:// to anything but this machine */
} PnvsEndpointFault;

typedef struct PnvsEndpoint
{
	bool		tls;
	char		host_header[PNVS_ENDPOINT_HOST_SIZE];	/* as sent and signed */
	char		origin[PNVS_ENDPOINT_HOST_SIZE + 8];	/* the same as a URL */
} PnvsEndpoint;

extern PnvsEndpointFault pnvs_endpoint_parse(const char *text, PnvsEndpoint *endpoint);

#endif							/* PNVS_ENDPOINT_H */
