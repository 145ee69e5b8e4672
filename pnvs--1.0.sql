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
			SELECT 'FUNCTION' AS kind, p.oid::pg_catalog.regprocedure::pg_catalog.text AS name,
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
		) AS object,
		LATERAL pg_catalog.aclexplode(object.acl) AS grant_to
		WHERE grant_to.grantee OPERATOR(pg_catalog.<>) object.owner
		GROUP BY 1
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;
