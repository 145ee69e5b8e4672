/*-------------------------------------------------------------------------
 *
 * use.c
 *	  Uses an approval up, once, in the transaction under way.
 *
 * One UPDATE finds the approval, proves that it counts, and takes it.  It waits for another
 * transaction that has taken it, and takes it only if that one is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "table/statements.h"
#include "verification/rows.h"

/* The parameters of PNVS_VERIFICATION_USE. */
typedef enum UseParameter
{
	ID,
	RECIPIENT,
	MASKED,
	NOW,
	APPROVED_SINCE,
	PURPOSES,
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE
} UseParameter;

#define USE_PARAMETERS (ORIGIN_DATABASE + 1)

/*
 * Uses a verification of the caller's up, and returns its number's digits in the current
 * memory context, or NULL if it may not be used.  purpose can be NULL.
 */
const char *
pnvs_verification_use(const pg_uuid_t *id, const char *purpose, int64 good_for_us)
{
	PnvsUse		use = {
		.id = *id,
		.purposes = &purpose,
		.npurposes = purpose != NULL ? 1 : 0,
		.good_for_us = good_for_us
	};
	PnvsVerification row;
	bool		used = false;

	PreventCommandIfReadOnly("use_verification()");
	PreventCommandIfParallelMode("use_verification()");
	if (pnvs_verification_find(id, &row) && row.state == PNVS_VERIFICATION_APPROVED)
	{
		use.recipient = row.recipient;
		used = pnvs_verification_use_up(&use);
	}
	return used ? row.recipient : NULL;
}

/*
 * Uses a verification up, whoever has begun it; false if it may not be used.  In a
 * transaction with a snapshot for all of its statements, it is an error if another
 * transaction uses it up at the same time.
 */
bool
pnvs_verification_use_up(const PnvsUse *use)
{
	TimestampTz now = GetCurrentTimestamp();
	char		masked[PNVS_PHONE_NUMBER_SIZE];
	Datum		values[USE_PARAMETERS];
	PnvsTableVisit visit;
	bool		used;

	pnvs_phone_number_mask(use->recipient, masked);
	pnvs_table_enter(&pnvs_verification_table, &visit, RowExclusiveLock);
	values[ID] = UUIDPGetDatum(&use->id);
	values[RECIPIENT] = CStringGetTextDatum(use->recipient);
	values[MASKED] = CStringGetTextDatum(masked);
	values[NOW] = TimestampTzGetDatum(now);
	values[APPROVED_SINCE] = TimestampTzGetDatum(now - use->good_for_us);
	values[PURPOSES] = pnvs_array_of_texts(use->purposes, use->npurposes);
	values[ORIGIN_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
	values[ORIGIN_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
	used = pnvs_table_write(&pnvs_verification_table, PNVS_VERIFICATION_USE, values, NULL) == 1;
	pnvs_table_leave(&visit);
	return used;
}
