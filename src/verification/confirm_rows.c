/*-------------------------------------------------------------------------
 *
 * confirm_rows.c
 *	  Writes into a verification's row what its confirmation has come to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "table/hash_key.h"
#include "table/statements.h"
#include "verification/rows.h"

/*
 * The hash by which a verification's code is known, in the row and in shared memory.  Its
 * key is the database's, so no copy of the server's memory tells a code.
 */
uint64
pnvs_verification_hash_code(const pg_uuid_t *id, const char *code)
{
	StringInfoData data;

	initStringInfo(&data);
	appendBinaryStringInfo(&data, (const char *) id->data, UUID_LEN);
	appendStringInfoString(&data, code);
	return pnvs_database_hash(PNVS_HASH_CODE, data.data, data.len);
}

/* A code was approved: unless the verification has ended meanwhile, it is now, too. */
void
pnvs_verification_write_approval(const pg_uuid_t *id, uint64 code)
{
	PnvsTableRow row;
	bool		pending;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &row);
	do
	{
		pending = pnvs_table_row_find(&row, id) &&
			strcmp(PNVS_VERIFICATION_TEXT(&row, STATE), "pending") == 0;
		if (pending)
		{
			PNVS_VERIFICATION_PUT(&row, STATE, CStringGetTextDatum("approved"));
			PNVS_VERIFICATION_PUT(&row, APPROVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
			PNVS_VERIFICATION_PUT(&row, APPROVED_CODE, Int64GetDatum((int64) code));
		}
	} while (pending && !pnvs_table_row_update(&row));
	pnvs_table_row_end(&row);
}

/* A code was wrong; tries: as many as there were by then. */
void
pnvs_verification_write_wrong(const PnvsVerification *row, int tries)
{
	char		masked[PNVS_PHONE_NUMBER_SIZE];
	PnvsTableVisit visit;
	Datum		values[5];

	pnvs_phone_number_mask(row->recipient, masked);
	values[0] = UUIDPGetDatum(&row->id);
	values[1] = Int32GetDatum(tries);
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[3] = BoolGetDatum(tries >= pnvs_max_tries);
	values[4] = CStringGetTextDatum(masked);
	pnvs_table_enter(&pnvs_verification_table, &visit, RowExclusiveLock);
	(void) pnvs_table_write(&pnvs_verification_table, PNVS_VERIFICATION_NOTE_WRONG, values, NULL);
	pnvs_table_leave(&visit);
}
