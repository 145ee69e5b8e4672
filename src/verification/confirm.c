/*-------------------------------------------------------------------------
 *
 * confirm.c
 *	  Confirms a verification: has a typed code checked by the service.
 *
 * One session at a time confirms a verification.  It holds a lock of the session, which is
 * released when the answer is in, however that ends.  No lock on the row is held meanwhile.
 *
 * A typed code is one try, whatever number of messages it is checked against: the newest
 * first.  The try is taken before the first request, in shared memory and from the number,
 * and is given back if the code is approved, or if the service certainly has not judged it.
 *
 * The service approves a code once.  So an approval is noted in shared memory before
 * anything can fail, and the same code is approved again, also after a ROLLBACK.  If the
 * answer was lost, the code is noted, and the service's record of the message decides when
 * it comes again, or another.  If the answers to two codes were lost, no record tells which
 * of them was right, and neither is approved.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "core/log_limit.h"
#include "errcodes.h"
#include "guard/test_answer.h"
#include "monotonic.h"
#include "queue/attempt/lookup.h"
#include "queue/queue.h"
#include "remote/failure.h"
#include "settings.h"
#include "verification/checks.h"
#include "verification/rows.h"

/* Seconds to wait until there may be something to check, or until memory may have room. */
#define WAIT_FOR_MESSAGE_S 1
#define WAIT_FOR_ROOM_S 60

typedef enum Judgement
{
	JUDGED_APPROVED,
	JUDGED_WRONG,
	NOT_JUDGED					/* nothing was asked, or nothing was answered */
} Judgement;

typedef struct Confirmation
{
	PnvsVerification row;
	PnvsChecked checked;		/* the same, for shared memory */
	const char *code;
	uint64		hash;			/* of the code */
	uint64		id_hash;		/* the hash of the verification, which is the
								 * key of its lock */
	PnvsKnownCode known;
	PnvsVerificationMessage messages[PNVS_CONFIRM_MESSAGES];
	int			nmessages;
	bool		undecided;		/* there may be another, which is not known */
	bool		has_try;		/* in shared memory */
	PnvsTry		guard_try;
	int			tries;			/* wrong codes, this one included */
	bool		asked;			/* the service may have judged the code */
	bool		under_way;		/* a check is, or was when it was cut short */
	PnvsCallState call;
	int			retry_after_s;	/* -1: no need to wait */
} Confirmation;

static bool find(Confirmation *confirmation);
static bool can_confirm(const Confirmation *confirmation);
static void show(Confirmation *confirmation, bool approved, PnvsConfirmed *confirmed);
static Judgement judge(Confirmation *confirmation);
static Judgement judge_code(Confirmation *confirmation);
static bool was_approved_meanwhile(Confirmation *confirmation, uint64 code);
static bool take_try(Confirmation *confirmation);
static Judgement ask(Confirmation *confirmation);
static void check(Confirmation *confirmation, const PnvsVerificationMessage *message, bool *is_test);
static bool note_answer(Confirmation *confirmation);
static void log_refused(const PnvsAnswer *answer);
static void approve(Confirmation *confirmation, uint64 code, const PnvsVerificationMessage *message,
					bool is_test);
static void approve_places(const PnvsVerification *row, const PnvsVerificationMessage *approved,
						   TimestampTz now);
static void give_back_try(Confirmation *confirmation);
static void end(int code, Datum arg);
static void write_approval(Confirmation *confirmation);
static bool is_settled(const PnvsVerification *row);

/*
 * Has a code checked that a person has typed, or NULL: what was typed cannot be a code.
 * Throws if the service cannot be asked, or has not answered.
 */
void
pnvs_verification_confirm(const pg_uuid_t *id, const char *code, PnvsConfirmed *confirmed)
{
	Confirmation confirmation = {.checked.id = *id,.code = code,.retry_after_s = -1};

	/* no driver may repeat a check that the service may have got */
	ErrorContextCallback context = {
		error_context_stack, pnvs_failure_out_of_memory, &confirmation.call
	};
	Judgement	judgement = NOT_JUDGED;

	error_context_stack = &context;
	pnvs_verification_require_memory("confirm_verification()");
	PreventCommandIfReadOnly("confirm_verification()");
	PreventCommandIfParallelMode("confirm_verification()");
	if (!find(&confirmation))
	{
		memset(confirmed, 0, sizeof(*confirmed));
		confirmed->tries_left = confirmed->retry_after_s = -1;
		error_context_stack = context.previous;
		return;
	}
	pnvs_settings_refuse_if_invalid();
	if (code != NULL && can_confirm(&confirmation) &&
		(!pnvs_confirm_wait_for_message(&confirmation.row) ||
		 (find(&confirmation) && can_confirm(&confirmation))))
		judgement = judge(&confirmation);
	if (judgement == JUDGED_APPROVED)
		write_approval(&confirmation);
	else if (judgement == JUDGED_WRONG)
		pnvs_verification_write_wrong(&confirmation.row, confirmation.tries);
	show(&confirmation, judgement == JUDGED_APPROVED, confirmed);
	error_context_stack = context.previous;
}

/*
 * Reads the row; false if there is none, or the caller may not see it.  If no message could
 * be sent, no code is right, and codes are checked like those of a decoy, so that a log-in
 * which hides the state tells nobody who is a member.
 */
static bool
find(Confirmation *confirmation)
{
	PnvsVerification *row = &confirmation->row;

	if (!pnvs_verification_find(&confirmation->checked.id, row))
		return false;
	row->is_decoy |= row->state == PNVS_VERIFICATION_FAILED;
	confirmation->checked.tries = row->tries;
	confirmation->checked.expires_at = row->expires_at;
	return true;
}

/*
 * Whether a code can be right or wrong.  If it is only the number of tries that stands in
 * the way, a code that was approved before is still right.
 */
static bool
can_confirm(const Confirmation *confirmation)
{
	const PnvsVerification *row = &confirmation->row;

	return pnvs_verification_is_open(row) || row->state == PNVS_VERIFICATION_APPROVED ||
		(row->state == PNVS_VERIFICATION_MAX_TRIES && row->stored == PNVS_VERIFICATION_PENDING &&
		 GetCurrentTimestamp() < row->expires_at);
}

/* The row of the function. */
static void
show(Confirmation *confirmation, bool approved, PnvsConfirmed *confirmed)
{
	PnvsVerification *row = &confirmation->row;

	pnvs_verification_count_tries(row);
	confirmed->approved = approved && row->state == PNVS_VERIFICATION_APPROVED;
	confirmed->state = pnvs_verification_state_name(row->state);
	confirmed->tries_left = pnvs_verification_tries_left(row->tries, pnvs_max_tries);
	confirmed->retry_after_s = confirmation->retry_after_s;
}

/* Judges the code while no other session does. */
static Judgement
judge(Confirmation *confirmation)
{
	volatile Judgement judgement = NOT_JUDGED;
	bool		waited;

	confirmation->id_hash = pnvs_verification_hash(&confirmation->checked.id);
	/* a cancel that is served in between would keep the lock */
	HOLD_INTERRUPTS();
	if (!pnvs_confirm_lock(confirmation->id_hash, &waited))
	{
		RESUME_INTERRUPTS();
		confirmation->retry_after_s = WAIT_FOR_MESSAGE_S;
		return NOT_JUDGED;
	}
	PG_ENSURE_ERROR_CLEANUP(end, PointerGetDatum(confirmation));
	{
		RESUME_INTERRUPTS();
		if (!waited || (find(confirmation) && can_confirm(confirmation)))
			judgement = judge_code(confirmation);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end, PointerGetDatum(confirmation));
	pnvs_confirm_unlock(confirmation->id_hash);
	return judgement;
}

static Judgement
judge_code(Confirmation *confirmation)
{
	PnvsVerification *row = &confirmation->row;
	bool		is_approved = row->state == PNVS_VERIFICATION_APPROVED;
	bool		has_tries;

	confirmation->hash = pnvs_verification_hash_code(confirmation->id_hash, confirmation->code);
	pnvs_checks_known(&confirmation->checked, confirmation->hash, GetCurrentTimestamp(), &confirmation->known);
	if (is_approved ? row->approved_code == confirmation->hash : confirmation->known.approved)
		return JUDGED_APPROVED;
	has_tries = confirmation->known.tries < pnvs_max_tries;
	if (!is_approved && (has_tries || confirmation->known.ambiguous))
		confirmation->nmessages = pnvs_confirm_messages(row, confirmation->known.other_approved,
														confirmation->messages,
														&confirmation->undecided);
	/* of messages whose code was approved, no other code is right */
	if (!is_approved && has_tries && confirmation->nmessages == 0 &&
		confirmation->known.other_approved == 0)
	{
		confirmation->retry_after_s = WAIT_FOR_MESSAGE_S;
		return NOT_JUDGED;
	}
	if (confirmation->known.ambiguous && was_approved_meanwhile(confirmation, confirmation->hash))
		return JUDGED_APPROVED;
	if (confirmation->known.other_ambiguous != 0 &&
		was_approved_meanwhile(confirmation, confirmation->known.other_ambiguous))
		return judge_code(confirmation);
	if (confirmation->retry_after_s >= 0)
		return NOT_JUDGED;
	return take_try(confirmation) ? ask(confirmation) : NOT_JUDGED;
}

/*
 * Whether the service has approved a message when a code was asked, by its hash, and the
 * answer lost.  Throws if this answer is lost, too; if the service is overloaded, the time to
 * wait is set.
 */
static bool
was_approved_meanwhile(Confirmation *confirmation, uint64 code)
{
	bool		is_overloaded = false;

	for (int i = 0; i < confirmation->nmessages && !is_overloaded; i++)
	{
		const PnvsVerificationMessage *message = &confirmation->messages[i];

		/* a decoy's is asked for, too, for the time that it takes */
		if (pnvs_lookup_is_approved(message->verification_id, message->service_sid,
									confirmation->row.recipient, &is_overloaded) &&
			!confirmation->row.is_decoy)
		{
			approve(confirmation, code, message, false);
			return true;
		}
	}
	if (is_overloaded)
		confirmation->retry_after_s = WAIT_FOR_MESSAGE_S;
	return false;
}

/* Takes a try in shared memory, and one of the number; false if there is none. */
static bool
take_try(Confirmation *confirmation)
{
	TimestampTz now = GetCurrentTimestamp();
	PnvsTryResult result;
	PnvsRefusal refusal;

	HOLD_INTERRUPTS();
	result = pnvs_checks_take(&confirmation->checked, pnvs_max_tries, now, &confirmation->tries);
	confirmation->has_try = result == PNVS_TRY_TAKEN;
	RESUME_INTERRUPTS();
	/* an approval can be used for longer than codes are checked */
	if (result == PNVS_TRY_EXPIRED && pnvs_verification_is_open(&confirmation->row))
		confirmation->row.state = PNVS_VERIFICATION_EXPIRED;
	else if (result == PNVS_TRY_NO_ROOM)
		confirmation->retry_after_s = WAIT_FOR_ROOM_S;
	if (!confirmation->has_try)
		return false;
	HOLD_INTERRUPTS();
	refusal = pnvs_guard_admit_try(confirmation->row.recipient, NULL, now,
								   &confirmation->guard_try);
	RESUME_INTERRUPTS();
	if (refusal.reason == PNVS_ADMITTED)
		return true;
	confirmation->retry_after_s = refusal.retry_after_s;
	give_back_try(confirmation);
	return false;
}

/* Asks the service, the newest message first, until it approves the code. */
static Judgement
ask(Confirmation *confirmation)
{
	PnvsCallState not_judged = {0};
	Judgement	judgement = JUDGED_WRONG;

	for (int i = 0; i < confirmation->nmessages; i++)
	{
		bool		is_test;

		check(confirmation, &confirmation->messages[i], &is_test);
		if (!confirmation->row.is_decoy &&
			pnvs_client_approves(&confirmation->call.answer, confirmation->row.recipient))
		{
			approve(confirmation, confirmation->hash, &confirmation->messages[i], is_test);
			return JUDGED_APPROVED;
		}
		if (!note_answer(confirmation) && not_judged.operation == NULL)
			not_judged = confirmation->call;
		/* it may be the right one: it is to be typed in again */
		if (!confirmation->asked && not_judged.answer.outcome == PNVS_THROTTLED)
			break;
	}
	if (!confirmation->asked && not_judged.operation != NULL)
	{
		give_back_try(confirmation);
		if (not_judged.answer.outcome != PNVS_THROTTLED)
			pnvs_failure_throw_if_refused(&not_judged);
		judgement = NOT_JUDGED;
	}
	/* it may be the right one of a message for which it was not judged */
	if ((not_judged.operation != NULL || confirmation->undecided) &&
		(judgement == NOT_JUDGED || confirmation->tries < pnvs_max_tries))
		confirmation->retry_after_s = WAIT_FOR_MESSAGE_S;
	return judgement;
}

/* One request, or the answer for a test number. */
static void
check(Confirmation *confirmation, const PnvsVerificationMessage *message, bool *is_test)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};

	confirmation->call.operation = pnvs_operation_get(PNVS_CHECK_VERIFICATION);
	values[PNVS_CHECK_CODE] = confirmation->code;
	values[PNVS_CHECK_SERVICE_SID] = message->service_sid;
	values[PNVS_CHECK_TO] = confirmation->row.recipient;
	values[PNVS_CHECK_VERIFICATION_ID] = message->verification_id;
	memset(&confirmation->call.answer, 0, sizeof(confirmation->call.answer));
	confirmation->under_way = true;
	*is_test = pnvs_test_answer_check(values, &confirmation->call.answer);
	if (!*is_test)
		pnvs_client_call(confirmation->call.operation, values, PNVS_TIMEOUTS_NOT_SHORTENED,
						 &confirmation->call.answer);
}

/*
 * Notes what the answer says of the code, which it does not approve; false if the service
 * has certainly not judged the code.  Throws if the answer was lost, or the service could not
 * be asked.
 */
static bool
note_answer(Confirmation *confirmation)
{
	const PnvsAnswer *answer = &confirmation->call.answer;
	bool		judged = pnvs_client_may_have_judged(answer);

	pnvs_failure_throw_if_unjudged(&confirmation->call);
	if (answer->outcome == PNVS_AMBIGUOUS)
		pnvs_failure_throw_if_refused(&confirmation->call);
	confirmation->under_way = false;
	confirmation->asked |= judged;
	if (answer->code_group == PNVS_CODE_REFUSED && !confirmation->row.is_decoy)
		log_refused(answer);
	return judged;
}

/* A line a minute at most: what is wrong may be the service_sid, and not the code. */
static void
log_refused(const PnvsAnswer *answer)
{
	static PnvsLogLimit limit;
	int64		count = pnvs_log_limit_count(&limit, "check", pnvs_monotonic_us(),
											 PNVS_LOG_LIMIT_INTERVAL_US);

	if (count > 0)
		ereport(LOG,
				(errmsg("the verification service refused to check codes: %s", answer->reply.code),
				 errdetail("Since the last such line: %lld. Each counts as a wrong code.",
						   (long long) count),
				 errhint("If right codes are refused, check \"pnvs.service_sid\"."),
				 pnvs_errhide()));
}

/* The service has approved a code: nothing here throws. */
static void
approve(Confirmation *confirmation, uint64 code, const PnvsVerificationMessage *message,
		bool is_test)
{
	TimestampTz now = GetCurrentTimestamp();

	HOLD_INTERRUPTS();
	pnvs_checks_approve(&confirmation->row.id, code, message->id, now);
	confirmation->under_way = false;
	give_back_try(confirmation);
	if (!is_test)
		approve_places(&confirmation->row, message, now);
	RESUME_INTERRUPTS();
}

/*
 * Whoever asks for another code and types one in has answered all messages: none of them
 * counts as unapproved.
 */
static void
approve_places(const PnvsVerification *row, const PnvsVerificationMessage *approved, TimestampTz now)
{
	for (int i = 0; i < row->nqueued; i++)
	{
		const PnvsVerificationMessage *message = &row->queued[i];
		PnvsAdmission admission = message->admission;

		/* without places it is not known which one of the number's it was */
		if (message->id != approved->id && admission.due == 0)
			continue;
		strlcpy(admission.recipient, row->recipient, sizeof(admission.recipient));
		pnvs_guard_approve(&admission, now);
	}
}

static void
give_back_try(Confirmation *confirmation)
{
	TimestampTz now = GetCurrentTimestamp();

	if (confirmation->has_try)
		pnvs_checks_give_back(&confirmation->row.id, now);
	confirmation->has_try = false;
	if (confirmation->guard_try.key != 0)
		pnvs_guard_give_back_try(&confirmation->guard_try, now);
	confirmation->guard_try.key = 0;
}

/* The confirmation has ended by an error, or with the process. */
static void
end(int code, Datum arg)
{
	Confirmation *confirmation = (Confirmation *) DatumGetPointer(arg);
	const PnvsAnswer *answer = &confirmation->call.answer;

	if (confirmation->under_way && answer->http.maybe_sent &&
		pnvs_client_may_have_judged(answer))
	{
		pnvs_checks_note_ambiguous(&confirmation->row.id, confirmation->hash, GetCurrentTimestamp());
		confirmation->asked = true;
	}
	if (!confirmation->asked)
		give_back_try(confirmation);
	pnvs_confirm_unlock(confirmation->id_hash);
}

/* Also if it was approved before, and the transaction rolled back. */
static void
write_approval(Confirmation *confirmation)
{
	PnvsVerification *row = &confirmation->row;

	if (row->state == PNVS_VERIFICATION_APPROVED)
		return;
	if (!pnvs_verification_write_approval(row, confirmation->hash))
	{
		/* it has ended meanwhile */
		(void) find(confirmation);
		return;
	}
	row->state = PNVS_VERIFICATION_APPROVED;
	if (!is_settled(row))
		pnvs_queue_cancel_of(&row->id, row->last_message, true);
}

/* Whether its messages were settled when they were read, and none was queued since. */
static bool
is_settled(const PnvsVerification *row)
{
	for (int i = 0; i < row->nqueued; i++)
	{
		if (!row->queued[i].settled)
			return false;
	}
	return row->nqueued > 0 && row->queued[0].id == row->last_message;
}
