/*-------------------------------------------------------------------------
 *
 * guard_probe.c
 *	  SQL functions that call src/guard/guard.h, for tests: the time is an argument, so
 *	  that no test waits for an interval to end.
 *
 * An admission is known by a number, its handle.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/operation.h"
#include "core/rate_key.h"
#include "guard/guard.h"

#define MAX_HANDLES 10000

static PnvsAdmission admissions[MAX_HANDLES];
static PnvsTry tries[MAX_HANDLES];
static int	nadmissions = 0;
static int	ntries = 0;

PG_FUNCTION_INFO_V1(guard_admit);
PG_FUNCTION_INFO_V1(guard_of_row);
PG_FUNCTION_INFO_V1(guard_give_back);
PG_FUNCTION_INFO_V1(guard_at_abort);
PG_FUNCTION_INFO_V1(guard_at_commit);
PG_FUNCTION_INFO_V1(guard_sent);
PG_FUNCTION_INFO_V1(guard_sent_at_commit);
PG_FUNCTION_INFO_V1(guard_approve);
PG_FUNCTION_INFO_V1(guard_approve_latest);
PG_FUNCTION_INFO_V1(guard_try);
PG_FUNCTION_INFO_V1(guard_give_back_try);
PG_FUNCTION_INFO_V1(guard_unblock);
PG_FUNCTION_INFO_V1(guard_reset);
PG_FUNCTION_INFO_V1(guard_rules);
PG_FUNCTION_INFO_V1(guard_breakers);
PG_FUNCTION_INFO_V1(guard_spray);
PG_FUNCTION_INFO_V1(guard_spray_tries);
PG_FUNCTION_INFO_V1(guard_queue);

static char *
refusal_text(const PnvsRefusal *refusal)
{
	return psprintf("%s %s %d", pnvs_guard_code(refusal),
					refusal->reason == PNVS_REFUSED_LIMIT ? pnvs_scope_name(refusal->scope) : "-",
					refusal->retry_after_s);
}

/*
 * guard_admit(recipient text, channel text, now timestamptz, due timestamptz, rate_key text,
 *			   trusted boolean)
 *
 * The handle of the admission, or why the message is refused.
 */
Datum
guard_admit(PG_FUNCTION_ARGS)
{
	char		key[PNVS_RATE_KEY_SIZE];
	PnvsGuardMessage message = {
		.recipient = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.channel = pnvs_operation_channel_word(text_to_cstring(PG_GETARG_TEXT_PP(1))),
		.due = PG_GETARG_TIMESTAMPTZ(3),
		.trusted = PG_GETARG_BOOL(5)
	};
	PnvsAdmission admission;
	PnvsRefusal refusal;

	if (nadmissions == MAX_HANDLES)
		elog(ERROR, "too many handles");
	if (!PG_ARGISNULL(4) &&
		pnvs_rate_key_normalise(text_to_cstring(PG_GETARG_TEXT_PP(4)), key) == PNVS_RATE_KEY_OK)
		message.rate_key = key;
	refusal = pnvs_guard_admit(&message, PG_GETARG_TIMESTAMPTZ(2), &admission);
	if (refusal.reason != PNVS_ADMITTED)
		PG_RETURN_TEXT_P(cstring_to_text(refusal_text(&refusal)));
	admissions[nadmissions++] = admission;
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d", nadmissions - 1)));
}

/*
 * guard_of_row(recipient text, channel text, due timestamptz, taken_at timestamptz)
 *
 * An admission as a row of the queue has it; its handle.
 */
Datum
guard_of_row(PG_FUNCTION_ARGS)
{
	PnvsAdmission admission = {
		.channel = pnvs_operation_channel_word(text_to_cstring(PG_GETARG_TEXT_PP(1))),
		.due = PG_GETARG_TIMESTAMPTZ(2),
		.taken_at = PG_GETARG_TIMESTAMPTZ(3)
	};

	strlcpy(admission.recipient, text_to_cstring(PG_GETARG_TEXT_PP(0)), sizeof(admission.recipient));
	admissions[nadmissions++] = admission;
	PG_RETURN_INT32(nadmissions - 1);
}

/* guard_give_back(handle integer, now timestamptz) */
Datum
guard_give_back(PG_FUNCTION_ARGS)
{
	pnvs_guard_give_back(&admissions[PG_GETARG_INT32(0)], PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* guard_at_abort(handle integer) */
Datum
guard_at_abort(PG_FUNCTION_ARGS)
{
	pnvs_guard_give_back_at_abort(&admissions[PG_GETARG_INT32(0)]);
	PG_RETURN_VOID();
}

/* guard_at_commit(handle integer) */
Datum
guard_at_commit(PG_FUNCTION_ARGS)
{
	pnvs_guard_give_back_at_commit(&admissions[PG_GETARG_INT32(0)]);
	PG_RETURN_VOID();
}

/* guard_sent(handle integer, now timestamptz) */
Datum
guard_sent(PG_FUNCTION_ARGS)
{
	pnvs_guard_count_sent(&admissions[PG_GETARG_INT32(0)], PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* guard_sent_at_commit(handle integer) */
Datum
guard_sent_at_commit(PG_FUNCTION_ARGS)
{
	pnvs_guard_count_sent_at_commit(&admissions[PG_GETARG_INT32(0)]);
	PG_RETURN_VOID();
}

/* guard_approve(handle integer, now timestamptz) */
Datum
guard_approve(PG_FUNCTION_ARGS)
{
	pnvs_guard_approve(&admissions[PG_GETARG_INT32(0)], PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* guard_approve_latest(number text, now timestamptz) */
Datum
guard_approve_latest(PG_FUNCTION_ARGS)
{
	pnvs_guard_approve_latest(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* guard_try(number text, verification_id text, now timestamptz): a handle, or why not */
Datum
guard_try(PG_FUNCTION_ARGS)
{
	const char *number = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	PnvsRefusal refusal = pnvs_guard_admit_try(number, text_to_cstring(PG_GETARG_TEXT_PP(1)),
											   PG_GETARG_TIMESTAMPTZ(2), &tries[ntries]);

	if (refusal.reason != PNVS_ADMITTED)
		PG_RETURN_TEXT_P(cstring_to_text(refusal_text(&refusal)));
	if (++ntries == MAX_HANDLES)
		elog(ERROR, "too many handles");
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d", ntries - 1)));
}

/* guard_give_back_try(handle integer, now timestamptz) */
Datum
guard_give_back_try(PG_FUNCTION_ARGS)
{
	pnvs_guard_give_back_try(&tries[PG_GETARG_INT32(0)], PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* guard_unblock(number text) */
Datum
guard_unblock(PG_FUNCTION_ARGS)
{
	pnvs_guard_unblock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* guard_reset(scope text): NULL is all of them */
Datum
guard_reset(PG_FUNCTION_ARGS)
{
	int			scope = 0;

	while (!PG_ARGISNULL(0) &&
		   strcmp(pnvs_scope_name(scope), text_to_cstring(PG_GETARG_TEXT_PP(0))) != 0)
		scope++;
	pnvs_guard_reset(PG_ARGISNULL(0), scope);
	PG_RETURN_VOID();
}

/* A line for each rule: admitted, refused, observed, approved later, keys, forgotten, shared. */
Datum
guard_rules(PG_FUNCTION_ARGS)
{
	PnvsGuardRuleStat stats[PNVS_GUARD_MAX_RULES];
	int			n = pnvs_guard_read_rules(stats, PNVS_GUARD_MAX_RULES);
	StringInfoData lines;

	initStringInfo(&lines);
	for (int i = 0; i < n; i++)
		appendStringInfo(&lines, "%s: %llu %llu %llu %llu %llu %llu %llu\n", stats[i].rule,
						 (unsigned long long) stats[i].admitted,
						 (unsigned long long) stats[i].refused,
						 (unsigned long long) stats[i].observed,
						 (unsigned long long) stats[i].observed_approved,
						 (unsigned long long) stats[i].keys,
						 (unsigned long long) stats[i].forgotten,
						 (unsigned long long) stats[i].shared);
	PG_RETURN_TEXT_P(cstring_to_text(lines.data));
}

/* A line for each country: armed, open, the figures judged and those of now. */
Datum
guard_breakers(PG_FUNCTION_ARGS)
{
	PnvsGuardBreakerStat *stats = palloc(PNVS_GUARD_MAX_BREAKERS * sizeof(*stats));
	int			n = pnvs_guard_read_breakers(stats, PNVS_GUARD_MAX_BREAKERS);
	StringInfoData lines;

	initStringInfo(&lines);
	for (int i = 0; i < n; i++)
		appendStringInfo(&lines, "%s: %s %s %u/%u %u/%u %llu %llu\n", stats[i].country,
						 stats[i].armed ? "armed" : "unarmed", stats[i].open ? "open" : "closed",
						 stats[i].judged_approved, stats[i].judged_sent,
						 stats[i].approved, stats[i].sent,
						 (unsigned long long) stats[i].refused,
						 (unsigned long long) stats[i].observed);
	PG_RETURN_TEXT_P(cstring_to_text(lines.data));
}

/*
 * guard_spray(n integer, first bigint, step bigint, now timestamptz, step_us bigint)
 *
 * A message to each of n numbers, step_us after each other.  Returns how many were
 * admitted.
 */
Datum
guard_spray(PG_FUNCTION_ARGS)
{
	TimestampTz now = PG_GETARG_TIMESTAMPTZ(3);
	int			admitted = 0;

	for (int i = 0; i < PG_GETARG_INT32(0); i++)
	{
		char		number[PNVS_PHONE_NUMBER_SIZE];
		PnvsAdmission admission;
		PnvsGuardMessage message = {.recipient = number, .channel = PNVS_SMS, .due = now};

		snprintf(number, sizeof(number), INT64_FORMAT, PG_GETARG_INT64(1) + i * PG_GETARG_INT64(2));
		admitted += pnvs_guard_admit(&message, now, &admission).reason == PNVS_ADMITTED;
		now += PG_GETARG_INT64(4);
	}
	PG_RETURN_INT32(admitted);
}

/* guard_spray_tries(n integer, now timestamptz, step_us bigint): the same with made-up IDs. */
Datum
guard_spray_tries(PG_FUNCTION_ARGS)
{
	TimestampTz now = PG_GETARG_TIMESTAMPTZ(1);
	int			admitted = 0;

	for (int i = 0; i < PG_GETARG_INT32(0); i++)
	{
		char		id[32];
		PnvsTry		try;

		snprintf(id, sizeof(id), "made-up-%d", i);
		admitted += pnvs_guard_admit_try(NULL, id, now, &try).reason == PNVS_ADMITTED;
		now += PG_GETARG_INT64(2);
	}
	PG_RETURN_INT32(admitted);
}

/*
 * guard_queue(n integer, first bigint)
 *
 * Admits messages to n numbers as the queue does.  Returns how many were admitted.
 */
Datum
guard_queue(PG_FUNCTION_ARGS)
{
	int			admitted = 0;

	for (int i = 0; i < PG_GETARG_INT32(0); i++)
	{
		char		number[PNVS_PHONE_NUMBER_SIZE];
		PnvsAdmission admission;
		TimestampTz now = GetCurrentTimestamp();
		PnvsGuardMessage message = {.recipient = number, .channel = PNVS_SMS, .due = now};

		snprintf(number, sizeof(number), INT64_FORMAT, PG_GETARG_INT64(1) + i);
		if (pnvs_guard_admit(&message, now, &admission).reason != PNVS_ADMITTED)
			continue;
		pnvs_guard_give_back_at_abort(&admission);
		admitted++;
	}
	PG_RETURN_INT32(admitted);
}
