/*
 * address.c: gives one host name the address that a file holds at the moment.
 *
 * The name is "moved.names.test", the file that of the environment's PNVS_ADDRESS_FILE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Resolve) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	Resolve		resolve = (Resolve) dlsym(RTLD_NEXT, "getaddrinfo");
	const char *path = getenv("PNVS_ADDRESS_FILE");
	char		address[64];
	FILE	   *file;

	if (node == NULL || path == NULL || strcmp(node, "moved.names.test") != 0)
		return resolve(node, service, hints, result);
	file = fopen(path, "r");
	if (file == NULL || fgets(address, sizeof(address), file) == NULL)
		abort();
	fclose(file);
	return resolve(address, service, hints, result);
}
