/*-------------------------------------------------------------------------
 *
 * confirm_messages.c
 *	  Finds the messages that a typed code can have come with.
 *
 * They are those that the service has given an ID.  If nobody knows whether a message was
 * sent, the service is asked for its ID first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/timestamp.h"

#include "core/decision.h"
#include "guard/test_answer.h"
#include "monotonic.h"
#include "queue/attempt/lookup.h"
#include "random.h"
#include "settings.h"
#include "verification/rows.h"

/*
 * No look-up begins later than this after the first: a person waits, and a service that has
 * not answered one by then would let each of the others time out, too.
 */
#define LOOK_UPS_US (PNVS_REQUEST_TIMEOUT_S * USECS_PER_SEC)

/* IDs of the service look like so many bytes in base64. */
#define ID_BYTES 15

static int	choose(const PnvsVerification *row, int64 after, bool look_up,
				   PnvsVerificationMessage *messages, bool *undecided);
static bool may_have_been_sent(const PnvsVerificationMessage *message);
static const char *find_sent(const PnvsVerification *row, const PnvsVerificationMessage *message,
							 bool *decided);
static int	make_messages_up(const PnvsVerification *row, PnvsVerificationMessage *messages);
static const char *make_id_up(const char *recipient);

/*
 * Finds up to PNVS_CONFIRM_MESSAGES of a verification's messages, the newest first, and
 * returns their number: those that were queued after another, by its ID.  Undecided: another
 * may have been sent, and nobody could be asked.
 */
int
pnvs_confirm_messages(PnvsVerification *row, int64 after, PnvsVerificationMessage *messages,
					  bool *undecided)
{
	int			n;

	*undecided = false;
	if (row->is_decoy)
		return make_messages_up(row, messages);
	n = choose(row, after, true, messages, undecided);
	if (n == 0)
	{
		bool		still_unknown = false;

		/* a worker may have given a record to the message before we looked */
		row->nqueued = pnvs_queue_messages_of(&row->id, row->last_message, row->queued);
		n = choose(row, after, false, messages, &still_unknown);
		*undecided = *undecided && still_unknown;
	}
	return n;
}

static int
choose(const PnvsVerification *row, int64 after, bool look_up, PnvsVerificationMessage *messages,
	   bool *undecided)
{
	int64		end_us = pnvs_monotonic_us() + LOOK_UPS_US;
	int			n = 0;

	for (int i = 0; i < row->nqueued && n < PNVS_CONFIRM_MESSAGES; i++)
	{
		PnvsVerificationMessage message = row->queued[i];

		if (message.id <= after)
			break;
		if (message.verification_id == NULL && may_have_been_sent(&message))
		{
			bool		decided = false;

			if (look_up && pnvs_monotonic_us() < end_us)
				message.verification_id = find_sent(row, &message, &decided);
			*undecided |= !decided;
		}
		if (message.verification_id != NULL)
			messages[n++] = message;
	}
	return n;
}

/* Whether nobody knows the fate of a message. */
static bool
may_have_been_sent(const PnvsVerificationMessage *message)
{
	if (strcmp(message->state, pnvs_state_name(PNVS_STATE_SENDING)) == 0)
		return !message->is_being_sent;
	return strcmp(message->state, pnvs_state_name(PNVS_STATE_UNKNOWN)) == 0;
}

/* See pnvs_lookup_now().  If the sender has died unnoticed, it was sent by now. */
static const char *
find_sent(const PnvsVerification *row, const PnvsVerificationMessage *message, bool *decided)
{
	PnvsClaim	claim = {
		.id = message->id,
		.channel = message->channel,
		.recipient = row->recipient,
		.service_sid = message->service_sid,
		.created_at = message->created_at,
		.dispatched_at = message->dispatched_at != 0 ? message->dispatched_at : message->created_at,
		.unknown_since = message->unknown_since != 0 ? message->unknown_since : GetCurrentTimestamp()
	};

	return pnvs_lookup_now(&claim, decided);
}

/*
 * Of a decoy no message was sent, which nobody is to notice: neither by an answer that came
 * without a request, nor by one with fewer requests than messages.
 */
static int
make_messages_up(const PnvsVerification *row, PnvsVerificationMessage *messages)
{
	int			n = Min(row->messages, PNVS_CONFIRM_MESSAGES);

	for (int i = 0; i < n; i++)
	{
		memset(&messages[i], 0, sizeof(messages[i]));
		messages[i].service_sid = row->service_sid;
		messages[i].verification_id = make_id_up(row->recipient);
	}
	return n;
}

/* That of a test number is known to be one, so that the service is not asked. */
static const char *
make_id_up(const char *recipient)
{
	uint8		random[ID_BYTES];
	int			size = pg_b64_enc_len(sizeof(random)) + 1;
	char	   *id;

	if (pnvs_settings_test_number(recipient, GetCurrentTimestamp()) != NULL)
		return pnvs_test_answer_make_id(recipient);
	id = palloc0(size);
	pnvs_random(random, sizeof(random));
	if (pg_b64_encode((const void *) random, sizeof(random), id, size) < 0)
		elog(ERROR, "could not encode random bytes");
	return id;
}
