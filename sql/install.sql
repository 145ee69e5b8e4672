--
-- CREATE EXTENSION makes what is documented, and DROP EXTENSION leaves nothing.
--

-- A session that has just ended may still be dropping its temporary tables,
-- which would count below.
DO $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '1 minute';
BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend'
				AND pid <> pg_backend_pid()) LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'another session stays in this database';
		END IF;
		PERFORM pg_sleep(0.01);
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END
$$;

-- How many rows each catalog has.  The tables are made first, so that they
-- count on both sides.
CREATE TEMPORARY TABLE size_before (catalog text, size bigint);
CREATE TEMPORARY TABLE size_after (catalog text, size bigint);
CREATE TEMPORARY VIEW catalog_size AS
	SELECT 'pg_proc' AS catalog, count(*) AS size FROM pg_proc
	UNION ALL SELECT 'pg_type', count(*) FROM pg_type
	UNION ALL SELECT 'pg_class', count(*) FROM pg_class
	UNION ALL SELECT 'pg_attribute', count(*) FROM pg_attribute
	UNION ALL SELECT 'pg_description', count(*) FROM pg_description
	UNION ALL SELECT 'pg_init_privs', count(*) FROM pg_init_privs
	UNION ALL SELECT 'pg_depend', count(*) FROM pg_depend
	UNION ALL SELECT 'pg_shdepend', count(*) FROM pg_shdepend
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	UNION ALL SELECT 'pg_namespace', count(*) FROM pg_namespace
	UNION ALL SELECT 'pg_extension', count(*) FROM pg_extension;
INSERT INTO size_before SELECT * FROM catalog_size;

-- only a superuser may create it
SELECT superuser, trusted, relocatable, schema, requires
	FROM pg_available_extension_versions WHERE name = 'pnvs' AND version = '1.0';
CREATE ROLE regress_pnvs_plain;
GRANT CREATE ON SCHEMA public TO regress_pnvs_plain;
SET ROLE regress_pnvs_plain;
CREATE EXTENSION pnvs;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM regress_pnvs_plain;
DROP ROLE regress_pnvs_plain;

CREATE EXTENSION pnvs;

-- a second time
CREATE EXTENSION pnvs;
CREATE EXTENSION IF NOT EXISTS pnvs;

-- what it has
SELECT e.extversion = a.default_version AS newest, e.extrelocatable, a.comment
	FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
	WHERE e.extname = 'pnvs';
CREATE TEMPORARY VIEW member AS
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND e.extname = 'pnvs'
		-- since 17 a type's array type is a member, too, and a relation's row type
		AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
			WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
				AND (t.typarray = 0 OR c.relkind <> 'c'));
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS object
	FROM member ORDER BY object;

-- the functions, as users call them
\x on
SELECT p.proname AS function,
		pg_get_function_arguments(p.oid) AS arguments,
		pg_get_function_result(p.oid) AS result,
		obj_description(p.oid, 'pg_proc') AS comment
	FROM pg_proc p JOIN member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	ORDER BY p.proname COLLATE "C";
\x off

-- and as the planner sees them
SELECT p.proname AS function, l.lanname AS language, p.provolatile AS volatile,
		p.proisstrict AS strict, p.proparallel AS parallel,
		p.procost AS cost, p.prorows AS rows, p.proretset AS set,
		p.prosecdef AS definer, p.proleakproof AS leakproof, p.proconfig AS config
	FROM pg_proc p
	JOIN member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	JOIN pg_language l ON l.oid = p.prolang
	ORDER BY p.proname COLLATE "C";

-- the columns of the results
SELECT t.typname AS type, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS of
	FROM pg_type t
	JOIN member m ON m.objid = t.oid AND m.classid = 'pg_type'::regclass
	JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
	ORDER BY t.typname COLLATE "C", a.attnum;

-- the queue, as roles see it, in types that every driver knows; it cannot be written to
SELECT attname AS column, format_type(atttypid, atttypmod) AS of, attcollation::regcollation AS collation
	FROM pg_attribute WHERE attrelid = 'verification_queue'::regclass AND attnum > 0
	ORDER BY attnum;
SELECT is_updatable, is_insertable_into, is_trigger_updatable,
		pg_relation_is_updatable('verification_queue'::regclass, true) AS events
	FROM information_schema.views WHERE table_name = 'verification_queue';
SELECT reloptions FROM pg_class WHERE oid = 'verification_queue'::regclass;

-- the tables have nothing that would be evaluated, nor any statistics
SELECT c.oid::regclass::text COLLATE "C" AS relation,
		c.relrowsecurity AS row_security, c.relforcerowsecurity AS forced, c.relhastriggers AS triggers,
		c.relhasrules AS rules, c.relchecks AS checks,
		(SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies,
		(SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND atthasdef) AS defaults,
		(SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0
			AND attstattarget IS DISTINCT FROM 0) AS with_statistics
	FROM pg_class c WHERE relnamespace = 'pnvs_internal'::regnamespace AND relkind = 'r' ORDER BY 1;

-- each index of the queue leads with the requester, or has a condition on what only the library asks for
SELECT i.indexrelid::regclass::text COLLATE "C" AS index,
		pg_get_indexdef(i.indexrelid, 1, true) AS leads_with, pg_get_expr(i.indpred, i.indrelid) AS condition
	FROM pg_index i WHERE i.indrelid = 'pnvs_internal.queue'::regclass ORDER BY 1;

SELECT i.indexrelid::regclass::text COLLATE "C" AS index, i.indisunique AS unique,
		pg_get_indexdef(i.indexrelid, 1, true) AS leads_with, pg_get_expr(i.indpred, i.indrelid) AS condition
	FROM pg_index i WHERE i.indrelid = 'pnvs_internal.phone_verification'::regclass ORDER BY 1;

-- a key of the hashes, another in each database, and a dump would hold the sequence alone
SELECT count(*), min(octet_length(key)) AS length, bool_or(key = sha256('')) AS known FROM pnvs_internal.hash_key;
SELECT key AS former_key FROM pnvs_internal.hash_key \gset
SELECT array_agg(dumped::regclass) AS dumped FROM pg_extension, unnest(extconfig) AS dumped WHERE extname = 'pnvs';

-- variables and columns can hold them
CREATE TABLE sent (id integer, answer start_verification_result);
DO $$
DECLARE
	answer start_verification_result;
BEGIN
	answer.success := true;
	answer.verification_id := 'VE1';
	INSERT INTO sent VALUES (1, answer);
END
$$;
SELECT id, (answer).success, (answer).verification_id, (answer).code FROM sent;

-- and then stand in the way of DROP EXTENSION
DROP EXTENSION pnvs;
DROP TABLE sent;

-- a member cannot be dropped alone
DROP FUNCTION start_verification(text, text, text, text, boolean);

DROP VIEW member;
DROP EXTENSION pnvs;
INSERT INTO size_after SELECT * FROM catalog_size;
SELECT b.catalog, a.size - b.size AS left_behind
	FROM size_before b JOIN size_after a USING (catalog)
	WHERE a.size <> b.size;

-- it can come back in the same session, whose library stays loaded, and has another key
CREATE EXTENSION pnvs;
SELECT key = :'former_key'::bytea AS same_key FROM pnvs_internal.hash_key;
SET pnvs.access_key_id = '';
SELECT * FROM search_verification();
DROP EXTENSION pnvs;
CREATE EXTENSION pnvs;
SELECT * FROM search_verification();
DROP EXTENSION pnvs;

--
-- A type that somebody has altered: an error, and before anything is sent.
--
CREATE EXTENSION pnvs;
ALTER TYPE start_verification_result ALTER ATTRIBUTE http_status TYPE text;
SELECT start_verification('SMS', '6281234567890', 'FA1');
ALTER TYPE check_verification_result DROP ATTRIBUTE channel;
SELECT check_verification('123456', 'VE1');
ALTER TYPE search_verification_record ADD ATTRIBUTE more text;
SELECT search_verification();
DROP EXTENSION pnvs;
