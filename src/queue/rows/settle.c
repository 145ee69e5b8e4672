/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  Writes what became of messages into their rows, and lets observers know.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "queue/rows/array.h"
#include "queue/rows/settle.h"
#include "queue/rows/statements.h"

/* Each module above registers one at most. */
#define MAX_OBSERVERS 4

static PnvsSettleObserver observers[MAX_OBSERVERS];
static int	nobservers = 0;

static void write_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts, int nverdicts);
static void tell_observers(const PnvsVerdict *verdicts, int nverdicts);

/*
 * Has a function called with all verdicts that are written, in the transaction that
 * writes them: it may be rolled back.  To be called when the library is loaded.
 */
void
pnvs_settle_observe(PnvsSettleObserver observer)
{
	if (nobservers == MAX_OBSERVERS)
		elog(ERROR, "too many observers of settled messages");
	observers[nobservers++] = observer;
}

/* Writes verdicts into their rows; a row that has gone is skipped. */
void
pnvs_settle_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts, int nverdicts)
{
	if (nverdicts == 0)
		return;
	write_rows(claimer, verdicts, nverdicts);
	tell_observers(verdicts, nverdicts);
}

/*
 * Cancels a row that its requester has queued; false if it is no longer queued.  Waits
 * for whoever has locked the row.
 */
bool
pnvs_settle_cancel(int64 id, const char *recipient, Oid requester)
{
	const PnvsClaim claim = {.id = id,.recipient = recipient};
	PnvsVerdict verdict;
	Datum		values[4];

	pnvs_verdict_settled(&verdict, &claim, "queued", "canceled", NULL, NULL);
	values[0] = Int64GetDatum(id);
	values[1] = TimestampTzGetDatum(verdict.settled_at);
	values[2] = CStringGetTextDatum(verdict.masked);
	values[3] = ObjectIdGetDatum(requester);
	if (pnvs_table_run(PNVS_CANCEL, values, NULL) != 1)
		return false;
	tell_observers(&verdict, 1);
	return true;
}

static void
tell_observers(const PnvsVerdict *verdicts, int nverdicts)
{
	for (int i = 0; i < nobservers; i++)
		observers[i] (verdicts, nverdicts);
}

static void
write_rows(const PnvsClaimer *claimer, const PnvsVerdict *verdicts, int nverdicts)
{
	int64	   *ids = palloc(nverdicts * sizeof(int64));
	bool		in_place = true;
	Datum		values[16];

	for (int i = 0; i < nverdicts; i++)
	{
		ids[i] = verdicts[i].id;
		in_place = in_place && ItemPointerIsValid(&verdicts[i].place);
	}
#define TEXTS(member) pnvs_array_of_texts(verdicts, nverdicts, offsetof(PnvsVerdict, member))
#define NUMBERS(member) pnvs_array_of_numbers(verdicts, nverdicts, offsetof(PnvsVerdict, member))
#define TIMES(member) pnvs_array_of_times(verdicts, nverdicts, offsetof(PnvsVerdict, member))
	values[0] = pnvs_array_of_ids(ids, nverdicts);
	values[1] = TEXTS(was);
	values[2] = TEXTS(state);
	values[3] = TIMES(settled_at);
	values[4] = pnvs_array_of_masked(verdicts, nverdicts);
	values[5] = TIMES(not_before);
	values[6] = TEXTS(request_id);
	values[7] = TEXTS(verification_id);
	values[8] = TEXTS(status);
	values[9] = TEXTS(code);
	values[10] = TEXTS(message);
	values[11] = NUMBERS(http_status);
	values[12] = TIMES(unknown_since);
	values[13] = NUMBERS(uncounted);
	values[14] = pnvs_array_of_places(verdicts, nverdicts);
	values[15] = Int64GetDatum(claimer->number);
#undef NUMBERS
#undef TEXTS
#undef TIMES
	if (in_place && (int) pnvs_table_run(PNVS_SETTLE_IN_PLACE, values, NULL) == nverdicts)
		return;

	/*
	 * those that are settled by now are not again: they are no longer what
	 * they were
	 */
	(void) pnvs_table_run(PNVS_SETTLE, values, NULL);
}

/*
 * Those of the rows that somebody else has locked, in ids; their number.  The
 * others are locked by this transaction.
 */
int
pnvs_settle_find_locked(int64 *ids, int nids)
{
	Datum		values[2];
	int64	   *locked;
	int			nlocked;
	int			nheld;

	values[0] = pnvs_array_of_ids(ids, nids);
	nlocked = (int) pnvs_table_run(PNVS_LOCK_ROWS, values, NULL);
	locked = palloc((nlocked + 1) * sizeof(int64));
	for (int row = 0; row < nlocked; row++)
		locked[row] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	values[1] = pnvs_array_of_ids(locked, nlocked);
	nheld = (int) pnvs_table_run(PNVS_SELECT_EXISTING, values, NULL);
	for (int row = 0; row < nheld; row++)
		ids[row] = DatumGetInt64(pnvs_table_value(row, 1, NULL));
	return nheld;
}
