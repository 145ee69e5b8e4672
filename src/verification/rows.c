/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  The rows of pnvs_internal.phone_verification: one a verification.
 *
 * Whoever may not see a row neither reads nor locks it: not even a wait tells that it is
 * there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "core/decision.h"
#include "core/operation.h"
#include "queue/queue.h"
#include "settings.h"
#include "table/statements.h"
#include "verification/checks.h"
#include "verification/rows.h"

#define OF_NUMBER "recipient_hash = $1 AND recipient IN ($2, $3)"

static const PnvsTableColumn columns[PNVS_VERIFICATION_COLUMN_COUNT] = {
	{"id", UUIDOID, true},
	{"begun_at", TIMESTAMPTZOID, true},
	{"expires_at", TIMESTAMPTZOID, true},
	{"recipient_hash", INT8OID, false},
	{"session_hash", INT8OID, false},
	{"ended_at", TIMESTAMPTZOID, false},
	{"requested_by", OIDOID, true},
	{"state", TEXTOID, true},
	{"recipient", TEXTOID, true},
	{"purpose", TEXTOID, false},
	{"reference", TEXTOID, false},
	{"service_sid", TEXTOID, true},
	{"channels", TEXTARRAYOID, true},
	{"channel_position", INT4OID, true},
	{"channel", TEXTOID, true},
	{"last_message", INT8OID, false},
	{"messages", INT4OID, true},
	{"is_decoy", BOOLOID, true},
	{"admission_key", INT8OID, false},
	{"trusted", BOOLOID, true},
	{"resend_at", TIMESTAMPTZOID, true},
	{"refused", TEXTOID, false},
	{"refused_count", INT4OID, true},
	{"tries", INT4OID, true},
	{"wrong_at", TIMESTAMPTZARRAYOID, false},
	{"approved_at", TIMESTAMPTZOID, false},
	{"approved_code", INT8OID, false},
	{"used_at", TIMESTAMPTZOID, false},
	{"origin_system", INT8OID, true},
	{"origin_database", OIDOID, true},
};

static const PnvsTableStatement statements[PNVS_VERIFICATION_STATEMENT_COUNT] = {
	/*
	 * Upkeep: rows that have not ended, by the time at which they expire, and
	 * others.
	 */
	[PNVS_VERIFICATION_SELECT_OVER] = {
		"SELECT id::uuid, recipient::text, expires_at::timestamptz FROM ONLY %1$s"
		" WHERE ended_at IS NULL AND expires_at >= $1 AND expires_at < $2"
		" ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED",
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_VERIFICATION_MASK] = {
		"UPDATE ONLY %1$s AS v SET recipient = u.recipient, ended_at = coalesce(v.used_at, v.expires_at)"
		" FROM unnest($1, $2) AS u(id, recipient) WHERE v.id = u.id",
		{UUIDARRAYOID, TEXTARRAYOID}
	},
	[PNVS_VERIFICATION_PURGE] = {
		"DELETE FROM ONLY %1$s WHERE id = ANY (ARRAY(SELECT id FROM ONLY %1$s"
		" WHERE ended_at IS NOT NULL AND ended_at >= $1 AND ended_at < $2"
		" ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING ended_at::timestamptz",
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_VERIFICATION_FIRST_OPEN] = {
		"SELECT expires_at::timestamptz FROM ONLY %1$s WHERE ended_at IS NULL"
		" AND expires_at >= $1 ORDER BY expires_at LIMIT 1",
		{TIMESTAMPTZOID}
	},
	[PNVS_VERIFICATION_FIRST_ENDED] = {
		"SELECT ended_at::timestamptz FROM ONLY %1$s WHERE ended_at IS NOT NULL"
		" AND ended_at >= $1 ORDER BY ended_at LIMIT 1",
		{TIMESTAMPTZOID}
	},

	/*
	 * Of a number, see pnvs_database_number(); the first columns are those of
	 * pnvs_verification_message_ids().
	 */
	[PNVS_VERIFICATION_SELECT_NUMBER] = {
		"SELECT id::uuid, coalesce(last_message, 0)::bigint,"
		" pg_get_userbyid(requested_by)::text, state::text, purpose::text, channels[1]::text,"
		" is_decoy::boolean, begun_at::timestamptz, expires_at::timestamptz,"
		" refused::text, refused_count::integer, tries::integer, wrong_at::timestamptz[],"
		" approved_at::timestamptz, used_at::timestamptz, ended_at::timestamptz,"
		" origin_system::bigint, origin_database::oid"
		" FROM ONLY %1$s WHERE " OF_NUMBER " ORDER BY begun_at, id",
		{INT8OID, TEXTOID, TEXTOID}
	},
	[PNVS_VERIFICATION_LOCK_NUMBER] = {
		"SELECT id::uuid FROM ONLY %1$s WHERE " OF_NUMBER " ORDER BY begun_at, id FOR UPDATE",
		{INT8OID, TEXTOID, TEXTOID}
	},
	[PNVS_VERIFICATION_ERASE_NUMBER] = {
		"UPDATE ONLY %1$s SET recipient = $3, recipient_hash = NULL, session_hash = NULL,"
		" admission_key = NULL, approved_code = NULL, reference = NULL,"
		" state = CASE WHEN state IN ('pending', 'approved') THEN 'canceled' ELSE state END,"
		" ended_at = coalesce(ended_at, used_at, $4) WHERE " OF_NUMBER
		" RETURNING id::uuid, coalesce(last_message, 0)::bigint",
		{INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	},

	/* Nobody waits for a transaction that has counted one. */
	[PNVS_VERIFICATION_COUNT_REFUSED] = {
		"UPDATE ONLY %1$s SET refused_count = refused_count + 1, resend_at = $6"
		" WHERE id = (SELECT id FROM ONLY %1$s WHERE recipient_hash = $1 AND begun_at >= $2"
		" AND state = 'refused' AND requested_by = $3 AND refused = $5"
		" AND admission_key IS NOT DISTINCT FROM $4 AND purpose IS NOT DISTINCT FROM $7"
		" LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id::uuid",
		{INT8OID, TIMESTAMPTZOID, OIDOID, INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID}
	},
	[PNVS_VERIFICATION_SELECT_NEXT_CHANNEL] = {
		"SELECT last_message::bigint, expires_at::timestamptz, id::uuid FROM ONLY %1$s"
		" WHERE (expires_at, id) > ($1, $2) AND ended_at IS NULL AND state = 'pending'"
		" AND last_message IS NOT NULL AND channel_position < cardinality(channels) - 1"
		" ORDER BY expires_at, id LIMIT $3",
		{TIMESTAMPTZOID, UUIDOID, INT8OID}
	},
};

PnvsTable	pnvs_verification_table = {
	.name = "phone_verification",
	.hint = "Undo the change. Keep what belongs to a verification in a table of your own, by the ID.",
	.columns = columns,
	.ncolumns = lengthof(columns),
	.statements = statements,
	.nstatements = lengthof(statements)
};

static bool select_row(const pg_uuid_t *id, bool lock, PnvsVerification *row);
static bool ends_with(const PnvsVerification *row, int64 message);
static void read_row(const PnvsTableRow *open, PnvsVerification *row);
static void read_channels(const PnvsTableRow *open, PnvsVerification *row);
static void compute_state(PnvsVerification *row);
static bool have_failed(const PnvsVerificationMessage *messages, int nmessages);

/*
 * Reads a verification as it is by now, and what this transaction has done to it.  False if
 * there is none, or the caller may not see it.
 */
bool
pnvs_verification_find(const pg_uuid_t *id, PnvsVerification *row)
{
	bool		found = select_row(id, false, row);

	/* another message can have replaced its last one before that was read */
	return found && row->state == PNVS_VERIFICATION_FAILED ? select_row(id, false, row) : found;
}

/* The same, with the row locked until the end of the transaction: waits for others' locks. */
bool
pnvs_verification_lock(const pg_uuid_t *id, PnvsVerification *row)
{
	return select_row(id, true, row);
}

/*
 * Locks a verification whose last message this is, for a sender: waits for nobody, and
 * whoever runs the sender may not see the row.  The caller has locked the table.
 */
PnvsRowLock
pnvs_verification_lock_after(const pg_uuid_t *id, int64 message, PnvsVerification *row)
{
	PnvsRowLock lock = PNVS_ROW_OTHER;
	PnvsTableRow open;

	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	if (pnvs_table_row_find(&open, UUIDPGetDatum(id)))
	{
		read_row(&open, row);
		if (ends_with(row, message))
			lock = pnvs_table_row_lock_if_free(&open) ? PNVS_ROW_LOCKED : PNVS_ROW_BUSY;
	}
	pnvs_table_row_end(&open);
	if (lock == PNVS_ROW_LOCKED)
		compute_state(row);
	return lock;
}

/*
 * Whether this is its last message.  A sender does not come back for ever to a row that
 * somebody keeps locked, so it must not have expired.
 */
static bool
ends_with(const PnvsVerification *row, int64 message)
{
	return row->last_message == message && row->stored == PNVS_VERIFICATION_PENDING &&
		row->expires_at > GetCurrentTimestamp();
}

/* Counts also the wrong codes that shared memory knows of; their transactions may be rolled back. */
void
pnvs_verification_count_tries(PnvsVerification *row)
{
	PnvsChecked checked = {.id = row->id,.tries = row->tries,.expires_at = row->expires_at};

	if (pnvs_guard_is_shared())
		row->tries = pnvs_checks_tries(&checked, GetCurrentTimestamp());
	if (pnvs_verification_is_open(row) && row->tries >= pnvs_max_tries)
		row->state = PNVS_VERIFICATION_MAX_TRIES;
}

/* What begin_verification() and its like show of a verification. */
void
pnvs_verification_show(const PnvsVerification *row, PnvsBegun *begun)
{
	bool		was_refused = row->stored == PNVS_VERIFICATION_REFUSED;

	memset(begun, 0, sizeof(*begun));
	begun->retry_after_s = -1;
	begun->has_id = true;
	begun->id = row->id;
	begun->state = pnvs_verification_state_name(row->state);
	begun->is_open = pnvs_verification_is_open(row);
	begun->channel = was_refused ? NULL : pnvs_operation_channel_text(row->channel);
	begun->refused = row->refused;
	begun->purpose = row->purpose;
	begun->expires_at = was_refused ? 0 : row->expires_at;
	if (begun->is_open && row->messages < PNVS_MAX_MESSAGES && row->resend_at != DT_NOEND)
		begun->resend_at = row->resend_at;
}

static bool
select_row(const pg_uuid_t *id, bool lock, PnvsVerification *row)
{
	PnvsTableRow open;
	bool		found;

	pnvs_table_row_begin(&pnvs_verification_table, lock ? RowExclusiveLock : AccessShareLock, &open);
	do
	{
		found = pnvs_table_row_find(&open, UUIDPGetDatum(id));
		if (found)
			read_row(&open, row);
		found = found && pnvs_table_may_see(&pnvs_verification_table, GetUserId(), row->requested_by);
	} while (found && lock && !pnvs_table_row_lock(&open));
	pnvs_table_row_end(&open);
	if (found)
		compute_state(row);
	return found;
}

/* A row that is open, but for its state by now. */
static void
read_row(const PnvsTableRow *open, PnvsVerification *row)
{
	memset(row, 0, sizeof(*row));
	row->id = *DatumGetUUIDP(PNVS_VERIFICATION_DATUM(open, ID));
	row->place = open->found->t_self;
	row->requested_by = DatumGetObjectId(PNVS_VERIFICATION_DATUM(open, REQUESTED_BY));
	if (!pnvs_verification_state_by_name(PNVS_VERIFICATION_TEXT(open, STATE), &row->stored))
		row->stored = PNVS_VERIFICATION_CANCELED;
	row->recipient = PNVS_VERIFICATION_TEXT(open, RECIPIENT);
	row->service_sid = PNVS_VERIFICATION_TEXT(open, SERVICE_SID);
	row->purpose = PNVS_VERIFICATION_OPTIONAL_TEXT(open, PURPOSE);
	row->reference = PNVS_VERIFICATION_OPTIONAL_TEXT(open, REFERENCE);
	read_channels(open, row);
	row->channel = pnvs_operation_channel_word(PNVS_VERIFICATION_TEXT(open, CHANNEL));
	row->last_message = PNVS_VERIFICATION_OPTIONAL_INT64(open, LAST_MESSAGE);
	row->messages = DatumGetInt32(PNVS_VERIFICATION_DATUM(open, MESSAGES));
	row->is_decoy = DatumGetBool(PNVS_VERIFICATION_DATUM(open, IS_DECOY));
	row->admission_key = (uint64) PNVS_VERIFICATION_OPTIONAL_INT64(open, ADMISSION_KEY);
	row->trusted = DatumGetBool(PNVS_VERIFICATION_DATUM(open, TRUSTED));
	row->begun_at = DatumGetTimestampTz(PNVS_VERIFICATION_DATUM(open, BEGUN_AT));
	row->expires_at = DatumGetTimestampTz(PNVS_VERIFICATION_DATUM(open, EXPIRES_AT));
	row->resend_at = DatumGetTimestampTz(PNVS_VERIFICATION_DATUM(open, RESEND_AT));
	row->refused = PNVS_VERIFICATION_OPTIONAL_TEXT(open, REFUSED);
	row->tries = DatumGetInt32(PNVS_VERIFICATION_DATUM(open, TRIES));
	row->approved_at = PNVS_VERIFICATION_OPTIONAL_INT64(open, APPROVED_AT);
	row->approved_code = (uint64) PNVS_VERIFICATION_OPTIONAL_INT64(open, APPROVED_CODE);
	row->foreign = pnvs_verification_is_foreign(open);
}

/* Puts that it has ended, by a state: nobody needs the number any more. */
void
pnvs_verification_put_end(const PnvsTableRow *open, const char *state, TimestampTz now)
{
	char		masked[PNVS_PHONE_NUMBER_SIZE];

	pnvs_phone_number_mask(PNVS_VERIFICATION_TEXT(open, RECIPIENT), masked);
	PNVS_VERIFICATION_PUT(open, STATE, CStringGetTextDatum(state));
	PNVS_VERIFICATION_PUT(open, RECIPIENT, CStringGetTextDatum(masked));
	PNVS_VERIFICATION_PUT(open, ENDED_AT, TimestampTzGetDatum(now));
}

/* Whether it was begun in another database. */
bool
pnvs_verification_is_foreign(const PnvsTableRow *open)
{
	return !pnvs_table_is_own_origin(DatumGetInt64(PNVS_VERIFICATION_DATUM(open, ORIGIN_SYSTEM)),
									 DatumGetObjectId(PNVS_VERIFICATION_DATUM(open, ORIGIN_DATABASE)));
}

/*
 * A row that was changed by hand has no more channels than fit, none that nobody knows, and a
 * position among them.  Without a channel nobody can go on with it.
 */
static void
read_channels(const PnvsTableRow *open, PnvsVerification *row)
{
	Datum	   *words;
	bool	   *nulls;
	int			nwords;

	deconstruct_array(DatumGetArrayTypeP(PNVS_VERIFICATION_DATUM(open, CHANNELS)), TEXTOID, -1,
					  false, TYPALIGN_INT, &words, &nulls, &nwords);
	for (int i = 0; i < nwords && row->nchannels < PNVS_MAX_BEGIN_CHANNELS; i++)
	{
		PnvsChannelWord word = PNVS_ANY_CHANNEL;

		if (!nulls[i])
			word = pnvs_operation_channel_word(TextDatumGetCString(words[i]));
		if (word != PNVS_ANY_CHANNEL)
			row->channels[row->nchannels++] = word;
	}
	row->position = Max(Min(DatumGetInt32(PNVS_VERIFICATION_DATUM(open, CHANNEL_POSITION)),
							row->nchannels - 1), 0);
	if (row->nchannels == 0)
		row->stored = PNVS_VERIFICATION_CANCELED;
}

/*
 * The state by now.  A decoy's message is not sent, which nobody is to notice, not even by
 * the time that it takes to look.
 */
static void
compute_state(PnvsVerification *row)
{
	PnvsVerificationFacts facts = {
		.stored = row->stored,
		.foreign = row->foreign,
		.tries = row->tries,
		.max_tries = pnvs_max_tries,
		.expires_us = row->expires_at
	};

	if (row->stored == PNVS_VERIFICATION_PENDING)
	{
		row->nqueued = pnvs_queue_messages_of(&row->id, row->last_message, row->queued);
		facts.all_failed = have_failed(row->queued, row->nqueued) && !row->is_decoy;
		/* the next message can get the ID of one that is gone */
		if (row->nqueued == 0)
			row->last_message = 0;
	}
	row->state = pnvs_verification_state(&facts, GetCurrentTimestamp());
}

/* Whether no message was sent, or will be. */
static bool
have_failed(const PnvsVerificationMessage *messages, int nmessages)
{
	for (int i = 0; i < nmessages; i++)
	{
		const char *state = messages[i].state;

		if (strcmp(state, pnvs_state_name(PNVS_STATE_FAILED)) != 0 &&
			strcmp(state, pnvs_state_name(PNVS_STATE_EXPIRED)) != 0 &&
			strcmp(state, pnvs_state_name(PNVS_STATE_CANCELED)) != 0)
			return false;
	}
	return true;
}
