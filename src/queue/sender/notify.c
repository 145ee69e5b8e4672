/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Sends a NOTIFY for each message that was settled.
 *
 * The commit of a NOTIFY takes a lock that the whole server shares.  So the NOTIFYs have a
 * transaction of their own, after the transaction that settles, and it waits for the lock
 * only shortly.  A lost NOTIFY is no more than a lost hint: the rows say the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/async.h"
#include "utils/guc.h"

#include "core/log_limit.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/sender/transaction.h"
#include "settings.h"

#define CHANNEL "pnvs_verification"
#define LOCK_TIMEOUT "100ms"

/* If a session blocks NOTIFY, sending does not wait for it again for this long. */
#define SILENCE_US (5 * USECS_PER_SEC)

static void notify(void *arg);
static void log_failure(const ErrorData *error);

/* To be called after the commit of the verdicts; throws a cancel of the query alone. */
void
pnvs_notify_announce(PnvsTransact transact, PnvsVerdicts *verdicts)
{
	static int64 silent_until_us = 0;
	ErrorData  *error;
	bool		any = false;

	for (int i = 0; i < verdicts->n; i++)
		any = any || verdicts->list[i].settled_at != 0;
	if (!any || !pnvs_notify || pnvs_monotonic_us() < silent_until_us)
		return;
	error = transact(notify, verdicts);
	if (error == NULL)
		return;
	silent_until_us = pnvs_monotonic_us() + SILENCE_US;
	log_failure(error);
	FreeErrorData(error);
}

static void
notify(void *arg)
{
	const PnvsVerdicts *verdicts = arg;

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	for (int i = 0; i < verdicts->n; i++)
	{
		const PnvsVerdict *settled = &verdicts->list[i];

		if (settled->settled_at != 0)
			Async_Notify(CHANNEL, psprintf("{\"id\":" INT64_FORMAT ",\"state\":\"%s\"}",
										   settled->id, settled->state));
	}
}

static void
log_failure(const ErrorData *error)
{
	static PnvsLogLimit limit;

	if (pnvs_log_limit_count(&limit, "NOTIFY", pnvs_monotonic_us(), PNVS_LOG_LIMIT_INTERVAL_US) == 0)
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("pnvs could not notify others of settled messages: %s", error->message),
			 errhint("Nothing else is lost: the rows say the same. Look for the session that blocks NOTIFY."),
			 pnvs_errhide()));
}
