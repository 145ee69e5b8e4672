/*-------------------------------------------------------------------------
 *
 * confirm_rows.c
 *	  Writes into a verification's row what its confirmation has come to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "table/hash_key.h"
#include "table/statements.h"
#include "verification/rows.h"

static bool put_wrong(const PnvsTableRow *row, int tries, TimestampTz now);
static Datum append_time(const PnvsTableRow *row, TimestampTz now);

/*
 * The hash of a verification, which is the key of its lock: everybody may read pg_locks, so
 * it tells nothing of the ID.  The whole ID would be long data, which takes seven times as
 * long; no two IDs differ in their last byte alone.
 */
uint64
pnvs_verification_hash(const pg_uuid_t *id)
{
	return pnvs_database_hash(PNVS_HASH_VERIFICATION, id->data, UUID_LEN - 1);
}

/*
 * The hash by which a verification's code is known, in the row and in shared memory; id_hash:
 * that of the verification.  Its key is the database's, so no copy of the server's memory
 * tells a code.
 */
uint64
pnvs_verification_hash_code(uint64 id_hash, const char *code)
{
	size_t		code_len = strlen(code);
	size_t		len = sizeof(id_hash) + code_len;
	char	   *data = palloc(len);
	uint64		hash;

	memcpy(data, &id_hash, sizeof(id_hash));
	memcpy(data + sizeof(id_hash), code, code_len);
	hash = pnvs_database_hash(PNVS_HASH_CODE, data, len);
	explicit_bzero(data, len);
	pfree(data);
	return hash;
}

/*
 * A code was approved: so is the verification, and its last message is read; false if it is
 * not pending any more.
 */
bool
pnvs_verification_write_approval(PnvsVerification *row, uint64 code)
{
	PnvsTableRow open;
	bool		pending;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	do
	{
		pending = pnvs_table_row_find_again(&open, &row->place, UUIDPGetDatum(&row->id)) &&
			strcmp(PNVS_VERIFICATION_TEXT(&open, STATE), "pending") == 0;
		if (pending)
		{
			row->last_message = PNVS_VERIFICATION_OPTIONAL_INT64(&open, LAST_MESSAGE);
			PNVS_VERIFICATION_PUT(&open, STATE, CStringGetTextDatum("approved"));
			PNVS_VERIFICATION_PUT(&open, APPROVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
			PNVS_VERIFICATION_PUT(&open, APPROVED_CODE, Int64GetDatum((int64) code));
		}
	} while (pending && !pnvs_table_row_update(&open));
	pnvs_table_row_end(&open);
	return pending;
}

/*
 * A code was wrong; tries: as many as there were by then.  With the last try the verification
 * ends, and what is still queued is not sent.  It keeps its places, as that of a decoy does.
 */
void
pnvs_verification_write_wrong(PnvsVerification *row, int tries)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		last_message = 0;
	PnvsTableRow open;
	bool		found;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	do
	{
		found = pnvs_table_row_find_again(&open, &row->place, UUIDPGetDatum(&row->id)) &&
			put_wrong(&open, tries, now);
	} while (found && !pnvs_table_row_update(&open));
	if (found && PNVS_VERIFICATION_OPTIONAL_INT64(&open, ENDED_AT) != 0)
		last_message = PNVS_VERIFICATION_OPTIONAL_INT64(&open, LAST_MESSAGE);
	pnvs_table_row_end(&open);
	if (last_message != 0)
		pnvs_queue_cancel_of(&row->id, last_message, false);
}

/* False if the verification has ended. */
static bool
put_wrong(const PnvsTableRow *row, int tries, TimestampTz now)
{
	const char *state = PNVS_VERIFICATION_TEXT(row, STATE);
	bool		pending = strcmp(state, "pending") == 0;

	if (!pending && strcmp(state, "approved") != 0)
		return false;
	PNVS_VERIFICATION_PUT(row, TRIES,
						  Int32GetDatum(Max(DatumGetInt32(PNVS_VERIFICATION_DATUM(row, TRIES)), tries)));
	PNVS_VERIFICATION_PUT(row, WRONG_AT, append_time(row, now));
	if (pending && tries >= pnvs_max_tries)
		pnvs_verification_put_end(row, "max_tries", now);
	return true;
}

/* The times of the wrong codes, this one included. */
static Datum
append_time(const PnvsTableRow *row, TimestampTz now)
{
	bool		isnull;
	Datum		times = PNVS_VERIFICATION_VALUE(row, WRONG_AT, &isnull);
	Datum		time = TimestampTzGetDatum(now);

	return isnull ? pnvs_array_make(TIMESTAMPTZOID, &time, NULL, 1) :
		OidFunctionCall2(F_ARRAY_APPEND, times, time);
}
