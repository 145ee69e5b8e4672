/*-------------------------------------------------------------------------
 *
 * erase.c
 *	  Takes a phone number out of all rows of the database, in the transaction under way.
 *
 * Verifications are locked before messages, as a resend does, and both in the order in
 * which they came: what comes while an erasure waits is behind what it has locked, and so
 * two erasures do not wait for each other.  The limits of the server still count the number,
 * by a hash of theirs, for as long as their intervals are: otherwise an erasure would lift
 * them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"

#include "queue/queue.h"
#include "table/hash_key.h"
#include "table/statements.h"
#include "verification/rows.h"

static int	erase_verifications(const char *number, Datum *messages);

/*
 * Masks and unhashes the rows of a number, and cancels what is pending; how many rows there
 * were, whoever has made them.
 */
int64
pnvs_verification_erase(const char *number)
{
	Datum		messages;
	int			nverifications;

	PreventCommandIfReadOnly("erase_phone_number()");
	PreventCommandIfParallelMode("erase_phone_number()");
	nverifications = erase_verifications(number, &messages);
	return (int64) nverifications + pnvs_queue_erase(number, messages);
}

/*
 * Also finds their messages, of which no more are added.  They are those of the rows that
 * were erased: another row may have come while a lock was waited for.
 */
static int
erase_verifications(const char *number, Datum *messages)
{
	MemoryContext caller = CurrentMemoryContext;
	PnvsTableVisit visit;
	Datum		values[PNVS_NUMBER_PARAMETERS + 1];
	int			nrows;

	pnvs_database_number(number, values);
	pnvs_table_enter(&pnvs_verification_table, &visit, RowExclusiveLock);
	(void) pnvs_table_write(&pnvs_verification_table, PNVS_VERIFICATION_LOCK_NUMBER, values, NULL);
	values[PNVS_NUMBER_PARAMETERS] = TimestampTzGetDatum(GetCurrentTimestamp());
	nrows = pnvs_table_write(&pnvs_verification_table, PNVS_VERIFICATION_ERASE_NUMBER, values, NULL);
	MemoryContextSwitchTo(caller);
	*messages = pnvs_verification_message_ids(nrows);
	pnvs_table_leave(&visit);
	MemoryContextSwitchTo(caller);
	return nrows;
}
