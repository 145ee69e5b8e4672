/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Sends a NOTIFY for each row that was settled.
 *
 * A NOTIFY's commit takes a lock that is one for the whole server, so it stands
 * in a transaction of its own, after that which settles, and waits for the lock
 * shortly only.  One that is lost is a hint that is lost: the rows are there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "utils/guc.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/sender/failure_log.h"
#include "queue/sender/notify.h"
#include "settings.h"

#define CHANNEL "pnvs_verification"
#define LOCK_TIMEOUT "100ms"

/* Where somebody holds NOTIFY up, sending must not wait for it time and again. */
#define SILENCE_US (5 * USECS_PER_SEC)

typedef struct News
{
	const PnvsVerdict *verdicts;
	int			nverdicts;
} News;

static void tell(PnvsTransact transact, News *news);
static void notify(void *arg);

/* To be called after the commit; throws a cancel of the query alone. */
void
pnvs_notify_announce(PnvsTransact transact, const PnvsVerdict *verdicts, int nverdicts)
{
	News		news = {verdicts, nverdicts};
	bool		any = false;

	for (int i = 0; i < nverdicts && !any; i++)
		any = verdicts[i].settled_at != 0;
	if (any && pnvs_notify)
		tell(transact, &news);
}

static void
tell(PnvsTransact transact, News *news)
{
	static int64 silent_until_us = 0;

	if (pnvs_monotonic_us() < silent_until_us)
		return;
	pnvs_failure_log_telling(true);
	PG_TRY();
	{
		silent_until_us = transact(notify, news) == PNVS_COMMITTED ? 0 :
			pnvs_monotonic_us() + SILENCE_US;
	}
	PG_FINALLY();
	{
		pnvs_failure_log_telling(false);
	}
	PG_END_TRY();
}

static void
notify(void *arg)
{
	const News *news = arg;

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	for (int i = 0; i < news->nverdicts; i++)
	{
		char		payload[64];

		if (news->verdicts[i].settled_at == 0)
			continue;
		snprintf(payload, sizeof(payload), "{\"id\":" INT64_FORMAT ",\"state\":\"%s\"}",
				 news->verdicts[i].id, news->verdicts[i].state);
		Async_Notify(CHANNEL, payload);
	}
}
