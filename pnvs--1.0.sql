/* pnvs--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pnvs" to load this file. \quit

CREATE TYPE start_verification_result AS (
	request_id text,
	code text,
	message text,
	success boolean,
	verification_id text,
	status text,
	verify_code text,
	http_status integer
);

CREATE TYPE check_verification_result AS (
	request_id text,
	code text,
	message text,
	success boolean,
	approved boolean,
	verification_id text,
	phone_number text,
	channel text,
	status text,
	http_status integer
);

CREATE TYPE begin_verification_result AS (
	id uuid,
	state text,
	channel text,
	refused text,
	retry_after integer,
	resend_at timestamptz,
	expires_at timestamptz
);

CREATE TYPE phone_verification_status_result AS (
	id uuid,
	state text,
	channel text,
	refused text,
	retry_after integer,
	resend_at timestamptz,
	expires_at timestamptz,
	approved boolean,
	tries_left integer,
	purpose text
);

CREATE TYPE confirm_verification_result AS (
	approved boolean,
	state text,
	tries_left integer,
	retry_after integer
);

CREATE TYPE search_verification_record AS (
	verification_id text,
	"to" text,
	channel text,
	service_sid text,
	status text,
	send_date timestamptz,
	updated_date timestamptz
);

-- Sending and checking change something outside, once and in this session, so
-- no part of such a query may run in a parallel worker: they are UNSAFE.  A
-- search changes nothing, but it uses the session's connection and settings:
-- RESTRICTED to the leader.  One call costs as much as a hundred thousand
-- operators, so that the planner puts it behind every other condition.

CREATE FUNCTION start_verification(
	channel text,
	"to" text,
	service_sid text DEFAULT NULL,
	rate_key text DEFAULT NULL,
	trusted boolean DEFAULT false
) RETURNS start_verification_result
AS 'MODULE_PATHNAME', 'pnvs_start_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

CREATE FUNCTION check_verification(
	code text,
	verification_id text,
	"to" text DEFAULT NULL,
	service_sid text DEFAULT NULL
) RETURNS check_verification_result
AS 'MODULE_PATHNAME', 'pnvs_check_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

CREATE FUNCTION search_verification(
	service_sid text DEFAULT NULL,
	"to" text DEFAULT NULL,
	code text DEFAULT NULL,
	verification_id text DEFAULT NULL,
	send_date timestamptz DEFAULT NULL,
	page_size integer DEFAULT 20,
	max_records integer DEFAULT 1000
) RETURNS SETOF search_verification_record
AS 'MODULE_PATHNAME', 'pnvs_search_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 100000 ROWS 100;

-- What a text is as a number depends on nothing but the text, so columns, indexes
-- and CHECKs can be made of it.
CREATE FUNCTION normalize_phone_number(text) RETURNS text
AS 'MODULE_PATHNAME', 'pnvs_normalize_phone_number'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION phone_number_country(text) RETURNS text
AS 'MODULE_PATHNAME', 'pnvs_phone_number_country'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION start_verification(text, text, text, text, boolean) IS
'send a one-time code by SMS, VOICE or WHATSAPP';
COMMENT ON FUNCTION check_verification(text, text, text, text) IS
'check the code that a person typed';
COMMENT ON FUNCTION search_verification(text, text, text, text, timestamptz, integer, integer) IS
'look up what was sent in the last 30 days';

COMMENT ON FUNCTION normalize_phone_number(text) IS
'a phone number in the form of E.164, with its plus sign';
COMMENT ON FUNCTION phone_number_country(text) IS
'the country that a phone number is taken for, by ISO 3166';

-- The queue.  Its table stands in a schema of its own, where no grant on the tables of
-- the extension's schema reaches; roles read it through a view.
CREATE SCHEMA pnvs_internal;

CREATE SEQUENCE pnvs_internal.queue_id_seq;

-- One row a message, waiting or settled.  No defaults, checks or domains: the library
-- writes every column, and what PostgreSQL would evaluate here could be replaced by code
-- of the table's owner.  Of the columns from claimer on the view shows source and
-- phone_verification alone.
CREATE TABLE pnvs_internal.queue (
	id bigint NOT NULL,
	channel text NOT NULL,
	recipient text NOT NULL,
	service_sid text NOT NULL,
	state text NOT NULL,
	not_before timestamptz NOT NULL,
	send_before timestamptz NOT NULL,
	attempts integer NOT NULL,
	created_at timestamptz NOT NULL,
	settled_at timestamptz,
	requested_by oid NOT NULL,
	reference text,
	dedup_key text,
	request_id text,
	verification_id text,
	status text,
	code text,
	message text,
	http_status integer,
	claimer bigint,
	dispatched_at timestamptz,
	unknown_since timestamptz,
	-- pnvs.retention counts from here: the row was settled, and its dedup_for is over
	retain_from timestamptz NOT NULL,
	origin_system bigint NOT NULL,
	origin_database oid NOT NULL,
	origin_timeline integer NOT NULL,
	-- the places that the message has under the limits, NULL if none; rate_key as a hash
	admission_due timestamptz,
	admission_key bigint,
	admission_trusted boolean,
	-- the table of the trigger that queued the message
	source text,
	-- the number under a key of the database: it stays when recipient is masked
	recipient_hash bigint,
	-- the verification that the message is of, and its message before this
	phone_verification uuid,
	previous bigint,
	PRIMARY KEY (requested_by, id)
);

ALTER SEQUENCE pnvs_internal.queue_id_seq OWNED BY pnvs_internal.queue.id;

-- A dump holds the sequence's position, so that no ID is given twice after a
-- restore, but not the rows: a copy must not send them.
SELECT pg_catalog.pg_extension_config_dump('pnvs_internal.queue_id_seq', '');

-- Comparisons of text and numbers are leakproof, so a role's condition on a column of the
-- view can become an index condition below the view, and EXPLAIN ANALYZE counts the rows
-- of other roles that it meets.  So an index either begins with the requester, which
-- serves a role on its own rows, or it depends on a column that the view lacks, and only
-- the library's statements can use it.  For the index of IDs that is a column of its own:
-- otherwise the planner would read the whole index if it expects a handful of rows.
-- A message has three versions, with an entry each.  In one list with the living one, the
-- dead could not be marked as dead, and whoever reads the message would meet them for ever.
CREATE UNIQUE INDEX queue_id_idx ON pnvs_internal.queue (id) WITH (deduplicate_items = off)
	WHERE origin_database OPERATOR(pg_catalog.>=) 0::pg_catalog.oid;
-- open rows, in the order in which they are due
CREATE INDEX queue_open_idx ON pnvs_internal.queue (state, not_before, id)
	WHERE settled_at IS NULL AND origin_timeline OPERATOR(pg_catalog.>=) 0;
-- rows that are being sent to a number, or may have been
CREATE INDEX queue_recipient_idx ON pnvs_internal.queue (recipient, service_sid)
	WHERE settled_at IS NULL AND (claimer IS NOT NULL OR unknown_since IS NOT NULL);
-- messages of verifications that may have been sent, and whose ID is not known
CREATE INDEX queue_unsure_idx ON pnvs_internal.queue (not_before)
	WHERE phone_verification IS NOT NULL AND verification_id IS NULL
		AND (claimer IS NOT NULL OR unknown_since IS NOT NULL);
-- verification IDs, to which a record of the service is compared
CREATE INDEX queue_verification_idx ON pnvs_internal.queue (verification_id)
	WHERE verification_id IS NOT NULL AND origin_timeline OPERATOR(pg_catalog.>=) 0;
-- settled rows, by their age
CREATE INDEX queue_retain_idx ON pnvs_internal.queue (retain_from)
	WHERE settled_at IS NOT NULL;
-- for a repeat of a key, and for an application's look-ups
CREATE INDEX queue_dedup_idx ON pnvs_internal.queue (requested_by, dedup_key, created_at)
	WHERE dedup_key IS NOT NULL;
CREATE INDEX queue_reference_idx ON pnvs_internal.queue (requested_by, reference)
	WHERE reference IS NOT NULL;

-- the messages of a number, but for those of verifications, and of a row that a trigger has seen
CREATE INDEX queue_recipient_hash_idx ON pnvs_internal.queue (recipient_hash)
	WHERE recipient_hash IS NOT NULL;
CREATE INDEX queue_source_idx ON pnvs_internal.queue (source, reference)
	WHERE settled_at IS NULL AND source IS NOT NULL AND origin_timeline OPERATOR(pg_catalog.>=) 0;

-- The key of the hashes in the tables of pnvs, one row.  It goes where the database goes,
-- but not into a dump: the rows that it is for are not there either.  If logical replication
-- adds the row of another database, the origin tells which is this one's.
CREATE TABLE pnvs_internal.hash_key (
	key bytea NOT NULL,
	origin_system bigint NOT NULL,
	origin_database oid NOT NULL
);

INSERT INTO pnvs_internal.hash_key (key, origin_system, origin_database)
	SELECT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
		OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())),
		c.system_identifier, d.oid
	FROM pg_catalog.pg_control_system() c, pg_catalog.pg_database d
	WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();

-- One row a verification; its messages are rows of the queue.  As there, the library writes
-- every column.  No role reads the table, not even through a view: who knows an ID may use it.
-- No index has a column that an approval, its use or a wrong code changes, and a page keeps room
-- for a second version of each of its rows: so the new version stands beside the old one, and the
-- indexes stay as they are, even if one transaction uses all of a page's rows up.
CREATE TABLE pnvs_internal.phone_verification (
	-- columns of indexes, which every update compares, come first: they are found at once
	id uuid NOT NULL PRIMARY KEY,
	begun_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	recipient_hash bigint,
	session_hash bigint,
	ended_at timestamptz,
	requested_by oid NOT NULL,
	state text NOT NULL,
	recipient text NOT NULL,
	purpose text,
	reference text,
	service_sid text NOT NULL,
	-- the channels that were asked for, and which of them a fallback goes on from
	channels text[] NOT NULL,
	channel_position integer NOT NULL,
	-- of the last message
	channel text NOT NULL,
	last_message bigint,
	messages integer NOT NULL,
	is_decoy boolean NOT NULL,
	-- resends count under the same rate_key, kept as a hash, and as the same customer's
	admission_key bigint,
	trusted boolean NOT NULL,
	resend_at timestamptz NOT NULL,
	refused text,
	refused_count integer NOT NULL,
	tries integer NOT NULL,
	wrong_at timestamptz[],
	approved_at timestamptz,
	approved_code bigint,
	used_at timestamptz,
	origin_system bigint NOT NULL,
	origin_database oid NOT NULL
) WITH (fillfactor = 45);

-- the verification that a session has under way
CREATE INDEX phone_verification_session_idx ON pnvs_internal.phone_verification (session_hash)
	WHERE session_hash IS NOT NULL;
-- those of a number; no two entries are equal, here and below, so that nobody need look for such
CREATE INDEX phone_verification_recipient_idx ON pnvs_internal.phone_verification (recipient_hash, begun_at)
	WITH (deduplicate_items = off) WHERE recipient_hash IS NOT NULL;
-- those whose number is to be masked, and those that are to be deleted, by their age
CREATE INDEX phone_verification_expires_idx ON pnvs_internal.phone_verification (expires_at)
	WITH (deduplicate_items = off) WHERE ended_at IS NULL;
CREATE INDEX phone_verification_ended_idx ON pnvs_internal.phone_verification (ended_at)
	WHERE ended_at IS NOT NULL;

-- No statistics: the planner's estimates would tell a role of frequent values in the rows of
-- others.  Row security without a policy: not even a member of pg_write_all_data writes here.
DO $$
DECLARE
	name pg_catalog.text;
	relation pg_catalog.regclass;
BEGIN
	FOR relation, name IN
		SELECT a.attrelid, a.attname FROM pg_catalog.pg_attribute a
		WHERE a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY['pnvs_internal.queue'::pg_catalog.regclass,
				'pnvs_internal.hash_key'::pg_catalog.regclass,
				'pnvs_internal.phone_verification'::pg_catalog.regclass])
			AND a.attnum OPERATOR(pg_catalog.>) 0
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ALTER %I SET STATISTICS 0', relation, name);
	END LOOP;
END
$$;

ALTER TABLE pnvs_internal.queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE pnvs_internal.hash_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE pnvs_internal.phone_verification ENABLE ROW LEVEL SECURITY;

-- A role sees its own messages; a role with the privilege SELECT on the table sees those
-- of all others, too.  As a union it cannot be written to.
CREATE VIEW verification_queue WITH (security_barrier) AS
	SELECT q.id, q.channel, q.recipient, q.service_sid, q.state, q.not_before, q.send_before,
		q.attempts, q.created_at, q.settled_at,
		pg_catalog.pg_get_userbyid(q.requested_by)::pg_catalog.text AS requested_by,
		q.source, q.reference, q.dedup_key, q.phone_verification, q.request_id, q.verification_id,
		q.status, q.code, q.message, q.http_status
	FROM ONLY pnvs_internal.queue AS q
	WHERE q.requested_by OPERATOR(pg_catalog.=)
		(SELECT pg_catalog.quote_ident(CURRENT_USER)::pg_catalog.regrole::pg_catalog.oid)
UNION ALL
	SELECT q.id, q.channel, q.recipient, q.service_sid, q.state, q.not_before, q.send_before,
		q.attempts, q.created_at, q.settled_at,
		pg_catalog.pg_get_userbyid(q.requested_by)::pg_catalog.text,
		q.source, q.reference, q.dedup_key, q.phone_verification, q.request_id, q.verification_id,
		q.status, q.code, q.message, q.http_status
	FROM ONLY pnvs_internal.queue AS q
	WHERE (SELECT pg_catalog.has_table_privilege('pnvs_internal.queue'::pg_catalog.regclass, 'SELECT'))
		AND q.requested_by OPERATOR(pg_catalog.<>)
			(SELECT pg_catalog.quote_ident(CURRENT_USER)::pg_catalog.regrole::pg_catalog.oid)
		-- only who gets here may use the library's indexes
		AND q.origin_timeline OPERATOR(pg_catalog.>=) 0
		AND q.origin_database OPERATOR(pg_catalog.>=) 0::pg_catalog.oid;

COMMENT ON SCHEMA pnvs_internal IS 'tables of pnvs that only its functions write';
COMMENT ON TABLE pnvs_internal.queue IS 'SELECT on this table lets a role see everybody''s messages in the view';
COMMENT ON TABLE pnvs_internal.hash_key IS 'a secret of this database: never show or copy it';
COMMENT ON TABLE pnvs_internal.phone_verification IS 'verifications from beginning to end; for functions of pnvs alone';
COMMENT ON VIEW verification_queue IS 'messages to be sent after commit, and what became of them';

CREATE FUNCTION enqueue_verification(
	channel text,
	"to" text,
	service_sid text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	send_within interval DEFAULT '5 minutes',
	dedup_key text DEFAULT NULL,
	dedup_for interval DEFAULT '60 seconds',
	rate_key text DEFAULT NULL,
	trusted boolean DEFAULT false
) RETURNS bigint
AS 'MODULE_PATHNAME', 'pnvs_enqueue_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION cancel_verification(id bigint) RETURNS boolean
AS 'MODULE_PATHNAME', 'pnvs_cancel_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION await_verification(id bigint, timeout interval DEFAULT '30 seconds')
RETURNS verification_queue
AS 'MODULE_PATHNAME', 'pnvs_await_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

CREATE FUNCTION check_queued_verification(code text, id bigint, "to" text DEFAULT NULL)
RETURNS check_verification_result
AS 'MODULE_PATHNAME', 'pnvs_check_queued_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

CREATE FUNCTION enqueue_verification_trigger() RETURNS trigger
AS 'MODULE_PATHNAME', 'pnvs_enqueue_verification_trigger'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;

CREATE PROCEDURE process_verification_queue(max_requests integer DEFAULT 100)
AS 'MODULE_PATHNAME', 'pnvs_process_verification_queue'
LANGUAGE C;

COMMENT ON FUNCTION enqueue_verification(text, text, text, timestamptz, interval, text, interval,
	text, boolean) IS
'queue a one-time code, to be sent after this transaction has committed';
COMMENT ON FUNCTION cancel_verification(bigint) IS
'take a queued message back';
COMMENT ON FUNCTION await_verification(bigint, interval) IS
'wait for what becomes of a queued message';
COMMENT ON FUNCTION check_queued_verification(text, bigint, text) IS
'check the code that a person typed, by the queue''s ID';
COMMENT ON FUNCTION enqueue_verification_trigger() IS
'queue a one-time code for each row of a table';
COMMENT ON PROCEDURE process_verification_queue(integer) IS
'send the messages that are due from this session';

-- Verifications from beginning to end.
CREATE FUNCTION begin_verification(
	"to" text,
	channels text[] DEFAULT '{SMS}',
	purpose text DEFAULT NULL,
	session_key text DEFAULT NULL,
	rate_key text DEFAULT NULL,
	trusted boolean DEFAULT false,
	send boolean DEFAULT true,
	valid_for interval DEFAULT '10 minutes',
	service_sid text DEFAULT NULL,
	reference text DEFAULT NULL
) RETURNS begin_verification_result
AS 'MODULE_PATHNAME', 'pnvs_begin_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION resend_verification(id uuid, channel text DEFAULT NULL)
RETURNS begin_verification_result
AS 'MODULE_PATHNAME', 'pnvs_resend_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION cancel_phone_verification(id uuid) RETURNS boolean
AS 'MODULE_PATHNAME', 'pnvs_cancel_phone_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION phone_verification_status(id uuid) RETURNS phone_verification_status_result
AS 'MODULE_PATHNAME', 'pnvs_phone_verification_status'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

COMMENT ON FUNCTION begin_verification(text, text[], text, text, text, boolean, boolean, interval,
	text, text) IS
'begin to verify a phone number; the code is sent after this transaction has committed';
COMMENT ON FUNCTION resend_verification(uuid, text) IS
'send another code of a verification, by its next channel or the one that is named';
COMMENT ON FUNCTION cancel_phone_verification(uuid) IS
'end a verification that is not used yet';
COMMENT ON FUNCTION phone_verification_status(uuid) IS
'what has become of a verification';

CREATE FUNCTION confirm_verification(id uuid, code text) RETURNS confirm_verification_result
AS 'MODULE_PATHNAME', 'pnvs_confirm_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION confirm_verification(uuid, text) IS
'is this the code that a person was sent? For the page alone: use_verification() grants';

-- An approval is used up by one of these, in the caller's transaction.
CREATE FUNCTION use_verification(
	id uuid,
	purpose text DEFAULT NULL,
	good_for interval DEFAULT '1 hour'
) RETURNS text
AS 'MODULE_PATHNAME', 'pnvs_use_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

CREATE FUNCTION require_verification() RETURNS trigger
AS 'MODULE_PATHNAME', 'pnvs_require_verification'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;

COMMENT ON FUNCTION use_verification(uuid, text, interval) IS
'the phone number of an approved verification, once';
COMMENT ON FUNCTION require_verification() IS
'constraint trigger: a row with a phone number needs an approved verification of it, which is used up';

-- For support.  The history reads what has been committed by now, whatever snapshot its
-- statement has, and both enter tables as their owner.
CREATE TYPE verification_history_record AS (
	at timestamptz,
	event text,
	verification integer,
	channel text,
	detail text,
	count integer,
	purpose text,
	requested_by text,
	until timestamptz
);

CREATE FUNCTION verification_history("to" text) RETURNS SETOF verification_history_record
AS 'MODULE_PATHNAME', 'pnvs_verification_history_of'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 20;

CREATE FUNCTION erase_phone_number("to" text) RETURNS bigint
AS 'MODULE_PATHNAME', 'pnvs_erase_phone_number'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000;

COMMENT ON FUNCTION verification_history(text) IS
'for support: what happened to a phone number, and what blocks it now';
COMMENT ON FUNCTION erase_phone_number(text) IS
'take a phone number out of all rows of pnvs, and cancel what is pending';

-- The guard.  A function under each view reads shared memory; who may select from a view
-- needs the privilege on its function, too.  The functions stand in the other schema: tools
-- that make an interface of a schema trip over a view and a function of one name.
CREATE FUNCTION pnvs_internal.guard_rules(
	OUT rule text,
	OUT admitted bigint,
	OUT refused bigint,
	OUT observed bigint,
	OUT observed_approved bigint,
	OUT keys bigint,
	OUT forgotten bigint,
	OUT since timestamptz
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pnvs_stat_guard'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 100 ROWS 20;

CREATE FUNCTION pnvs_internal.breakers(
	OUT country text,
	OUT state text,
	OUT open_until timestamptz,
	OUT numbers bigint,
	OUT approved bigint,
	OUT judged_numbers bigint,
	OUT judged_approved bigint,
	OUT refused bigint,
	OUT observed bigint
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pnvs_breakers'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 100 ROWS 50;

CREATE VIEW pnvs_stat_guard AS
	SELECT rule, admitted, refused, observed, observed_approved, keys, forgotten, since
	FROM pnvs_internal.guard_rules();

CREATE VIEW pnvs_breakers AS
	SELECT country, state, open_until, numbers, approved, judged_numbers, judged_approved,
		refused, observed
	FROM pnvs_internal.breakers();

CREATE FUNCTION unblock_phone_number("to" text) RETURNS void
AS 'MODULE_PATHNAME', 'pnvs_unblock_phone_number'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

CREATE FUNCTION pnvs_guard_reset(scope text DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'pnvs_guard_reset_scope'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

COMMENT ON FUNCTION pnvs_internal.guard_rules() IS 'what the view pnvs_stat_guard shows';
COMMENT ON FUNCTION pnvs_internal.breakers() IS 'what the view pnvs_breakers shows';
COMMENT ON VIEW pnvs_stat_guard IS 'what each rule of pnvs.limits has admitted and refused';
COMMENT ON VIEW pnvs_breakers IS 'the breaker of each country: what is open, until when, on which figures';
COMMENT ON FUNCTION unblock_phone_number(text) IS 'for support: reset what limits a phone number';
COMMENT ON FUNCTION pnvs_guard_reset(text) IS 'for superusers: reset the limits of a scope, or all';

-- Nobody but the owner holds any privilege on any of this: not PUBLIC, and not
-- the roles that somebody's ALTER DEFAULT PRIVILEGES names.
DO $$
DECLARE
	command pg_catalog.text;
BEGIN
	FOR command IN
		SELECT pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE',
				object.kind, object.name,
				CASE WHEN grant_to.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid
					THEN 'PUBLIC'
					ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grant_to.grantee)) END)
		FROM (
			SELECT 'ROUTINE' AS kind, p.oid::pg_catalog.regprocedure::pg_catalog.text AS name,
				p.proowner AS owner,
				coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl
			FROM pg_catalog.pg_proc p
			JOIN pg_catalog.pg_depend d
				ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
				AND d.objid OPERATOR(pg_catalog.=) p.oid
			JOIN pg_catalog.pg_extension e
				ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'pnvs'::pg_catalog.name
				AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
			UNION ALL
			SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
				c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner,
				coalesce(c.relacl, pg_catalog.acldefault(
					CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::pg_catalog."char", c.relowner))
			FROM pg_catalog.pg_class c
			JOIN pg_catalog.pg_depend d
				ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
				AND d.objid OPERATOR(pg_catalog.=) c.oid
			JOIN pg_catalog.pg_extension e
				ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'pnvs'::pg_catalog.name
				AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
				AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,S,v}'::pg_catalog."char"[])
			UNION ALL
			SELECT 'TYPE', t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner,
				coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			FROM pg_catalog.pg_type t
			JOIN pg_catalog.pg_depend d
				ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
				AND d.objid OPERATOR(pg_catalog.=) t.oid
			JOIN pg_catalog.pg_extension e
				ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'pnvs'::pg_catalog.name
				AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
				-- since 17 array types and row types are members too; the first have no
				-- privileges of their own, and those of the second are of no use to anybody
				AND t.typarray OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
					WHERE c.oid OPERATOR(pg_catalog.=) t.typrelid
						AND c.relkind OPERATOR(pg_catalog.<>) 'c'::pg_catalog."char")
			UNION ALL
			SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), n.nspowner,
				coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
			FROM pg_catalog.pg_namespace n
			JOIN pg_catalog.pg_depend d
				ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
				AND d.objid OPERATOR(pg_catalog.=) n.oid
			JOIN pg_catalog.pg_extension e
				ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'pnvs'::pg_catalog.name
				AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
		) AS object,
		LATERAL pg_catalog.aclexplode(object.acl) AS grant_to
		WHERE grant_to.grantee OPERATOR(pg_catalog.<>) object.owner
		GROUP BY 1
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;

-- These send nothing and read nothing: they are for everybody.
GRANT EXECUTE ON FUNCTION normalize_phone_number(text), phone_number_country(text) TO PUBLIC;

-- The owner of the database must be able to dump the sequence's position.
GRANT USAGE ON SCHEMA pnvs_internal TO pg_database_owner;
GRANT SELECT ON SEQUENCE pnvs_internal.queue_id_seq TO pg_database_owner;

-- They show no number.
GRANT EXECUTE ON FUNCTION pnvs_internal.guard_rules(), pnvs_internal.breakers() TO pg_monitor;
GRANT SELECT ON pnvs_stat_guard, pnvs_breakers TO pg_monitor;
