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

static bool find_hashed(const char *folder, char path[MAXPGPATH]);
static bool is_hashed_name(const char *name);

/*
 * What to trust of a folder and a bundle that hold the same: the folder alone, where
 * its certificates stand under their hashes, else the bundle; the other one is NULL.
 * A libcurl that needs a file beside the folder, and would take the bundle again, gets
 * one certificate of the folder.  Texts live as long as the process.
 */
void
pnvs_trust_store_choose(const char *folder, const char *bundle, bool needs_file,
						const char **ca_path, const char **ca_file)
{
	static char certificate[MAXPGPATH];
	bool		hashed = find_hashed(folder, certificate);

	*ca_path = hashed ? folder : NULL;
	*ca_file = hashed ? (needs_file ? certificate : NULL) : bundle;
}

/*
 * Whether a folder is there and holds at least one certificate by its hash; then path
 * is that of one.
 */
static bool
find_hashed(const char *folder, char path[MAXPGPATH])
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
		found = is_hashed_name(entry->d_name) &&
			snprintf(path, MAXPGPATH, "%s/%s", folder, entry->d_name) < MAXPGPATH;
	closedir(dir);
	return found;
}

static bool
is_hashed_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == HASH_DIGITS &&
		name[HASH_DIGITS] == '.' && isdigit((unsigned char) name[HASH_DIGITS + 1]);
}
