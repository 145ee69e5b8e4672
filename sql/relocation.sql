--
-- The extension lives in any schema, which can be renamed, and works under an empty
-- search_path.  It cannot be moved: its tables have a schema of their own.
--

CREATE SCHEMA regress_pnvs_here;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_here;
SET pnvs.access_key_id = '';	-- so that no call can go out

CREATE FUNCTION pg_temp.places() RETURNS TABLE (kind text, schema name, members bigint)
LANGUAGE sql AS $$
	SELECT m.kind, n.nspname, count(*)
	FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_extension e ON d.refobjid = e.oid
		AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
	JOIN (
		SELECT 'function', 'pg_catalog.pg_proc'::regclass, oid, pronamespace FROM pg_catalog.pg_proc
		UNION ALL
		SELECT 'type', 'pg_catalog.pg_type'::regclass, oid, typnamespace FROM pg_catalog.pg_type
			-- since 17 array types are members, too, and row types of tables and views
			WHERE typarray <> 0 AND typrelid NOT IN (
				SELECT oid FROM pg_catalog.pg_class WHERE relkind <> 'c')
		UNION ALL
		SELECT 'relation', 'pg_catalog.pg_class'::regclass, oid, relnamespace FROM pg_catalog.pg_class
	) AS m (kind, classid, oid, namespace) ON d.classid = m.classid AND d.objid = m.oid
	JOIN pg_catalog.pg_namespace n ON n.oid = m.namespace
	WHERE e.extname = 'pnvs'
	GROUP BY 1, 2
	ORDER BY 1, 2
$$;
SELECT * FROM pg_temp.places();

-- the bare name is not found there (whose error each version words in its own way)
\set VERBOSITY sqlstate
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
\set VERBOSITY default

-- with the schema's name it is, under whatever path
SET search_path = '';
SELECT * FROM regress_pnvs_here.start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM regress_pnvs_here.check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM regress_pnvs_here.search_verification();
SET search_path = regress_pnvs_no_such_schema;
SELECT * FROM regress_pnvs_here.start_verification('SMS', '+44 7700 900123', 'FA1');
SET search_path = '';

-- what uses it goes with it where its schema gets another name
CREATE VIEW public.regress_pnvs_found AS
	SELECT * FROM regress_pnvs_here.search_verification();
CREATE VIEW public.regress_pnvs_queued AS
	SELECT id, state, requested_by = CURRENT_USER AS own FROM regress_pnvs_here.verification_queue;
PREPARE send AS
	SELECT * FROM regress_pnvs_here.start_verification('SMS', '+44 7700 900123', 'FA1');
EXECUTE send;
SELECT regress_pnvs_here.enqueue_verification('SMS', '+44 7700 900123', 'FA1');

-- it is not moved
CREATE SCHEMA regress_pnvs_there;
\set VERBOSITY sqlstate
ALTER EXTENSION pnvs SET SCHEMA regress_pnvs_there;
\set VERBOSITY default
DROP SCHEMA regress_pnvs_there;

ALTER SCHEMA regress_pnvs_here RENAME TO regress_pnvs_there;
SELECT * FROM pg_temp.places();
SELECT * FROM public.regress_pnvs_found;
SELECT regress_pnvs_there.enqueue_verification('SMS', '+44 7700 900123', 'FA1');
SELECT regress_pnvs_there.cancel_verification(1);
SELECT id, state FROM regress_pnvs_there.await_verification(1);
SELECT * FROM public.regress_pnvs_queued ORDER BY id;
SELECT * FROM regress_pnvs_there.start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM regress_pnvs_there.check_verification('123456', 'VE1', '+44 7700 900123');
SELECT * FROM regress_pnvs_there.search_verification();

-- and the old names are gone
\set VERBOSITY sqlstate
EXECUTE send;
SELECT * FROM regress_pnvs_here.start_verification('SMS', '+44 7700 900123', 'FA1');
\set VERBOSITY default
DEALLOCATE send;

-- the privileges are as they were
SELECT has_function_privilege('public', p.oid, 'EXECUTE') AS public_may, count(*)
	FROM pg_catalog.pg_proc p
	WHERE p.pronamespace = 'regress_pnvs_there'::regnamespace
	GROUP BY 1;

-- the schema takes the extension with it
DROP VIEW public.regress_pnvs_found, public.regress_pnvs_queued;
DROP SCHEMA regress_pnvs_there;
SET client_min_messages = warning;
DROP SCHEMA regress_pnvs_there CASCADE;
SELECT count(*) AS schemas FROM pg_catalog.pg_namespace WHERE nspname LIKE '%pnvs%';
SELECT count(*) AS extensions FROM pg_catalog.pg_extension WHERE extname = 'pnvs';

-- the schema of its tables goes with it alone, and is no other's
CREATE SCHEMA regress_pnvs_there;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_there;
DROP SCHEMA pnvs_internal CASCADE;
DROP EXTENSION pnvs;
\set SHOW_CONTEXT never
CREATE SCHEMA pnvs_internal;
CREATE EXTENSION pnvs SCHEMA pnvs_internal;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_there;
DROP SCHEMA pnvs_internal, regress_pnvs_there;
