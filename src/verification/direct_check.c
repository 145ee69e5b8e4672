/*-------------------------------------------------------------------------
 *
 * direct_check.c
 *	  Counts direct checks of a message that belongs to a verification.
 *
 * Whoever has the message's ID could otherwise guess its code beside the verification's
 * tries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "core/matching.h"
#include "core/test_numbers.h"
#include "queue/attempt/lookup.h"
#include "queue/queue.h"
#include "settings.h"
#include "table/row.h"
#include "verification/rows.h"
#include "verification/verification.h"

static bool find_by_id(PnvsDirectCheck *check, const char *verification_id);
static void find_by_number(PnvsDirectCheck *check, const char *const *values);
static bool may_be(const PnvsUnsureMessage *message, const PnvsRecord *sent);
static bool may_be_number(const PnvsRecord *sent, const char *number);
static bool read_verification(PnvsDirectCheck *check);

/*
 * Finds out whether the message belongs to a verification, whoever has begun that.  values:
 * of the request.  To be called before the check.
 */
void
pnvs_direct_check_begin(PnvsDirectCheck *check, const char *const *values)
{
	const char *verification_id = values[PNVS_CHECK_VERIFICATION_ID];
	char		digits[PNVS_PHONE_NUMBER_SIZE];

	memset(check, 0, sizeof(*check));
	if (!pnvs_guard_is_shared())
		return;
	if (!find_by_id(check, verification_id) && !pnvs_test_id_number(verification_id, digits))
	{
		PnvsDirectCheck by_number = {0};

		find_by_number(&by_number, values);
		/* the queue may have learnt the ID meanwhile */
		if (!find_by_id(check, verification_id))
			*check = by_number;
	}
	if (check->is_counted)
		check->code = pnvs_verification_hash_code(pnvs_verification_hash(&check->checked.id),
												  values[PNVS_CHECK_CODE]);
}

/* False if the queue does not know the ID. */
static bool
find_by_id(PnvsDirectCheck *check, const char *verification_id)
{
	bool		is_known = pnvs_queue_find_verification(verification_id, &check->message,
														&check->checked.id);

	check->is_counted = check->message != 0 && read_verification(check);
	return is_known;
}

/*
 * The queue does not know the ID: it may be that of a message that may have been sent.  The
 * service is asked for the number, for the caller could pass another.  His counts only if the
 * service tells nothing of the ID to anybody with its key.
 */
static void
find_by_number(PnvsDirectCheck *check, const char *const *values)
{
	PnvsRecord	sent;
	PnvsUnsureMessage *messages;
	int			nmessages;

	if (pnvs_queue_unsure(1, &messages) == 0)
		return;
	if (pnvs_lookup_message(values[PNVS_CHECK_VERIFICATION_ID], &sent) &&
		sent.verification_id == NULL)
		sent.recipient = unconstify(char *, values[PNVS_CHECK_TO]);
	nmessages = pnvs_queue_unsure(INT_MAX, &messages);
	for (int i = 0; i < nmessages && !check->is_undecided; i++)
	{
		PnvsDirectCheck found = {.checked.id = messages[i].verification};
		bool		is_second = check->is_counted &&
		memcmp(&check->checked.id, &found.checked.id, sizeof(pg_uuid_t)) != 0;

		CHECK_FOR_INTERRUPTS();
		if (!may_be(&messages[i], &sent) || !read_verification(&found) ||
			!may_be_number(&sent, found.recipient) ||
			found.checked.expires_at <= GetCurrentTimestamp())
			continue;
		found.is_counted = true;
		found.is_undecided = is_second || !pnvs_matching_tells_number(sent.recipient);
		*check = found;
	}
}

/* Whether a message can be the one that the service has sent, as far as both tell. */
static bool
may_be(const PnvsUnsureMessage *message, const PnvsRecord *sent)
{
	return (strchr(message->recipient, '*') != NULL || may_be_number(sent, message->recipient)) &&
		pnvs_lookup_fits_time(sent, message->from, message->until);
}

/* The same of its number. */
static bool
may_be_number(const PnvsRecord *sent, const char *number)
{
	return !pnvs_matching_tells_number(sent->recipient) ||
		pnvs_matching_fits_number(sent->recipient, number);
}

/* What the verification's row says; false if there is none. */
static bool
read_verification(PnvsDirectCheck *check)
{
	PnvsTableRow row;
	bool		found;

	pnvs_table_row_begin(&pnvs_verification_table, AccessShareLock, &row);
	found = pnvs_table_row_find(&row, UUIDPGetDatum(&check->checked.id));
	if (found)
	{
		check->checked.tries = DatumGetInt32(PNVS_VERIFICATION_DATUM(&row, TRIES));
		check->checked.expires_at = DatumGetTimestampTz(PNVS_VERIFICATION_DATUM(&row, EXPIRES_AT));
		check->recipient = PNVS_VERIFICATION_TEXT(&row, RECIPIENT);
	}
	pnvs_table_row_end(&row);
	return found;
}

/* Takes a try; false if the verification has none left, or is over.  Never throws. */
bool
pnvs_direct_check_take(PnvsDirectCheck *check)
{
	int			tries;

	if (!check->is_counted)
		return true;
	check->has_try = pnvs_checks_take(&check->checked, pnvs_max_tries, GetCurrentTimestamp(),
									  &tries) == PNVS_TRY_TAKEN;
	return check->has_try;
}

/* The code was approved, or certainly not judged.  Never throws. */
void
pnvs_direct_check_give_back(const PnvsDirectCheck *check)
{
	if (check->has_try)
		pnvs_checks_give_back(&check->checked.id, GetCurrentTimestamp());
}

/*
 * Notes the answer: a code that the service has approved for the verification's number is
 * right for the verification, too.  If it is not known which message that is, it is looked
 * up when the code is typed in.  Never throws.
 */
void
pnvs_direct_check_note(const PnvsDirectCheck *check, const PnvsAnswer *answer)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		approved;

	if (!check->has_try)
		return;
	approved = pnvs_client_approves(answer, check->recipient);
	if (approved && check->message != 0)
		pnvs_checks_approve(&check->checked.id, check->code, check->message, now);
	else if (approved || answer->outcome == PNVS_AMBIGUOUS)
		pnvs_checks_note_ambiguous(&check->checked.id, check->code, now);
}

/* The check has ended by an error after its request was sent.  Never throws. */
void
pnvs_direct_check_note_lost(const PnvsDirectCheck *check)
{
	if (check->has_try)
		pnvs_checks_note_ambiguous(&check->checked.id, check->code, GetCurrentTimestamp());
}
