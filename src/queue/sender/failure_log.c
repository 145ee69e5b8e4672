/*-------------------------------------------------------------------------
 *
 * failure_log.c
 *	  What a sender says of a transaction that failed.
 *
 * What keeps rows from being written lasts, and is met at every try: each reason has
 * a line a minute, and its end has one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/log_limit.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/sender/failure_log.h"
#include "remote/credentials.h"

/* The transaction is to tell others of what is settled, and not to write rows. */
static bool is_telling = false;

/* The log has it that nothing can be written, and not yet that it can again. */
static bool told = false;

static int64 count_case(const char *cause);
static const char *alteration(const ErrorData *error);
static void log_telling(const ErrorData *error);

/*
 * Logs the reason, once a minute, and frees it.  What goes with an error of
 * PostgreSQL's is left out: its detail quotes the row, with the number in it.
 */
PnvsCommit
pnvs_failure_log(ErrorData *error)
{
	int64		count;

	if (is_telling)
		log_telling(error);
	else if ((count = count_case(unpack_sql_state(error->sqlerrcode))) > 0)
	{
		told = true;
		pnvs_credentials_hide(error->message);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pnvs could not write to its queue: %s", error->message),
				 errdetail("%sFailures since the last such line: %lld.",
						   alteration(error), (long long) count),
				 errhint("Nothing is lost meanwhile, and it is tried again until it succeeds."),
				 pnvs_errhide()));
	}
	FreeErrorData(error);
	return PNVS_NOT_COMMITTED;
}

/* The cases of a cause since the last line, if it is time for another one, or 0. */
static int64
count_case(const char *cause)
{
	static PnvsLogLimit limit;

	return pnvs_log_limit_count(&limit, cause, pnvs_monotonic_us(), PNVS_LOG_LIMIT_INTERVAL_US);
}

/* What is not as pnvs made it, a sentence of its own and a space, or nothing. */
static const char *
alteration(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_DATATYPE_MISMATCH && error->detail != NULL ?
		psprintf("%s ", error->detail) : "";
}

/* Rows were written: if the log has it that none can be, that is over. */
void
pnvs_failure_log_written(void)
{
	if (!told)
		return;
	told = false;
	ereport(LOG,
			(errmsg("pnvs can write to its queue again"),
			 pnvs_errhide()));
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
	if (count_case("NOTIFY") == 0)
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("pnvs could not notify others of settled messages: %s", error->message),
			 errhint("Nothing else is lost: the rows say the same. Look for who holds up NOTIFY."),
			 pnvs_errhide()));
}
