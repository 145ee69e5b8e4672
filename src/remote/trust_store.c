/*-------------------------------------------------------------------------
 *
 * trust_store.c
 *	  Where the certificate authorities of the system are.
 *
 * A folder that c_rehash or update-ca-certificates made holds each authority
 * under a hash of its name, so that OpenSSL reads the one certificate that it
 * needs: 2 ms for the first connection of a process, where reading the whole
 * bundle takes 20.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>

#include "remote/trust_store.h"

/* "5ed36f99.0" */
#define HASH_DIGITS 8

static bool is_hashed_name(const char *name);

/* Whether a folder is there and holds at least one certificate by its hash. */
bool
pnvs_trust_store_is_hashed(const char *folder)
{
	DIR		   *dir;
	struct dirent *entry;
	bool		found = false;

	if (folder == NULL)
		return false;
	dir = opendir(folder);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = is_hashed_name(entry->d_name);
	closedir(dir);
	return found;
}

static bool
is_hashed_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == HASH_DIGITS &&
		name[HASH_DIGITS] == '.' && isdigit((unsigned char) name[HASH_DIGITS + 1]);
}
