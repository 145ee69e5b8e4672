/*-------------------------------------------------------------------------
 *
 * test_answer.c
 *	  The answers that requests for test numbers get, without the service.
 *
 * They are as the service would answer, with a message of their own and without what only
 * a request has: an ID, an HTTP status.  The ID of a test verification has the number in
 * it, so that a check needs no memory of the message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guard/test_answer.h"
#include "random.h"
#include "settings.h"

/* As the service has them. */
#define CODE_OK "OK"
#define STATUS_PENDING "pending"

static void answer_check(const PnvsTestNumber *number, const char *const *values,
						 PnvsAnswer *answer);
static void accept(PnvsAnswer *answer, const char *status);

/*
 * Answers a check that is for a test number; false: it is not.  Texts are allocated in the
 * current memory context.  Throws if a setting is invalid.
 */
bool
pnvs_test_answer_check(const char *const *values, PnvsAnswer *answer)
{
	char		digits[PNVS_PHONE_NUMBER_SIZE];
	const PnvsTestNumber *number;

	/* callers may leave the number out */
	if (!pnvs_test_id_number(values[PNVS_CHECK_VERIFICATION_ID], digits))
		return false;
	number = pnvs_settings_test_number(digits, GetCurrentTimestamp());
	if (number == NULL)
		return false;
	pnvs_settings_refuse_if_invalid();
	answer_check(number, values, answer);
	return true;
}

/*
 * The number whose code a check tries, or NULL if only the service knows it.  Anybody can
 * make up IDs of a test number: its tries are counted by the number.
 */
const char *
pnvs_test_tried_number(const char *const *check)
{
	char		digits[PNVS_PHONE_NUMBER_SIZE];

	if (check[PNVS_CHECK_TO] == NULL &&
		pnvs_test_id_number(check[PNVS_CHECK_VERIFICATION_ID], digits))
		return pstrdup(digits);
	return check[PNVS_CHECK_TO];
}

/* The answer to the request for a message. */
void
pnvs_test_answer_start(const char *recipient, PnvsAnswer *answer)
{
	accept(answer, STATUS_PENDING);
	answer->reply.verification_id = pnvs_test_answer_make_id(recipient);
}

static void
answer_check(const PnvsTestNumber *number, const char *const *values, PnvsAnswer *answer)
{
	const char *to = values[PNVS_CHECK_TO];
	bool		approved = strcmp(values[PNVS_CHECK_CODE], number->code) == 0 &&
	(to == NULL || strcmp(to, number->digits) == 0);

	accept(answer, approved ? PNVS_STATUS_APPROVED : STATUS_PENDING);
	answer->reply.verification_id = pstrdup(values[PNVS_CHECK_VERIFICATION_ID]);
	answer->reply.phone_number = pstrdup(number->digits);
}

static void
accept(PnvsAnswer *answer, const char *status)
{
	memset(answer, 0, sizeof(*answer));
	answer->outcome = PNVS_ACCEPTED;
	answer->code_group = PNVS_CODE_OK;
	answer->has_reply = true;
	answer->succeeded = true;
	answer->reply.success = PNVS_TRUE;
	answer->reply.code = pstrdup(CODE_OK);
	answer->reply.message = pstrdup(PNVS_TEST_NUMBER_MESSAGE);
	answer->reply.status = pstrdup(status);
}

/*
 * An ID of a test verification: different for each message, for applications may keep them in
 * a unique column.
 */
char *
pnvs_test_answer_make_id(const char *recipient)
{
	char		random[PNVS_TEST_ID_RANDOM_LEN / 2];
	char		written[PNVS_TEST_ID_RANDOM_LEN + 1];

	pnvs_random(random, sizeof(random));
	hex_encode(random, sizeof(random), written);
	written[PNVS_TEST_ID_RANDOM_LEN] = '\0';
	return psprintf(PNVS_TEST_ID_PREFIX "%s-%s", recipient, written);
}
