--
-- After CREATE EXTENSION no role but the owner holds any privilege, whatever
-- ALTER DEFAULT PRIVILEGES says, but for what the database's owner needs for a dump;
-- the GRANTs of the four uses; and what more than these does not give.
--

CREATE ROLE regress_pnvs_admin SUPERUSER;
CREATE ROLE regress_pnvs_web;
CREATE ROLE "regress_pnvs_we""b 'role';--";
CREATE SCHEMA regress_pnvs;
GRANT USAGE, CREATE ON SCHEMA regress_pnvs TO PUBLIC;

-- Who but the owner holds what on which member of the extension.
CREATE VIEW regress_pnvs.granted AS
	SELECT pg_describe_object(m.classid, m.oid, 0) COLLATE "C" AS object,
		CASE WHEN a.grantee = 0 THEN 'PUBLIC'
			ELSE pg_get_userbyid(a.grantee) END COLLATE "C" AS grantee,
		a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS privilege
	FROM (
		SELECT 'pg_proc'::regclass, oid, proowner, coalesce(proacl, acldefault('f', proowner))
			FROM pg_proc
		UNION ALL
		SELECT 'pg_type'::regclass, oid, typowner, coalesce(typacl, acldefault('T', typowner))
			-- an array type has its element's; the row types of relations, members since
			-- 17, are left as PostgreSQL makes them
			FROM pg_type WHERE typarray <> 0
				AND typrelid NOT IN (SELECT oid FROM pg_class WHERE relkind <> 'c')
		UNION ALL
		SELECT 'pg_class'::regclass, oid, relowner,
				coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
			FROM pg_class
		UNION ALL
		SELECT 'pg_class'::regclass, c.oid, relowner, attacl
			FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
		UNION ALL
		SELECT 'pg_namespace'::regclass, oid, nspowner, coalesce(nspacl, acldefault('n', nspowner))
			FROM pg_namespace
	) AS m (classid, oid, owner, acl)
	JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	CROSS JOIN LATERAL aclexplode(m.acl) AS a
	WHERE e.extname = 'pnvs' AND a.grantee <> m.owner;

--
-- by default
--
CREATE EXTENSION pnvs SCHEMA regress_pnvs;
SELECT * FROM regress_pnvs.granted ORDER BY object, grantee;
DROP EXTENSION pnvs;

--
-- under hostile defaults
--
SET ROLE regress_pnvs_admin;
-- in the database
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC, regress_pnvs_web;
-- in the schema
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_pnvs
	GRANT ALL ON FUNCTIONS TO "regress_pnvs_we""b 'role';--" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_pnvs
	GRANT ALL ON TABLES TO "regress_pnvs_we""b 'role';--" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_pnvs
	GRANT ALL ON SEQUENCES TO "regress_pnvs_we""b 'role';--" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_pnvs
	GRANT ALL ON TYPES TO "regress_pnvs_we""b 'role';--" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_pnvs GRANT ALL ON FUNCTIONS TO PUBLIC;

-- they are at work
CREATE FUNCTION regress_pnvs.control() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END COLLATE "C" AS grantee,
		privilege_type, is_grantable
	FROM pg_proc, aclexplode(proacl)
	WHERE proname = 'control' AND grantee <> proowner
	ORDER BY 1;
DROP FUNCTION regress_pnvs.control();
CREATE TYPE regress_pnvs.control AS ENUM ();
SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END COLLATE "C" AS grantee,
		privilege_type, is_grantable
	FROM pg_type, aclexplode(typacl)
	WHERE typname = 'control' AND grantee <> typowner
	ORDER BY 1;
DROP TYPE regress_pnvs.control;
CREATE SCHEMA regress_pnvs_control;
CREATE VIEW regress_pnvs.control AS SELECT;
SELECT has_schema_privilege('public', 'regress_pnvs_control', 'CREATE') AS schemas,
		has_table_privilege('public', 'regress_pnvs.control', 'UPDATE') AS tables,
		has_table_privilege('regress_pnvs_we"b ''role'';--', 'regress_pnvs.control',
			'DELETE WITH GRANT OPTION') AS grantable;
DROP VIEW regress_pnvs.control;
DROP SCHEMA regress_pnvs_control;

CREATE EXTENSION pnvs SCHEMA regress_pnvs;
SELECT * FROM regress_pnvs.granted ORDER BY object, grantee;
SELECT count(*) AS members, count(*) FILTER (WHERE owner = 'regress_pnvs_admin'::regrole) AS owned
	FROM (
		SELECT proowner FROM pg_proc WHERE pronamespace = 'regress_pnvs'::regnamespace
		UNION ALL
		SELECT typowner FROM pg_type
			WHERE typnamespace = 'regress_pnvs'::regnamespace AND typname LIKE '%verification%'
				AND typelem = 0
		UNION ALL
		SELECT relowner FROM pg_class WHERE relnamespace = 'pnvs_internal'::regnamespace
		UNION ALL
		SELECT nspowner FROM pg_namespace WHERE nspname = 'pnvs_internal'
	) AS member (owner);

ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC, regress_pnvs_web;
RESET ROLE;

--
-- without a grant nobody calls
--
SET search_path = regress_pnvs;
SET pnvs.access_key_id = '';	-- so that no call can go out
SET ROLE regress_pnvs_web;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM search_verification();
SELECT enqueue_verification('SMS', '+44 7700 900123', 'FA1');
SELECT cancel_verification(1);
SELECT * FROM await_verification(1);
CALL process_verification_queue();
SELECT * FROM begin_verification('+44 7700 900123');
SELECT * FROM resend_verification(NULL);
SELECT cancel_phone_verification(NULL);
SELECT * FROM phone_verification_status(NULL);
SELECT * FROM verification_queue;
SELECT * FROM pnvs_internal.queue;
SELECT * FROM pnvs_internal.hash_key;
SELECT * FROM pnvs_internal.phone_verification;
-- nor with bad arguments, about which nothing is said
SELECT * FROM start_verification('PIGEON', 'nobody');
-- nor builds on the types
CREATE TABLE trap (answer start_verification_result);
CREATE FUNCTION trap() RETURNS start_verification_result LANGUAGE sql
	AS $$SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1')$$;
RESET ROLE;

--
-- the four uses
--
CREATE ROLE regress_pnvs_sender;
CREATE ROLE regress_pnvs_checker;
CREATE ROLE regress_pnvs_support;
CREATE ROLE regress_pnvs_monitor;
GRANT EXECUTE ON FUNCTION start_verification(text, text, text, text, boolean)
	TO regress_pnvs_sender;
GRANT EXECUTE ON FUNCTION check_verification(text, text, text, text)
	TO regress_pnvs_checker;
GRANT EXECUTE ON FUNCTION
	search_verification(text, text, text, text, timestamptz, integer, integer)
	TO regress_pnvs_support;

SELECT * FROM granted ORDER BY object, grantee;
SELECT use,
		has_function_privilege('regress_pnvs_' || use,
			'start_verification(text, text, text, text, boolean)', 'EXECUTE') AS start,
		has_function_privilege('regress_pnvs_' || use,
			'check_verification(text, text, text, text)', 'EXECUTE') AS check,
		has_function_privilege('regress_pnvs_' || use,
			'search_verification(text, text, text, text, timestamptz, integer, integer)',
			'EXECUTE') AS search
	FROM unnest(ARRAY['sender', 'checker', 'support', 'monitor']) AS use;

-- F0000: the call was allowed, and only the credentials are missing
\set VERBOSITY sqlstate
SET ROLE regress_pnvs_sender;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM search_verification();
SET ROLE regress_pnvs_checker;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM search_verification();
SET ROLE regress_pnvs_support;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM search_verification();
SET ROLE regress_pnvs_monitor;
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM search_verification();
RESET ROLE;
\set VERBOSITY default

-- A sender's function may hold an answer in a variable without more; for a
-- column it needs the type.
SET ROLE regress_pnvs_sender;
DO $$
DECLARE
	answer regress_pnvs.start_verification_result;
BEGIN
	answer.status := 'pending';
	RAISE NOTICE '%', answer;
END
$$;
CREATE TABLE sent (answer start_verification_result);
RESET ROLE;
GRANT USAGE ON TYPE start_verification_result TO regress_pnvs_sender;
SET ROLE regress_pnvs_sender;
CREATE TABLE sent (answer start_verification_result);
DROP TABLE sent;

-- a sender cannot hand the right on
GRANT EXECUTE ON FUNCTION start_verification(text, text, text, text, boolean) TO regress_pnvs_web;
RESET ROLE;
SELECT has_function_privilege('regress_pnvs_web', 'start_verification(text, text, text, text, boolean)',
	'EXECUTE') AS web_may_start;

--
-- too generous
--
SELECT enqueue_verification('SMS', '+44 7700 900120', 'FA1');
GRANT ALL ON ALL TABLES IN SCHEMA regress_pnvs TO regress_pnvs_web;
GRANT ALL ON ALL SEQUENCES IN SCHEMA regress_pnvs TO regress_pnvs_web;
GRANT EXECUTE ON FUNCTION enqueue_verification TO regress_pnvs_web;
SET ROLE regress_pnvs_web;
SELECT enqueue_verification('SMS', '+44 7700 900121', 'FA1');
SELECT id, recipient FROM verification_queue;
-- (each version words these in its own way)
\set VERBOSITY sqlstate
INSERT INTO verification_queue (id) VALUES (99);
UPDATE verification_queue SET recipient = '447700900122';
DELETE FROM verification_queue;
TRUNCATE verification_queue;
CREATE RULE send AS ON INSERT TO verification_queue DO INSTEAD NOTHING;
\set VERBOSITY default
-- this locks nothing
BEGIN;
SELECT id FROM verification_queue FOR UPDATE;
RESET ROLE;
SELECT count(*) AS locked FROM pnvs_internal.queue WHERE xmax <> 0;
COMMIT;

-- what a trigger of theirs does it does as whoever writes to the view
SET ROLE regress_pnvs_web;
CREATE FUNCTION regress_pnvs.caught() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'caught %', CURRENT_USER; END $$;
CREATE TRIGGER caught INSTEAD OF INSERT OR UPDATE OR DELETE ON verification_queue
	FOR EACH ROW EXECUTE FUNCTION regress_pnvs.caught();
RESET ROLE;
SELECT cancel_verification(enqueue_verification('SMS', '+44 7700 900120', 'FA1'));

-- who has SELECT on the table sees all of it through the view, and nothing beside
GRANT SELECT ON verification_queue TO regress_pnvs_support;
GRANT SELECT ON pnvs_internal.queue TO regress_pnvs_support;
SET ROLE regress_pnvs_support;
SELECT id, recipient, state FROM verification_queue ORDER BY id;
SELECT * FROM pnvs_internal.queue;
SELECT nextval('pnvs_internal.queue_id_seq');
-- nor can it lock the table below the view
BEGIN;
LOCK TABLE verification_queue IN ROW EXCLUSIVE MODE;
ROLLBACK;
RESET ROLE;
-- not even in the schema
GRANT USAGE ON SCHEMA pnvs_internal TO regress_pnvs_support;
SET ROLE regress_pnvs_support;
SELECT * FROM pnvs_internal.queue;
SELECT nextval('pnvs_internal.queue_id_seq');
RESET ROLE;

-- who may write everything
CREATE ROLE regress_pnvs_writer IN ROLE pg_write_all_data;
SET ROLE regress_pnvs_writer;
INSERT INTO pnvs_internal.queue (id, channel, recipient, service_sid, state, not_before, send_before, attempts,
		created_at, requested_by, retain_from, origin_system, origin_database, origin_timeline)
	VALUES (99, 'SMS', '447700900199', 'FA1', 'queued', now(), now() + '1 hour', 0, now(), 10, now(), 0, 0, 1);
UPDATE pnvs_internal.queue SET recipient = '447700900199';
DELETE FROM pnvs_internal.queue;
TRUNCATE pnvs_internal.queue;
SELECT count(*) FROM pnvs_internal.queue;
INSERT INTO pnvs_internal.hash_key VALUES ('known');
UPDATE pnvs_internal.hash_key SET key = 'known';
DELETE FROM pnvs_internal.phone_verification;
RESET ROLE;
-- and who has all rights on the table
GRANT ALL ON ALL TABLES IN SCHEMA pnvs_internal TO regress_pnvs_support;
SET ROLE regress_pnvs_support;
UPDATE pnvs_internal.queue SET recipient = '447700900199';
DELETE FROM pnvs_internal.queue;
SELECT count(*) FROM pnvs_internal.queue;
UPDATE pnvs_internal.hash_key SET key = 'known';
SELECT count(*) FROM pnvs_internal.hash_key;
RESET ROLE;
SELECT key = 'known' AS known FROM pnvs_internal.hash_key;
SELECT id, recipient, state FROM verification_queue ORDER BY id;

-- the owner of the database, no superuser, reads the sequence for a dump, and no more
BEGIN;
CREATE ROLE regress_pnvs_owner;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO regress_pnvs_owner', current_database()); END $$;
SET ROLE regress_pnvs_owner;
SELECT last_value >= 3 AS position FROM pnvs_internal.queue_id_seq;
SAVEPOINT s;
SELECT nextval('pnvs_internal.queue_id_seq');
ROLLBACK TO s;
SELECT setval('pnvs_internal.queue_id_seq', 1);
ROLLBACK TO s;
SELECT * FROM pnvs_internal.queue;
ROLLBACK TO s;
CREATE TABLE pnvs_internal.more ();
ROLLBACK TO s;
SELECT * FROM regress_pnvs.verification_queue;
ROLLBACK;

DROP EXTENSION pnvs;
DROP SCHEMA regress_pnvs CASCADE;
RESET search_path;
DROP OWNED BY regress_pnvs_admin;
DROP ROLE regress_pnvs_admin, regress_pnvs_web, "regress_pnvs_we""b 'role';--",
	regress_pnvs_sender, regress_pnvs_checker, regress_pnvs_support, regress_pnvs_monitor, regress_pnvs_writer;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress\_pnvs\_%';
