/*-------------------------------------------------------------------------
 *
 * client_check.c
 *	  Says what the answer to a check means for the code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/phone_number.h"
#include "remote/client.h"

/*
 * Whether the code is right, and was sent to this number if the caller names a number.
 * Anything but the service's explicit approval is a no.
 */
bool
pnvs_client_approves(const PnvsAnswer *answer, const char *number)
{
	const PnvsReply *reply = &answer->reply;
	char		approved_number[PNVS_PHONE_NUMBER_SIZE];

	if (!answer->succeeded || reply->status == NULL ||
		strcmp(reply->status, PNVS_STATUS_APPROVED) != 0)
		return false;
	if (number == NULL)
		return true;
	return reply->phone_number != NULL &&
		pnvs_phone_number_normalise(reply->phone_number,
									approved_number) == PNVS_PHONE_NUMBER_OK &&
		strcmp(approved_number, number) == 0;
}

/*
 * Whether a refusal may mean that the code is wrong, which is never an error.  The
 * service does not document how it says so, so this is every refusal that is not known
 * to mean something else.
 */
bool
pnvs_client_may_mean_wrong_code(const PnvsAnswer *answer)
{
	return answer->outcome == PNVS_REFUSED &&
		!pnvs_outcome_came_to_nothing(answer->outcome, answer->code_group);
}

/*
 * Whether the service may have judged the code.  It has read one that it refuses, whatever
 * its name for that: it may call a wrong code a bad parameter.
 */
bool
pnvs_client_may_have_judged(const PnvsAnswer *answer)
{
	return answer->code_group == PNVS_CODE_REFUSED ||
		!pnvs_outcome_came_to_nothing(answer->outcome, answer->code_group);
}
