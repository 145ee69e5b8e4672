/*-------------------------------------------------------------------------
 *
 * use.c
 *	  Uses an approval up, once, in the transaction under way.
 *
 * An approval that counts is taken.  That waits for another transaction that has taken it,
 * and takes it only if that one is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "table/row.h"
#include "verification/rows.h"

static bool counts(const PnvsTableRow *row, const PnvsUse *use, TimestampTz now);
static bool has_purpose(const char *purpose, const PnvsUse *use);
static void take(const PnvsTableRow *row, const char *recipient, TimestampTz now);

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
	PnvsTableRow row;
	bool		used;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &row);
	do
	{
		used = pnvs_table_row_find(&row, UUIDPGetDatum(&use->id)) && counts(&row, use, now);
		if (used)
			take(&row, use->recipient, now);
	} while (used && !pnvs_table_row_update(&row));
	pnvs_table_row_end(&row);
	return used;
}

/* Why a verification was not used up just now, if the caller may see it. */
PnvsUseFault
pnvs_verification_use_fault(const PnvsUse *use)
{
	static const PnvsUseFault of_state[PNVS_VERIFICATION_STATES] = {
		[PNVS_VERIFICATION_PENDING] = PNVS_USE_NOT_CONFIRMED,
		[PNVS_VERIFICATION_FAILED] = PNVS_USE_NOT_CONFIRMED,
		[PNVS_VERIFICATION_EXPIRED] = PNVS_USE_EXPIRED,
		[PNVS_VERIFICATION_MAX_TRIES] = PNVS_USE_MAX_TRIES,
		[PNVS_VERIFICATION_CANCELED] = PNVS_USE_CANCELED,
		[PNVS_VERIFICATION_REFUSED] = PNVS_USE_REFUSED,
		[PNVS_VERIFICATION_USED] = PNVS_USE_USED
	};
	PnvsVerification row;

	if (!pnvs_verification_find(&use->id, &row))
		return PNVS_USE_NOT_TOLD;
	if (row.foreign)
		return PNVS_USE_OF_OTHER_DATABASE;
	pnvs_verification_count_tries(&row);
	if (row.state != PNVS_VERIFICATION_APPROVED)
		return of_state[row.state];
	/* an old approval's number is masked */
	if (row.approved_at < GetCurrentTimestamp() - use->good_for_us)
		return PNVS_USE_TOO_LATE;
	if (strcmp(row.recipient, use->recipient) != 0)
		return PNVS_USE_OF_OTHER_NUMBER;
	/* or another transaction has given it back meanwhile */
	return has_purpose(row.purpose, use) ? PNVS_USE_NOT_TOLD : PNVS_USE_FOR_OTHER_PURPOSE;
}

/* Whether the row is an approval that may be used. */
static bool
counts(const PnvsTableRow *row, const PnvsUse *use, TimestampTz now)
{
	/* what has ended has a number that is masked, or soon will be */
	bool		has_ended = PNVS_VERIFICATION_OPTIONAL_INT64(row, ENDED_AT) != 0;
	TimestampTz approved_at = PNVS_VERIFICATION_OPTIONAL_INT64(row, APPROVED_AT);

	return !has_ended && strcmp(PNVS_VERIFICATION_TEXT(row, STATE), "approved") == 0 &&
		strcmp(PNVS_VERIFICATION_TEXT(row, RECIPIENT), use->recipient) == 0 &&
		approved_at >= now - use->good_for_us &&
		has_purpose(PNVS_VERIFICATION_OPTIONAL_TEXT(row, PURPOSE), use) && !pnvs_verification_is_foreign(row);
}

/* Without purposes it is for verifications that have none; purpose: its own, or NULL. */
static bool
has_purpose(const char *purpose, const PnvsUse *use)
{
	if (purpose == NULL)
		return use->npurposes == 0;
	for (int i = 0; i < use->npurposes; i++)
	{
		if (strcmp(purpose, use->purposes[i]) == 0)
			return true;
	}
	return false;
}

/* Upkeep sets ended_at: an index has it. */
static void
take(const PnvsTableRow *row, const char *recipient, TimestampTz now)
{
	char		masked[PNVS_PHONE_NUMBER_SIZE];

	pnvs_phone_number_mask(recipient, masked);
	PNVS_VERIFICATION_PUT(row, STATE, CStringGetTextDatum("used"));
	PNVS_VERIFICATION_PUT(row, RECIPIENT, CStringGetTextDatum(masked));
	PNVS_VERIFICATION_PUT(row, USED_AT, TimestampTzGetDatum(now));
}
