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

#include "utils/timestamp.h"

#include "queue/queue.h"
#include "settings.h"
#include "table/row.h"
#include "verification/rows.h"
#include "verification/verification.h"

static bool find_tries(PnvsDirectCheck *check);

/*
 * Finds out whether the message belongs to a verification, whoever has begun that.  To be
 * called before the check, and before interrupts are held.
 */
void
pnvs_direct_check_begin(PnvsDirectCheck *check, const char *verification_id, const char *code)
{
	memset(check, 0, sizeof(*check));
	if (!pnvs_guard_is_shared())
		return;
	check->message = pnvs_queue_find_verification(verification_id, &check->checked.id);
	if (check->message != 0 && !find_tries(check))
		check->message = 0;
	if (check->message != 0)
		check->code = pnvs_verification_hash_code(&check->checked.id, code);
}

/* What the verification's row says; false if there is none. */
static bool
find_tries(PnvsDirectCheck *check)
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

	if (check->message == 0)
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
 * right for the verification, too.  Never throws.
 */
void
pnvs_direct_check_note(const PnvsDirectCheck *check, const PnvsAnswer *answer)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!check->has_try)
		return;
	if (pnvs_client_approves(answer, check->recipient))
		(void) pnvs_checks_approve(&check->checked, check->code, check->message, now);
	else if (answer->outcome == PNVS_AMBIGUOUS)
		pnvs_checks_note_ambiguous(&check->checked.id, check->code, now);
}

/* The check has ended by an error after its request was sent.  Never throws. */
void
pnvs_direct_check_note_lost(const PnvsDirectCheck *check)
{
	if (check->has_try)
		pnvs_checks_note_ambiguous(&check->checked.id, check->code, GetCurrentTimestamp());
}
