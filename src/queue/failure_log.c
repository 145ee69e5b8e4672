/*-------------------------------------------------------------------------
 *
 * failure_log.c
 *	  What a sender says of a transaction that failed.
 *
 * A row that cannot be written has a line each time.  What keeps all rows from
 * being written lasts, and is met at every try: each reason has a line a minute.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "utils/timestamp.h"

#include "errcodes.h"
#include "queue/failure_log.h"
#include "remote/credentials.h"

/* The log says no more often that the server cannot write. */
#define COMPLAINT_MS 60000

/* So many reasons at a time have their line a minute. */
#define TOLD_REASONS 8

/* The transaction is to tell others of what is settled, and not to write rows. */
static bool is_telling = false;

static bool is_of_all_rows(const ErrorData *error);
static void log_telling(const ErrorData *error);
static bool was_told(int sqlerrcode);

/*
 * Logs the reason, and frees it; whether it is one of all rows.  What goes with
 * an error of PostgreSQL's is left out: its detail quotes the row, with the
 * number in it.
 */
PnvsCommit
pnvs_failure_log(ErrorData *error)
{
	bool		of_all = is_of_all_rows(error);

	if (is_telling)
		log_telling(error);
	else if (!of_all || !was_told(error->sqlerrcode))
	{
		pnvs_credentials_hide(error->message);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("pnvs could not write to its queue: %s", error->message),
				 errhint("Nothing is lost meanwhile, and it is tried again until it succeeds."),
				 pnvs_errhide()));
	}
	FreeErrorData(error);
	return PNVS_NOT_COMMITTED;
}

/* Whether what fails from now on is a NOTIFY. */
void
pnvs_failure_log_telling(bool telling)
{
	is_telling = telling;
}

static void
log_telling(const ErrorData *error)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(told_at, now, COMPLAINT_MS))
		return;
	told_at = now;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("pnvs could not notify others of settled messages: %s", error->message),
			 errhint("Nothing else is lost: the rows say the same. Look for who holds up NOTIFY."),
			 pnvs_errhide()));
}

/*
 * No space is left, no memory, no lock; the disk cannot be read or written.  For a
 * file that may not grow PostgreSQL has no SQLSTATE of its own: what it uses instead
 * stands for much else, too.
 */
static bool
is_of_all_rows(const ErrorData *error)
{
	int			class = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (error->sqlerrcode == ERRCODE_INTERNAL_ERROR)
		return error->saved_errno == EFBIG || error->saved_errno == EDQUOT;
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return error->saved_errno == EROFS;
	return class == ERRCODE_INSUFFICIENT_RESOURCES || class == ERRCODE_SYSTEM_ERROR;
}

/*
 * Whether the log has this reason since a minute ago.  Two may take turns, so it is
 * not the last alone that is remembered; of more than there is room for, the oldest
 * is forgotten.
 */
static bool
was_told(int sqlerrcode)
{
	static struct
	{
		int			sqlerrcode;
		TimestampTz at;
	}			told[TOLD_REASONS];
	TimestampTz now = GetCurrentTimestamp();
	int			place = 0;

	for (int i = 0; i < TOLD_REASONS; i++)
	{
		if (told[i].sqlerrcode == sqlerrcode)
		{
			place = i;
			break;
		}
		if (told[i].at < told[place].at)
			place = i;
	}
	if (told[place].sqlerrcode == sqlerrcode &&
		!TimestampDifferenceExceeds(told[place].at, now, COMPLAINT_MS))
		return true;
	told[place].sqlerrcode = sqlerrcode;
	told[place].at = now;
	return false;
}
