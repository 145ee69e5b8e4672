/*-------------------------------------------------------------------------
 *
 * http_trust.c
 *	  Whose certificates are trusted, and for how long that is not asked again.
 *
 * A kept connection leads to where the service once was, and a TLS session is
 * resumed without a look at the certificate.  So both last for minutes, and no
 * longer than the authorities that they were made with: if the file or the folder
 * has changed, sessions are made anew, older connections are not used again, and
 * libcurl reads the authorities again.
 *
 * A folder that c_rehash or update-ca-certificates made holds each authority under
 * a hash of its name, so that OpenSSL reads the one certificate that it needs: 2 ms
 * for the first connection of a process.  Reading the whole bundle takes 20.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>

#include "monotonic.h"
#include "remote/http_internal.h"

/*
 * A service that moves serves its old address for longer, and a handshake in two
 * minutes costs nothing.
 */
#define LIFETIME_S 120

/* How long libcurl may keep the authorities that it has read; by default it is a day. */
#define CACHE_S 60

/* The name of a certificate in a hashed folder: "5ed36f99.0" */
#define HASH_DIGITS 8

/* The authorities of this process's requests. */
static struct
{
	PnvsHttpAuthorities system;
	PnvsHttpSessions *sessions;
	struct stat mark;			/* of the file or folder that was used last */
	int64		renewed_s;		/* since when these sessions are, by the
								 * monotonic clock */
	int64		changed_s;		/* since when these authorities are */
	int64		doubted_s;		/* when TLS failed last */
	bool		doubted;		/* since the sessions were made */
}			trust;

static void choose_authorities(const char *folder, const char *bundle, bool needs_file);
static bool find_hashed(const char *folder, char path[MAXPGPATH]);
static bool is_hashed_name(const char *name);
static PnvsHttpSessions *make_sessions(PnvsHttpObstacle *obstacle);
static bool have_changed(const PnvsHttpRequest *request);
static int64 now_s(void);

/* To be called once libcurl is initialised.  The first obstacle is noted. */
void
pnvs_http_trust_open(PnvsHttpObstacle *obstacle)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
	bool		null_is_default = pnvs_curl_null_is_default_ca(info->version_num);

	memset(&trust, 0, sizeof(trust));
	trust.system.no_folder = null_is_default ? "/dev/null" : NULL;
	choose_authorities(info->capath, info->cainfo, null_is_default);
	trust.renewed_s = now_s();
	trust.changed_s = trust.doubted_s = trust.renewed_s - LIFETIME_S;
	trust.sessions = make_sessions(obstacle);
}

/* To be called if no transfer is left. */
void
pnvs_http_trust_close(void)
{
	if (trust.sessions)
		pnvs_http_trust_leave_sessions(trust.sessions);
	trust.sessions = NULL;
}

/* To be called before each request: makes sessions anew that must not last longer. */
void
pnvs_http_trust_renew(const PnvsHttpRequest *request, PnvsHttpObstacle *obstacle)
{
	bool		changed = have_changed(request);
	PnvsHttpSessions *sessions;

	if (changed)
		trust.changed_s = now_s();
	if (!changed && !trust.doubted && now_s() - trust.renewed_s < LIFETIME_S)
		return;
	sessions = make_sessions(obstacle);
	if (sessions == NULL)
		return;
	pnvs_http_trust_leave_sessions(trust.sessions);
	trust.sessions = sessions;
	trust.renewed_s = now_s();
	trust.doubted = false;
}

/*
 * After TLS has failed: the next connection resumes no session, and reads the
 * authorities again.  They may be why: OpenSSL accepts an authority for whose key
 * there was no memory, without an error, and cannot verify by it as long as libcurl
 * keeps it.  Connections that stand are not concerned.
 */
void
pnvs_http_trust_doubt(void)
{
	trust.doubted = true;
	trust.doubted_s = now_s();
}

/* The system's, for a request that names none. */
const PnvsHttpAuthorities *
pnvs_http_trust_authorities(void)
{
	return &trust.system;
}

/* The sessions for a new transfer, which leaves them at its end. */
PnvsHttpSessions *
pnvs_http_trust_use_sessions(void)
{
	trust.sessions->nusers++;
	return trust.sessions;
}

void
pnvs_http_trust_leave_sessions(PnvsHttpSessions *sessions)
{
	if (--sessions->nusers > 0)
		return;
	curl_share_cleanup(sessions->share);
	free(sessions);
}

/* How old a connection may be to be used again, in seconds. */
long
pnvs_http_trust_connections_s(void)
{
	/* for libcurl 0 is no limit */
	return (long) Min(LIFETIME_S, Max(now_s() - trust.changed_s, 1));
}

/* For how many seconds libcurl may keep the authorities that it has read, and addresses. */
long
pnvs_http_trust_cache_s(void)
{
	int64		fresh_s = now_s() - Max(trust.changed_s, trust.doubted_s);

	/* what was read before is older than that; both ends are in whole seconds */
	return (long) Min(CACHE_S, Max(fresh_s - 1, 0));
}

/*
 * Chooses between a folder and a bundle that hold the same authorities: the folder
 * alone if its certificates have their hashes as names, else the bundle.  needs_file:
 * without a file libcurl would use the bundle again, so it gets one certificate of
 * the folder.
 */
static void
choose_authorities(const char *folder, const char *bundle, bool needs_file)
{
	static char certificate[MAXPGPATH];
	bool		hashed = find_hashed(folder, certificate);

	trust.system.folder = hashed ? folder : NULL;
	trust.system.file = hashed ? (needs_file ? certificate : NULL) : bundle;
}

/*
 * Whether a folder is there and has at least one certificate with its hash as name;
 * path is set to that one.
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

static PnvsHttpSessions *
make_sessions(PnvsHttpObstacle *obstacle)
{
	PnvsHttpSessions *sessions = malloc(sizeof(PnvsHttpSessions));
	CURLSHcode	code = CURLSHE_NOMEM;

	if (sessions != NULL)
	{
		sessions->nusers = 1;
		sessions->share = curl_share_init();
		if (sessions->share != NULL)
			code = curl_share_setopt(sessions->share, CURLSHOPT_SHARE,
									 CURL_LOCK_DATA_SSL_SESSION);
	}
	if (code == CURLSHE_OK)
		return sessions;
	pnvs_http_note(obstacle, "CURL_LOCK_DATA_SSL_SESSION",
				   code == CURLSHE_NOMEM ? CURLE_OUT_OF_MEMORY : CURLE_NOT_BUILT_IN);
	if (sessions != NULL && sessions->share != NULL)
		curl_share_cleanup(sessions->share);
	free(sessions);
	return NULL;
}

/* Whether the request's authorities differ from those of the request before. */
static bool
have_changed(const PnvsHttpRequest *request)
{
	const char *path = request->ca_file;
	bool		first = trust.mark.st_ino == 0;
	struct stat mark;

	if (path[0] == '\0')
		path = trust.system.folder ? trust.system.folder : trust.system.file;
	if (path == NULL || stat(path, &mark) != 0)
		memset(&mark, 0, sizeof(mark));
	if (mark.st_dev == trust.mark.st_dev && mark.st_ino == trust.mark.st_ino &&
		mark.st_size == trust.mark.st_size &&
		mark.st_mtim.tv_sec == trust.mark.st_mtim.tv_sec &&
		mark.st_mtim.tv_nsec == trust.mark.st_mtim.tv_nsec &&
		mark.st_ctim.tv_sec == trust.mark.st_ctim.tv_sec &&
		mark.st_ctim.tv_nsec == trust.mark.st_ctim.tv_nsec)
		return false;
	trust.mark = mark;
	return !first;
}

static int64
now_s(void)
{
	return pnvs_monotonic_us() / USECS_PER_SEC;
}
