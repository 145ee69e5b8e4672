/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Sends the messages that are due from a session that runs CALL.
 *
 * Each exchange with the queue is a transaction, so the procedure commits again and again.
 * PostgreSQL always keeps a transaction open in a procedure.  While requests are under
 * way, this transaction has no snapshot, no lock and no transaction ID, and
 * transaction_timeout does not end it.  A procedure with SET or SECURITY DEFINER may not
 * commit, so each visit of the table pins the settings and switches the user itself.
 *
 * If the CALL ends early, by a cancel for example, its claims stay in the rows, and the
 * next sender makes these rows unknown.  The CALL also ends if rows cannot be written for
 * long: a job that never ends keeps the next job from starting.
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
 * If no request is under way and no row can be written, the CALL ends after this multiple
 * of pnvs.request_timeout: other senders have settled their rows by then, or never will.
 */
#define PATIENCE_FACTOR 3

/* A CALL of this session may have claimed rows. */
static bool sending = false;

static void on_session_end(int code, Datum arg);
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
	static bool registered = false;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	PnvsSender *sender;

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* a transaction with a snapshot cannot change its isolation */
	SPI_commit();
	begin();

	/* memory that lives as long as the CALL */
	context = AllocSetContextCreate(PortalContext, "pnvs procedure", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	sender = pnvs_sender_create(transact, max_requests);
	if (!registered)
		on_shmem_exit(on_session_end, (Datum) 0);
	registered = sending = true;
	PG_TRY();
	{
		(void) pnvs_upkeep_recover(transact, pnvs_sender_claimer(sender));
		pnvs_upkeep_repeat(transact, true);
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

/*
 * A session that is terminated reaches no PG_CATCH.  Its locks are released by now, so a
 * worker finds that the claimer is dead.
 */
static void
on_session_end(int code, Datum arg)
{
	if (sending)
		pnvs_registry_ask_to_recover();
}

/* Sends until nothing is due, or as many messages as allowed were sent. */
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

/* Another sender can make the rest unknown then, and look it up. */
static void
give_up(PnvsSender *sender)
{
	int			nunsettled = pnvs_sender_unsettled(sender);

	if (nunsettled > 0)
		ereport(ERROR,
				(errcode(PNVS_ERRCODE_MAYBE_SENT),
				 errmsg("could not write what became of queued messages"),
				 errdetail("sent=maybe stage=reply: Messages: %d.", nunsettled),
				 errhint("Another session keeps them locked, or the server's log says why. The next sender looks them up."),
				 pnvs_errhide()));
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not claim queued messages that are due"),
			 errhint("Another session keeps them locked, or the server's log says why. They stay queued."),
			 pnvs_errhide()));
}

/* Makes a new transaction fit for exchanges, and for long waits. */
static void
begin(void)
{
	static const char *const settings[][2] = {
		{"transaction_isolation", "read committed"},
		{"transaction_read_only", "off"},
		{"transaction_timeout", "0"},	/* since 17 */
	};

	/* with the source "session", or an earlier SET would prevail */
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
