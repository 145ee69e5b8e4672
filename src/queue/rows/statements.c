/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  The queue's table: its columns, and the texts of the statements on it.
 *
 * Every column that is read has a cast (see table/statements.c).  The conditions on
 * origin_timeline, and on origin_database, let the planner use an index that no other role's
 * query can (see the install script).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "errcodes.h"
#include "queue/rows/statements.h"

/*
 * From when on a message is retained that is settled now.  That of a verification is found by
 * it, and goes when it goes, even if the message was settled long after.
 */
#define RETAIN_FROM(settled_at) \
	"CASE WHEN phone_verification IS NULL THEN greatest(retain_from, " settled_at ")" \
	" ELSE retain_from END"

/*
 * A row is to be found by its ID, or by its place.  found_by leaves no other way, not
 * even if the planner expects a handful of rows and would look for each of them among
 * ours: there may be a million when the plan is used.  For the same reason the condition
 * that a row is not settled is not written in the way of the index of open rows.
 */
#define SETTLE(found_by) \
	"UPDATE ONLY %1$s AS q SET state = u.state, settled_at = u.settled_at," \
	" attempts = q.attempts - coalesce(u.uncounted, 0)," \
	" recipient = coalesce(u.recipient, q.recipient)," \
	" not_before = coalesce(u.not_before, q.not_before)," \
	" request_id = coalesce(u.request_id, q.request_id)," \
	" verification_id = coalesce(u.verification_id, q.verification_id)," \
	" status = coalesce(u.status, q.status)," \
	" http_status = coalesce(u.http_status, q.http_status)," \
	" code = coalesce(u.code, q.code)," \
	" message = CASE WHEN u.code IS NULL THEN q.message ELSE u.message END," \
	" unknown_since = coalesce(u.unknown_since, q.unknown_since)," \
	" retain_from = " RETAIN_FROM("u.settled_at") ", claimer = NULL" \
	" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)" \
	" AS u(id, was, state, settled_at, recipient, not_before, request_id," \
	" verification_id, status, code, message, http_status, unknown_since, uncounted, place)" \
	" WHERE " found_by " AND q.state = u.was AND coalesce(q.settled_at, 'infinity') = 'infinity'" \
	" AND (q.claimer IS NULL OR q.claimer = $16) RETURNING q.id::bigint"

#define SETTLE_TYPES \
	{INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, \
	 TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
	 TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TIDARRAYOID, INT8OID}

/* What pnvs_admission_read() reads. */
#define ADMISSION \
	" origin_system::bigint, origin_database::oid, origin_timeline::integer," \
	" admission_due::timestamptz, admission_key::bigint, admission_trusted::boolean"

/*
 * A row that is claimed or looked up; the columns are those of PnvsRowColumn.  Texts
 * last: a column behind a text takes longer to find in a row.
 */
#define SELECT_ROWS \
	"SELECT ctid::tid, id::bigint, attempts::integer, not_before::timestamptz," \
	" send_before::timestamptz, created_at::timestamptz," \
	" coalesce(dispatched_at, created_at)::timestamptz," \
	" coalesce(unknown_since, dispatched_at, created_at)::timestamptz, requested_by::oid," \
	ADMISSION ", channel::text, recipient::text, service_sid::text" \
	" FROM ONLY %1$s WHERE settled_at IS NULL"

/* By the number, too: other rows may have the same reference. */
#define QUEUED_OF_ROW \
	" AND source = $1 AND reference = $2 AND recipient = $3 AND origin_timeline >= 0" \
	" AND state || '' = 'queued'"

#define SELECT_DUE(condition) \
	SELECT_ROWS " AND state = 'queued' AND origin_timeline >= 0" \
	" AND (not_before, id) > ($1, $2) AND not_before <= $3" condition \
	" AND origin_timeline >= $5 ORDER BY not_before, id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED"

#define SELECT_DUE_TYPES {TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID, INT4OID}

/*
 * See pnvs_database_number(); those of verifications by their IDs.  Erased ones have
 * neither.  While nobody can be asked for the fate of a message, its verification, or the
 * message that leads to it, can be purged: it still has its number.
 */
#define OF_NUMBER \
	"id = ANY (ARRAY(SELECT id FROM ONLY %1$s WHERE recipient_hash = $1" \
	" UNION ALL SELECT unnest($4)" \
	" UNION ALL SELECT id FROM ONLY %1$s WHERE settled_at IS NULL AND unknown_since IS NOT NULL" \
	" AND recipient = $2)) AND origin_database >= '0' AND recipient IN ($2, $3)" \
	" AND (recipient_hash IS NOT NULL OR phone_verification IS NOT NULL)"
#define OF_NUMBER_TYPES INT8OID, TEXTOID, TEXTOID, INT8ARRAYOID

static const PnvsTableColumn columns[PNVS_COLUMN_COUNT] = {
	{"id", INT8OID, true},
	{"channel", TEXTOID, true},
	{"recipient", TEXTOID, true},
	{"service_sid", TEXTOID, true},
	{"state", TEXTOID, true},
	{"not_before", TIMESTAMPTZOID, true},
	{"send_before", TIMESTAMPTZOID, true},
	{"attempts", INT4OID, true},
	{"created_at", TIMESTAMPTZOID, true},
	{"settled_at", TIMESTAMPTZOID, false},
	{"requested_by", OIDOID, true},
	{"reference", TEXTOID, false},
	{"dedup_key", TEXTOID, false},
	{"request_id", TEXTOID, false},
	{"verification_id", TEXTOID, false},
	{"status", TEXTOID, false},
	{"code", TEXTOID, false},
	{"message", TEXTOID, false},
	{"http_status", INT4OID, false},
	{"claimer", INT8OID, false},
	{"dispatched_at", TIMESTAMPTZOID, false},
	{"unknown_since", TIMESTAMPTZOID, false},
	{"retain_from", TIMESTAMPTZOID, true},
	{"origin_system", INT8OID, true},
	{"origin_database", OIDOID, true},
	{"origin_timeline", INT4OID, true},
	{"admission_due", TIMESTAMPTZOID, false},
	{"admission_key", INT8OID, false},
	{"admission_trusted", BOOLOID, false},
	{"source", TEXTOID, false},
	{"recipient_hash", INT8OID, false},
	{"phone_verification", UUIDOID, false},
	{"previous", INT8OID, false},
};

static const PnvsTableStatement statements[PNVS_STATEMENT_COUNT] = {
	[PNVS_FIND_DUPLICATE] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE requested_by = $1 AND dedup_key = $2"
		" AND created_at > $3 AND state NOT IN ('failed', 'expired', 'canceled')"
		" ORDER BY created_at, id LIMIT 1",
		{OIDOID, TEXTOID, TIMESTAMPTZOID}
	},

	/* By the requester, so that nobody waits for the lock of another's row. */
	[PNVS_CANCEL] = {
		"UPDATE ONLY %1$s SET state = 'canceled', settled_at = $2, recipient = $3,"
		" code = coalesce($5, code), message = coalesce($6, message),"
		" retain_from = " RETAIN_FROM("$2")
		" WHERE requested_by = $4 AND id = $1 AND state = 'queued'",
		{INT8OID, TIMESTAMPTZOID, TEXTOID, OIDOID, TEXTOID, TEXTOID}
	},
	[PNVS_FIND] = {
		"SELECT id::bigint, channel::text, recipient::text, service_sid::text, state::text,"
		" not_before::timestamptz, send_before::timestamptz, attempts::integer,"
		" created_at::timestamptz, settled_at::timestamptz, pg_get_userbyid(requested_by)::text,"
		" source::text, reference::text, dedup_key::text, phone_verification::uuid,"
		" request_id::text, verification_id::text, status::text, code::text, message::text,"
		" http_status::integer,"
		" requested_by::oid, xmin::xid," ADMISSION
		" FROM ONLY %1$s WHERE id = $1 AND origin_database >= '0'",
		{INT8OID}
	},

	/*
	 * What is queued of a row of a table.  Here, too, the state is not
	 * written in the way of the index of open rows.
	 */
	[PNVS_SELECT_QUEUED_OF_ROW] = {
		SELECT_ROWS QUEUED_OF_ROW " ORDER BY id",
		{TEXTOID, TEXTOID, TEXTOID}
	},
	[PNVS_RENAME] = {
		"UPDATE ONLY %1$s SET reference = $4 WHERE settled_at IS NULL" QUEUED_OF_ROW
		" RETURNING not_before::timestamptz",
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}
	},
	[PNVS_HIGHEST_ID] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE origin_database >= '0' ORDER BY id DESC LIMIT 1",
		{0}
	},
	[PNVS_SELECT_DUE] = {SELECT_DUE(""), SELECT_DUE_TYPES},
	[PNVS_SELECT_UNTRIED] = {SELECT_DUE(" AND dispatched_at IS NULL"), SELECT_DUE_TYPES},
	[PNVS_SELECT_LATE] = {SELECT_DUE(" AND send_before <= $3"), SELECT_DUE_TYPES},
	[PNVS_CLAIM] = {
		"UPDATE ONLY %1$s SET state = 'sending', attempts = attempts + 1, claimer = $2,"
		" dispatched_at = $3 WHERE ctid = ANY ($1) RETURNING id::bigint, ctid::tid",
		{TIDARRAYOID, INT8OID, TIMESTAMPTZOID}
	},

	/* Locks those that nobody else has locked. */
	[PNVS_LOCK_ROWS] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE id = ANY ($1) AND origin_database >= '0'"
		" FOR NO KEY UPDATE SKIP LOCKED",
		{INT8ARRAYOID}
	},
	[PNVS_SELECT_EXISTING] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE id = ANY ($1) AND id <> ALL ($2)"
		" AND origin_database >= '0'",
		{INT8ARRAYOID, INT8ARRAYOID}
	},
	[PNVS_SETTLE] = {SETTLE("q.id = u.id AND q.id = ANY ($1) AND q.origin_database >= '0'"), SETTLE_TYPES},
	/* Rows that nobody has moved are found without an index. */
	[PNVS_SETTLE_IN_PLACE] = {SETTLE("q.ctid = u.place AND q.id + 0 = u.id"), SETTLE_TYPES},
	[PNVS_NEXT_QUEUED] = {
		"SELECT not_before::timestamptz FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'queued' AND origin_timeline >= 0"
		" AND (not_before, id) > ($1, $2) AND origin_timeline >= $3"
		" ORDER BY not_before, id LIMIT 1",
		{TIMESTAMPTZOID, INT8OID, INT4OID}
	},
	[PNVS_NEXT_UNKNOWN] = {
		"SELECT not_before::timestamptz FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'unknown' AND origin_timeline >= 0"
		" AND id <> ALL ($1) ORDER BY not_before, id LIMIT 1",
		{INT8ARRAYOID}
	},
	[PNVS_OLDEST_RETAINED] = {
		"SELECT retain_from::timestamptz FROM ONLY %1$s WHERE settled_at IS NOT NULL"
		" AND retain_from >= $1 ORDER BY retain_from LIMIT 1",
		{TIMESTAMPTZOID}
	},
	[PNVS_CLAIMERS] = {
		"SELECT DISTINCT claimer::bigint FROM ONLY %1$s WHERE settled_at IS NULL"
		" AND state = 'sending' AND origin_timeline >= 0 AND claimer IS NOT NULL",
		{0}
	},
	[PNVS_SELECT_CLAIMED] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE settled_at IS NULL AND state = 'sending'"
		" AND origin_timeline >= 0 AND claimer = $1",
		{INT8OID}
	},
	/* A row of which only the claim is known: the request may have gone out. */
	[PNVS_INTERRUPT] = {
		"UPDATE ONLY %1$s SET state = 'unknown', claimer = NULL, unknown_since = $2, not_before = $2,"
		" code = 'Local.Interrupted', message = 'the sender ended before the reply came'"
		" WHERE id = ANY (ARRAY(SELECT id FROM ONLY %1$s WHERE id = ANY ($1)"
		" AND origin_database >= '0' FOR NO KEY UPDATE SKIP LOCKED))"
		" AND origin_database >= '0' AND settled_at IS NULL AND state = 'sending'",
		{INT8ARRAYOID, TIMESTAMPTZOID}
	},
	[PNVS_PURGE] = {
		"DELETE FROM ONLY %1$s WHERE origin_database >= '0' AND id = ANY (ARRAY(SELECT id"
		" FROM ONLY %1$s WHERE settled_at IS NOT NULL AND retain_from >= $1 AND retain_from < $2"
		" ORDER BY retain_from LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING retain_from::timestamptz",
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_SELECT_UNKNOWN] = {
		SELECT_ROWS " AND state = 'unknown' AND origin_timeline >= 0"
		" AND not_before <= $1"
		" AND id <> ALL ($3) ORDER BY not_before, id LIMIT $2",
		{TIMESTAMPTZOID, INT8OID, INT8ARRAYOID}
	},

	/*
	 * A record of the number may be of a message that is still being sent.
	 * The state is not written in the way of the index of open rows, here and
	 * below: all rows that are being sent, or were, would be read in it.
	 */
	[PNVS_SELECT_BEING_SENT] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE settled_at IS NULL AND claimer IS NOT NULL"
		" AND recipient = $1 AND service_sid = $2 AND id <> $3 AND origin_timeline >= $4"
		" AND state || '' = 'sending' LIMIT 1",
		{TEXTOID, TEXTOID, INT8OID, INT4OID}
	},

	/* A record of the number may be of any of these. */
	[PNVS_SELECT_SIBLINGS] = {
		SELECT_ROWS " AND unknown_since IS NOT NULL AND recipient = $1"
		" AND service_sid = $2 AND channel = $3 AND state || '' = 'unknown'",
		{TEXTOID, TEXTOID, TEXTOID}
	},

	/*
	 * Messages of verifications since $1 that may have been sent: being sent,
	 * or of unknown fate, also if nobody looks for them any more.
	 */
	[PNVS_SELECT_UNSURE] = {
		"SELECT phone_verification::uuid, recipient::text,"
		" coalesce(dispatched_at, created_at)::timestamptz, unknown_since::timestamptz"
		" FROM ONLY %1$s WHERE not_before > $1"
		" AND phone_verification IS NOT NULL AND verification_id IS NULL"
		" AND (claimer IS NOT NULL OR unknown_since IS NOT NULL) LIMIT $2",
		{TIMESTAMPTZOID, INT8OID}
	},
	[PNVS_TAKEN_VERIFICATIONS] = {
		"SELECT verification_id::text FROM ONLY %1$s WHERE verification_id = ANY ($1)"
		" AND origin_timeline >= 0",
		{TEXTARRAYOID}
	},

	[PNVS_SELECT_FAILED] = {
		"SELECT id::bigint, code::text, phone_verification::uuid FROM ONLY %1$s WHERE id = ANY ($1)"
		" AND origin_database >= '0' AND state = 'failed' AND code IS NOT NULL"
		" AND phone_verification IS NOT NULL",
		{INT8ARRAYOID}
	},

	/* Of a number: its messages, as support sees them. */
	[PNVS_SELECT_NUMBER] = {
		"SELECT phone_verification::uuid, channel::text, state::text, attempts::integer,"
		" created_at::timestamptz, send_before::timestamptz, dispatched_at::timestamptz,"
		" unknown_since::timestamptz, settled_at::timestamptz, code::text,"
		" pg_get_userbyid(requested_by)::text"
		" FROM ONLY %1$s WHERE " OF_NUMBER " ORDER BY id",
		{OF_NUMBER_TYPES}
	},
	[PNVS_LOCK_NUMBER] = {
		"SELECT id::bigint FROM ONLY %1$s WHERE " OF_NUMBER " ORDER BY id FOR UPDATE",
		{OF_NUMBER_TYPES}
	},
	[PNVS_SELECT_ERASABLE] = {
		SELECT_ROWS " AND " OF_NUMBER " AND state || '' = $5 ORDER BY id",
		{OF_NUMBER_TYPES, TEXTOID}
	},

	/*
	 * A message that is being sent needs its number until it is settled; if
	 * it was not sent then, it is too late for another attempt.
	 */
	[PNVS_ERASE_NUMBER] = {
		"UPDATE ONLY %1$s SET recipient_hash = NULL, admission_key = NULL, reference = NULL,"
		" dedup_key = NULL,"
		" recipient = CASE state WHEN 'sending' THEN recipient ELSE $3 END,"
		" send_before = CASE state WHEN 'sending' THEN least(send_before, $5) ELSE send_before END,"
		" code = CASE WHEN settled_at IS NULL AND state = 'unknown' THEN $6 ELSE code END,"
		" message = CASE WHEN settled_at IS NULL AND state = 'unknown' THEN $7 ELSE message END,"
		" settled_at = CASE state WHEN 'sending' THEN settled_at ELSE coalesce(settled_at, $5) END,"
		" retain_from = CASE WHEN settled_at IS NULL THEN " RETAIN_FROM("$5") " ELSE retain_from END,"
		" state = CASE state WHEN 'queued' THEN 'canceled' ELSE state END"
		" WHERE " OF_NUMBER,
		{OF_NUMBER_TYPES, TIMESTAMPTZOID, TEXTOID, TEXTOID}
	},
};

PnvsTable	pnvs_queue_table = {
	.name = "queue",
	.hint = "Undo the change. React to NOTIFY, or read verification_queue, instead of adding to the table.",
	.columns = columns,
	.ncolumns = lengthof(columns),
	.statements = statements,
	.nstatements = lengthof(statements),
	.not_negative = PNVS_COLUMN_ORIGIN_TIMELINE
};

/* The sequence that gives the IDs, or an error; the table exists. */
Oid
pnvs_queue_sequence(void)
{
	static Oid	known = InvalidOid;
	Oid			sequence = pnvs_table_find_member("queue_id_seq", &known);

	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the sequence \"pnvs_internal.queue_id_seq\" is missing"),
				 errhint("Drop the extension pnvs and create it again."),
				 pnvs_errhide()));
	return sequence;
}
