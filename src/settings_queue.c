/*-------------------------------------------------------------------------
 *
 * settings_queue.c
 *	  The settings of the queue.
 *
 * All of them belong to the server: the worker that reads them serves every
 * role of a database.  They change with a reload, but for one that shared memory is
 * laid out by.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "settings.h"

bool		pnvs_worker;
int			pnvs_worker_idle_timeout_s;
int			pnvs_max_in_flight;
int			pnvs_scan_interval_s;
int			pnvs_max_databases;
int			pnvs_max_attempts;
int			pnvs_retention_s;
int			pnvs_reconcile_for_s;
int			pnvs_after_promotion;
bool		pnvs_notify;

static const struct config_enum_entry after_promotion_options[] = {
	{"verify", PNVS_AFTER_PROMOTION_VERIFY, false},
	{"send", PNVS_AFTER_PROMOTION_SEND, false},
	{"hold", PNVS_AFTER_PROMOTION_HOLD, false},
	{NULL, 0, false}
};

static void define_worker_settings(void);
static void define_row_settings(void);

/* Part of pnvs_settings_init(). */
void
pnvs_settings_define_queue(void)
{
	define_worker_settings();
	define_row_settings();
}

static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("pnvs.worker",
							 "Sends what is queued from background workers.",
							 "They need the library in shared_preload_libraries.",
							 &pnvs_worker,
							 true,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	/* Zero: it leaves as soon as nothing is due. */
	DefineCustomIntVariable("pnvs.worker_idle_timeout",
							"Time that a worker with nothing to do stays in its database.",
							NULL,
							&pnvs_worker_idle_timeout_s,
							300, 0, 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	/* A connection takes about 80 kB and one file descriptor. */
	DefineCustomIntVariable("pnvs.max_in_flight",
							"Requests that a worker has under way at once.",
							NULL,
							&pnvs_max_in_flight,
							50, 1, 1000,
							PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pnvs.scan_interval",
							"Time between two looks for what no session has announced.",
							"Rows of prepared transactions, direct inserts, and those of a session that died.",
							&pnvs_scan_interval_s,
							60, 1, 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);

	/*
	 * A slot takes 100 bytes, and a commit that has queued something walks
	 * over them.
	 */
	DefineCustomIntVariable("pnvs.max_databases",
							"Databases of the server that can have a worker.",
							NULL,
							&pnvs_max_databases,
							512, 1, 10000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("pnvs.notify",
							 "Sends a NOTIFY for each message that is settled.",
							 NULL,
							 &pnvs_notify,
							 true,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static void
define_row_settings(void)
{
	DefineCustomIntVariable("pnvs.max_attempts",
							"Attempts to send a message that provably was not sent.",
							NULL,
							&pnvs_max_attempts,
							10, 1, 1000,
							PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pnvs.retention",
							"Time after which settled rows of the queue are deleted.",
							NULL,
							&pnvs_retention_s,
							30 * 24 * 60 * 60, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pnvs.reconcile_for",
							"Time for which a message of unknown fate is looked for.",
							NULL,
							&pnvs_reconcile_for_s,
							10 * 60, 0, 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("pnvs.after_promotion",
							 "What becomes of messages that were queued before a standby was promoted.",
							 "\"verify\" looks each up before it is sent.",
							 &pnvs_after_promotion,
							 PNVS_AFTER_PROMOTION_VERIFY, after_promotion_options,
							 PGC_SIGHUP, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}
