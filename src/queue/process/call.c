/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Sends the messages that are due from a session, for CALL.
 *
 * The procedure ends its transaction again and again: each exchange with the queue is
 * one.  While requests are under way a transaction is open, because PostgreSQL lets no
 * procedure run without one; but it has no snapshot, no lock and no transaction ID, and
 * transaction_timeout does not end it.  Settings are pinned and the user is switched
 * for each visit of the table, because PostgreSQL lets no procedure commit that does so
 * by SET or SECURITY DEFINER.
 *
 * If the CALL ends early, by a cancel for example, its claims belong to nobody, and the
 * next sender makes these rows unknown.  The CALL also ends if a row cannot be written
 * for long: a job that never ends keeps the next one from being started.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"

#include "compat.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/process/process.h"
#include "queue/registry/registry.h"
#include "queue/sender/sender.h"
#include "queue/sender/transaction.h"
#include "remote/client.h"
#include "settings.h"

/*
 * Where nothing is under way and nothing can be written, it ends after so many times
 * pnvs.request_timeout: others who write to the queue are done by then, or do not end.
 */
#define PATIENCE_FACTOR 3

/* A CALL of this session has rows under way. */
static bool sending = false;

static void watch_over_end(void);
static void leave_nothing(int code, Datum arg);
static void send_due(PnvsSender *sender);
pg_noreturn static void give_up(PnvsSender *sender);
static void begin(void);
static ErrorData *transact(void (*work) (void *arg), void *arg);

/*
 * Sends up to max_requests messages that are due.  The caller is a procedure that may
 * commit.
 */
void
pnvs_call_process(int64 max_requests)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	PnvsSender *sender;

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/*
	 * The transaction under way has a snapshot, and so its isolation is
	 * settled.
	 */
	SPI_commit();
	begin();

	/* It outlives the transactions, and goes with the CALL. */
	context = AllocSetContextCreate(PortalContext, "pnvs procedure", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	sender = pnvs_sender_create(transact, max_requests);
	watch_over_end();
	sending = true;
	PG_TRY();
	{
		(void) pnvs_upkeep_recover(transact, pnvs_sender_claimer(sender));
		send_due(sender);
		(void) pnvs_upkeep_purge(transact, pnvs_sender_claimer(sender));
	}
	PG_CATCH();
	{
		sending = false;
		pnvs_sender_destroy(sender);
		pnvs_registry_ask_to_recover();
		PG_RE_THROW();
	}
	PG_END_TRY();
	sending = false;
	pnvs_sender_destroy(sender);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	SPI_finish();
}

/* Where the session is ended from outside, nothing is caught. */
static void
watch_over_end(void)
{
	static bool watched = false;

	if (!watched)
		on_shmem_exit(leave_nothing, (Datum) 0);
	watched = true;
}

/* Its locks are free by now: a worker finds that what it has claimed is a dead one's. */
static void
leave_nothing(int code, Datum arg)
{
	if (sending)
		pnvs_registry_ask_to_recover();
}

/* Until nothing is due, or as much as allowed has been sent. */
static void
send_due(PnvsSender *sender)
{
	static uint32 wait_event = 0;
	int64		patience_us = PATIENCE_FACTOR * pnvs_settings_request_timeout_ms() * INT64CONST(1000);

	pnvs_name_wait_event(&wait_event, "PnvsProcess");
	for (;;)
	{
		int64		began_us;
		int64		wait_us;
		bool		in_vain;

		pnvs_sender_turn(sender);
		began_us = pnvs_monotonic_us();
		if (pnvs_sender_is_done(sender) || !pnvs_sender_has_table(sender))
			return;
		wait_us = pnvs_sender_wait_us(sender);
		in_vain = !pnvs_sender_is_waiting(sender);
		if (in_vain)
			wait_us = Min(wait_us, patience_us);
		if (pnvs_client_wait(pnvs_wait_ms(wait_us), wait_event))
			CHECK_FOR_INTERRUPTS();
		if (in_vain)
			patience_us -= pnvs_monotonic_us() - began_us;
		if (patience_us <= 0)
			give_up(sender);
	}
}

/* Others can make the rest unknown then, and look it up. */
static void
give_up(PnvsSender *sender)
{
	int			nunsettled = pnvs_sender_unsettled(sender);

	if (nunsettled > 0)
		ereport(ERROR,
				(errcode(PNVS_ERRCODE_MAYBE_SENT),
				 errmsg("could not write what became of queued messages"),
				 errdetail("sent=maybe stage=reply: Messages: %d.", nunsettled),
				 errhint("Somebody keeps them locked, or the server's log says why. The next sender looks them up."),
				 pnvs_errhide()));
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not claim queued messages that are due"),
			 errhint("Somebody keeps them locked, or the server's log says why. They stay queued."),
			 pnvs_errhide()));
}

/*
 * The transaction under way, which has done nothing yet, is one to write in, and to
 * wait in.
 */
static void
begin(void)
{
	static const char *const settings[][2] = {
		{"transaction_isolation", "read committed"},
		{"transaction_read_only", "off"},
		{"transaction_timeout", "0"},	/* since 17 */
	};

	/* as the session itself, or what it has set before would count for more */
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	}
}

/* A PnvsTransact.  Work that fails is rolled back to a savepoint. */
static ErrorData *
transact(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		error = pnvs_transaction_take_error(context);

		/*
		 * before an error is thrown: it would leave the session in the
		 * savepoint
		 */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	PG_TRY();
	{
		SPI_commit();
	}
	PG_CATCH();
	{
		/* SPI has begun another transaction */
		error = pnvs_transaction_take_error(context);
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
	}
	PG_END_TRY();
	begin();
	MemoryContextSwitchTo(context);

	/* a wait for a lock or a standby may have reset the latch */
	SetLatch(MyLatch);
	return error;
}
