--
-- After CREATE EXTENSION no role but the owner holds any privilege, whatever
-- ALTER DEFAULT PRIVILEGES says; and the GRANTs of the four uses.
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
			FROM pg_type WHERE typarray <> 0	-- an array type has its element's
		UNION ALL
		SELECT 'pg_class'::regclass, oid, relowner,
				coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
			FROM pg_class
	) AS m (classid, oid, owner, acl)
	JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.oid AND d.deptype = 'e'
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	CROSS JOIN LATERAL aclexplode(m.acl) AS a
	WHERE e.extname = 'pnvs' AND a.grantee <> m.owner;

--
-- by default
--
CREATE EXTENSION pnvs SCHEMA regress_pnvs;
SELECT * FROM regress_pnvs.granted;
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

CREATE EXTENSION pnvs SCHEMA regress_pnvs;
SELECT * FROM regress_pnvs.granted;
SELECT count(*) AS members, count(*) FILTER (WHERE owner = 'regress_pnvs_admin'::regrole) AS owned
	FROM (
		SELECT proowner FROM pg_proc WHERE pronamespace = 'regress_pnvs'::regnamespace
		UNION ALL
		SELECT typowner FROM pg_type
			WHERE typnamespace = 'regress_pnvs'::regnamespace AND typname LIKE '%verification%'
				AND typelem = 0
	) AS member (owner);

ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC, regress_pnvs_web;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM regress_pnvs_web;
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
GRANT EXECUTE ON FUNCTION start_verification(text, text, text)
	TO regress_pnvs_sender;
GRANT EXECUTE ON FUNCTION check_verification(text, text, text, text)
	TO regress_pnvs_checker;
GRANT EXECUTE ON FUNCTION
	search_verification(text, text, text, text, timestamptz, integer, integer)
	TO regress_pnvs_support;

SELECT * FROM granted ORDER BY object, grantee;
SELECT use,
		has_function_privilege('regress_pnvs_' || use,
			'start_verification(text, text, text)', 'EXECUTE') AS start,
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
GRANT EXECUTE ON FUNCTION start_verification(text, text, text) TO regress_pnvs_web;
RESET ROLE;
SELECT has_function_privilege('regress_pnvs_web', 'start_verification(text, text, text)',
	'EXECUTE') AS web_may_start;

DROP EXTENSION pnvs;
DROP SCHEMA regress_pnvs CASCADE;
RESET search_path;
DROP OWNED BY regress_pnvs_admin;
DROP ROLE regress_pnvs_admin, regress_pnvs_web, "regress_pnvs_we""b 'role';--",
	regress_pnvs_sender, regress_pnvs_checker, regress_pnvs_support, regress_pnvs_monitor;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress\_pnvs\_%';
