/*-------------------------------------------------------------------------
 *
 * fallback.c
 *	  Sends by the next channel if the service refuses a channel for good.
 *
 * The settle of the message notes it, and the sender comes to it right after the settle's
 * commit: before that the message still has its places under the limits, and the next
 * would be refused.  So nothing that goes wrong keeps a settle from being committed, and
 * nothing is waited for.  If the verification's row is locked, or anything fails, the
 * message stays noted.  Notes die with the process; so a worker at its start, at
 * intervals, and each CALL look for messages without a successor.
 *
 * A verification falls back only from its last message, and with its row locked: so no
 * channel gets two messages, and none is sent beside what a person has asked for meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/log_limit.h"
#include "core/outcome.h"
#include "errcodes.h"
#include "monotonic.h"
#include "queue/rows/rows.h"
#include "queue/rows/statements.h"
#include "queue/sender/transaction.h"
#include "remote/credentials.h"
#include "verification/rows.h"

/* If there are more, the next look is at all rows. */
#define MAX_NOTED 64

/* A look at all rows is at so many in a transaction. */
#define MAX_CANDIDATES 1000

/* Somebody's transaction has the row locked, or something is broken. */
#define RETRY_US USECS_PER_SEC

/* The columns of PNVS_VERIFICATION_SELECT_NEXT_CHANNEL. */
#define CANDIDATE_MESSAGE 1
#define CANDIDATE_EXPIRES_AT 2
#define CANDIDATE_ID 3

/* The columns of PNVS_SELECT_FAILED. */
#define FAILED_ID 1
#define FAILED_CODE 2
#define FAILED_VERIFICATION 3

/* A message whose channel the service has refused. */
typedef struct Refused
{
	int64		message;
	pg_uuid_t	verification;
} Refused;

/* Messages that a fallback is to be made from, and when, by the monotonic clock. */
static int64 noted[MAX_NOTED];
static int	nnoted = 0;
static bool overflowed = false;
static int64 due_us = 0;

static void on_settled(const PnvsVerdict *verdicts, int nverdicts);
static int64 repeat_due_us(void);
static void do_again(void *arg);
static int	select_candidates(bool goes_on, int64 *messages);
static int	read_refused(const int64 *messages, int nmessages, Refused *refused);
static void note(int64 message, int64 at_us);
static bool try_to_fall_back(const Refused *refused);
static void report(ErrorData *error);
static bool fall_back(const Refused *refused);

/* To be called when the library is loaded. */
void
pnvs_fallback_init(void)
{
	static const PnvsUpkeepJob job = {.due_us = repeat_due_us,.repeat = do_again};

	pnvs_settle_observe(on_settled);
	pnvs_upkeep_register(&job);
}

/* A PnvsSettleObserver. */
static void
on_settled(const PnvsVerdict *verdicts, int nverdicts)
{
	for (int i = 0; i < nverdicts; i++)
	{
		if (verdicts[i].settled_at != 0 && pnvs_code_refuses_channel(verdicts[i].code))
			note(verdicts[i].id, 0);
	}
}

/* When noted messages are to be looked at, by the monotonic clock, or PNVS_NEVER. */
static int64
repeat_due_us(void)
{
	return nnoted > 0 || overflowed ? due_us : PNVS_NEVER;
}

/*
 * Falls back from noted messages, and if arg, a PnvsUpkeepRun, says so, from all.  The
 * settle of a noted message may have been rolled back, so its row is read.
 */
static void
do_again(void *arg)
{
	PnvsUpkeepRun *run = arg;
	bool		goes_on = run->goes_on;
	int64	   *messages = palloc(sizeof(noted) + MAX_CANDIDATES * sizeof(int64));
	int			nmessages = nnoted;
	int			ncandidates = 0;
	Refused    *refused;
	int			nrefused;
	int64		retry_us = pnvs_monotonic_us() + RETRY_US;

	memcpy(messages, noted, sizeof(noted));
	due_us = retry_us;
	run->all |= overflowed;
	run->goes_on = false;
	if (!pnvs_guard_is_shared() ||
		pnvs_transaction_lock_table(&pnvs_queue_table) != PNVS_TABLE_LOCKED ||
		pnvs_transaction_lock_table(&pnvs_verification_table) != PNVS_TABLE_LOCKED)
	{
		overflowed |= goes_on;
		return;
	}
	if (run->all)
		ncandidates = select_candidates(goes_on, messages + nmessages);
	run->goes_on = ncandidates == MAX_CANDIDATES;
	nmessages += ncandidates;
	refused = palloc((nmessages + 1) * sizeof(Refused));
	nrefused = nmessages > 0 ? read_refused(messages, nmessages, refused) : 0;
	nnoted = 0;
	/* what has overflowed since a look at all began is for another */
	overflowed &= goes_on;
	for (int i = 0; i < nrefused; i++)
	{
		if (!try_to_fall_back(&refused[i]))
			note(refused[i].message, retry_us);
	}
}

/*
 * The last messages of verifications that have another channel, by when these expire; their
 * number.  goes_on: those after the last that it has returned.
 */
static int
select_candidates(bool goes_on, int64 *messages)
{
	static TimestampTz expires_at;
	static pg_uuid_t id;
	MemoryContext caller = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		values[3];
	int			nrows;

	if (!goes_on)
		expires_at = GetCurrentTimestamp();
	values[0] = TimestampTzGetDatum(expires_at);
	values[1] = UUIDPGetDatum(&id);
	values[2] = Int64GetDatum(MAX_CANDIDATES);
	pnvs_table_enter_unattended(&pnvs_verification_table, &visit);
	nrows = pnvs_table_run(&pnvs_verification_table, PNVS_VERIFICATION_SELECT_NEXT_CHANNEL, values);
	for (int row = 0; row < nrows; row++)
	{
		messages[row] = pnvs_result_int64(row, CANDIDATE_MESSAGE);
		expires_at = pnvs_result_time(row, CANDIDATE_EXPIRES_AT);
		id = *DatumGetUUIDP(pnvs_result_datum(row, CANDIDATE_ID));
	}
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return nrows;
}

/* Those of the messages whose channel the service has refused to a verification; their number. */
static int
read_refused(const int64 *messages, int nmessages, Refused *refused)
{
	MemoryContext caller = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		value;
	int			nrows;
	int			nrefused = 0;

	pnvs_table_enter_unattended(&pnvs_queue_table, &visit);
	value = pnvs_array_of_ids(messages, nmessages);
	nrows = pnvs_table_run(&pnvs_queue_table, PNVS_SELECT_FAILED, &value);
	for (int row = 0; row < nrows; row++)
	{
		if (!pnvs_code_refuses_channel(pnvs_result_text(row, FAILED_CODE)))
			continue;
		refused[nrefused].message = pnvs_result_int64(row, FAILED_ID);
		refused[nrefused++].verification =
			*DatumGetUUIDP(pnvs_result_datum(row, FAILED_VERIFICATION));
	}
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return nrefused;
}

static void
note(int64 message, int64 at_us)
{
	due_us = nnoted == 0 && !overflowed ? at_us : Min(due_us, at_us);
	for (int i = 0; i < nnoted; i++)
	{
		if (noted[i] == message)
			return;
	}
	if (nnoted < MAX_NOTED)
		noted[nnoted++] = message;
	else
		overflowed = true;
}

/* Falls back in a subtransaction; false if it is to be tried again. */
static bool
try_to_fall_back(const Refused *refused)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		/* rows are inserted only under a snapshot, and a sender has none here */
		PushActiveSnapshot(GetTransactionSnapshot());
		done = fall_back(refused);
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		error = pnvs_transaction_take_error(context);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return done;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	report(error);
	return false;
}

/* A line a minute for each reason; it shows no row. */
static void
report(ErrorData *error)
{
	static PnvsLogLimit limit;
	int64		count = pnvs_log_limit_count(&limit, unpack_sql_state(error->sqlerrcode),
											 pnvs_monotonic_us(), PNVS_LOG_LIMIT_INTERVAL_US);

	if (count > 0)
	{
		pnvs_credentials_hide(error->message);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("pnvs could not send by the next channel: %s", error->message),
				 errdetail("Failures since the last such line: %lld.", (long long) count),
				 errhint("It is tried again until the verification expires."),
				 pnvs_errhide()));
	}
	FreeErrorData(error);
}

/*
 * Sends by the channel that comes after that of a message, if this is the last of a
 * verification that can go on.  False if the verification's row is locked.
 */
static bool
fall_back(const Refused *refused)
{
	PnvsVerification row;

	switch (pnvs_verification_lock_after(&refused->verification, refused->message, &row))
	{
		case PNVS_ROW_OTHER:
			return true;
		case PNVS_ROW_BUSY:
			return false;
		case PNVS_ROW_LOCKED:
			break;
	}
	if (row.position + 1 >= row.nchannels || row.messages >= PNVS_MAX_MESSAGES ||
		!pnvs_verification_is_open(&row))
		return true;
	pnvs_verification_send_next(&row);
	pnvs_verification_note_message(&row);
	return true;
}
