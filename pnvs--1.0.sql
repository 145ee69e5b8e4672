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
	service_sid text DEFAULT NULL
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

COMMENT ON FUNCTION start_verification(text, text, text) IS
'send a one-time code by SMS, VOICE or WHATSAPP';
COMMENT ON FUNCTION check_verification(text, text, text, text) IS
'check the code that a person typed';
COMMENT ON FUNCTION search_verification(text, text, text, text, timestamptz, integer, integer) IS
'look up what was sent in the last 30 days';

-- The queue: one row a message, waiting or settled.  The columns from claimer on
-- are pnvs's own.
CREATE SEQUENCE verification_queue_id_seq;

-- Not a constraint of the table's, which PostgreSQL reads anew for each statement.
CREATE DOMAIN verification_state AS text CHECK (VALUE OPERATOR(pg_catalog.=) ANY
	('{queued,sending,sent,failed,unknown,expired,canceled}'::pg_catalog.text[]));

CREATE TABLE verification_queue (
	id bigint NOT NULL DEFAULT pg_catalog.nextval('verification_queue_id_seq') PRIMARY KEY,
	channel text NOT NULL,
	recipient text NOT NULL,
	service_sid text NOT NULL,
	state verification_state NOT NULL DEFAULT 'queued',
	not_before timestamptz NOT NULL,
	send_before timestamptz NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL,
	settled_at timestamptz,
	requested_by regrole NOT NULL,
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
	-- No defaults: a row that comes from elsewhere must not look like our own.
	origin_system bigint NOT NULL,
	origin_database oid NOT NULL,
	origin_timeline integer NOT NULL
);

ALTER SEQUENCE verification_queue_id_seq OWNED BY verification_queue.id;

-- A dump holds the sequence's position, so that no ID is given twice after a
-- restore, but not the rows: a copy must not send them.
SELECT pg_catalog.pg_extension_config_dump('verification_queue_id_seq', '');

-- What is still to be done, in the order in which it is to be done; what may have
-- reached a number, or not; what is done, by its age; and what a repeat or a search is
-- compared with.
CREATE INDEX verification_queue_open_idx ON verification_queue (state, not_before, id)
	WHERE settled_at IS NULL;
CREATE INDEX verification_queue_unknown_idx ON verification_queue (recipient, service_sid)
	WHERE settled_at IS NULL AND unknown_since IS NOT NULL;
CREATE INDEX verification_queue_settled_idx ON verification_queue (settled_at)
	WHERE settled_at IS NOT NULL;
CREATE INDEX verification_queue_dedup_idx ON verification_queue (requested_by, dedup_key, created_at)
	WHERE dedup_key IS NOT NULL;
CREATE INDEX verification_queue_verification_idx ON verification_queue (verification_id)
	WHERE verification_id IS NOT NULL;

-- A role sees its own requests, unless a policy of the owner's lets it see more.
ALTER TABLE verification_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON verification_queue FOR SELECT
	USING (requested_by OPERATOR(pg_catalog.=)
		(SELECT pg_catalog.quote_ident(CURRENT_USER)::pg_catalog.regrole));

COMMENT ON DOMAIN verification_state IS 'how far a message has come';
COMMENT ON TABLE verification_queue IS 'messages to be sent after commit, and what became of them';

CREATE FUNCTION enqueue_verification(
	channel text,
	"to" text,
	service_sid text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	send_within interval DEFAULT '5 minutes',
	dedup_key text DEFAULT NULL,
	dedup_for interval DEFAULT '60 seconds'
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

CREATE FUNCTION check_verification(code text, id bigint, "to" text DEFAULT NULL)
RETURNS check_verification_result
AS 'MODULE_PATHNAME', 'pnvs_check_queued_verification'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000;

CREATE FUNCTION enqueue_verification_trigger() RETURNS trigger
AS 'MODULE_PATHNAME', 'pnvs_enqueue_verification_trigger'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;

CREATE PROCEDURE process_verification_queue(max_requests integer DEFAULT 100)
AS 'MODULE_PATHNAME', 'pnvs_process_verification_queue'
LANGUAGE C;

COMMENT ON FUNCTION enqueue_verification(text, text, text, timestamptz, interval, text, interval) IS
'queue a one-time code, to be sent after this transaction has committed';
COMMENT ON FUNCTION cancel_verification(bigint) IS
'take a queued message back';
COMMENT ON FUNCTION await_verification(bigint, interval) IS
'wait for what becomes of a queued message';
COMMENT ON FUNCTION check_verification(text, bigint, text) IS
'check the code that a person typed, by the queue''s ID';
COMMENT ON FUNCTION enqueue_verification_trigger() IS
'queue a one-time code for each row of a table';
COMMENT ON PROCEDURE process_verification_queue(integer) IS
'send what is due from this session';

-- The table's row type is no member of the extension by itself.
REVOKE ALL ON TYPE verification_queue FROM PUBLIC;

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
				AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,S}'::pg_catalog."char"[])
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
				-- since 17 array types are members too; they have no privileges of their own
				AND t.typarray OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
			UNION ALL
			-- A table's row type is a member since 17 only, but goes with the table: who may build
			-- on it can keep the owner from dropping or changing the table.
			SELECT 'TYPE', t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner,
				coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			FROM pg_catalog.pg_type t
			JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.typrelid
			JOIN pg_catalog.pg_depend d
				ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
				AND d.objid OPERATOR(pg_catalog.=) c.oid
			JOIN pg_catalog.pg_extension e
				ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'pnvs'::pg_catalog.name
				AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
				AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char"
		) AS object,
		LATERAL pg_catalog.aclexplode(object.acl) AS grant_to
		WHERE grant_to.grantee OPERATOR(pg_catalog.<>) object.owner
		GROUP BY 1
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;

-- An extension's first privileges are noted for pg_dump, but it does not know
-- of row types, and would warn at every dump.  Since 17 the owner is kept from
-- being dropped by such a note, too.
DELETE FROM pg_catalog.pg_init_privs
WHERE classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
	AND objoid OPERATOR(pg_catalog.=) 'verification_queue'::pg_catalog.regtype;
DELETE FROM pg_catalog.pg_shdepend
WHERE dbid OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database AS d
		WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
	AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
	AND objid OPERATOR(pg_catalog.=) 'verification_queue'::pg_catalog.regtype
	AND deptype OPERATOR(pg_catalog.=) 'i'::pg_catalog."char";
