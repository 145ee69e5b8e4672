--
-- Secrets are never shown, and refused where everybody could read them.
--

CREATE EXTENSION pnvs;
-- One of the two keys is always empty here, so that no call can go out.
SET pnvs.access_key_id = '';
SELECT * FROM search_verification();	-- which loads the library

-- Which of the two keys a call misses first: it tells what has been set.
CREATE FUNCTION missing() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	PERFORM search_verification();
	RETURN 'nothing';
EXCEPTION WHEN config_file_error THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END
$$;

--
-- what is shown
--
CREATE VIEW shown AS
	SELECT name, setting, boot_val, reset_val, sourcefile, current_setting(name)
	FROM pg_settings
	WHERE name IN ('pnvs.access_key_id', 'pnvs.access_key_secret', 'pnvs.security_token')
	ORDER BY name COLLATE "C";
CREATE ROLE regress_pnvs_plain;
CREATE ROLE regress_pnvs_monitor;
GRANT SELECT ON shown TO regress_pnvs_plain, regress_pnvs_monitor;
GRANT pg_monitor, pg_read_all_settings TO regress_pnvs_monitor;

-- nothing is set, and that is shown
SELECT * FROM shown;
SET pnvs.access_key_secret = 'regress-secret';
SET pnvs.security_token = 'regress-token';
SELECT * FROM shown;
SHOW pnvs.access_key_id;
SHOW pnvs.access_key_secret;
SHOW pnvs.security_token;
SELECT current_setting('pnvs.access_key_secret');
SELECT set_config('pnvs.access_key_secret', 'regress-other', false);
SET ROLE regress_pnvs_plain;
SELECT * FROM shown;
SHOW pnvs.access_key_secret;
SET ROLE regress_pnvs_monitor;
SELECT * FROM shown;
SHOW pnvs.access_key_secret;
RESET ROLE;
SELECT count(*) AS shows_it FROM pg_settings WHERE pg_settings::text LIKE '%regress-%'
	AND name LIKE 'pnvs.%';

--
-- what is set is used
--
RESET pnvs.access_key_secret;
RESET pnvs.security_token;
SELECT missing();
SET pnvs.access_key_id = 'regress-id';
SET pnvs.access_key_secret = '';
SELECT missing();
BEGIN;
SET LOCAL pnvs.access_key_id = '';
SET LOCAL pnvs.access_key_secret = 'regress-secret';
SELECT missing();
COMMIT;
SELECT missing();
BEGIN;
SET pnvs.access_key_id = '';
SELECT missing();
SAVEPOINT before;
SET pnvs.access_key_id = 'regress-id';
SELECT missing();
ROLLBACK TO before;
SELECT missing();
ROLLBACK;
SELECT missing();
SET pnvs.access_key_id TO DEFAULT;
SET pnvs.access_key_id = '';
SELECT missing();

--
-- bad values, none of which is echoed
--
CREATE FUNCTION outcome(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE format('SET %s = %L', setting, value);
	RETURN 'set';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;
\pset format unaligned
SELECT what, outcome('pnvs.access_key_secret', value)
	FROM (VALUES
		('128 characters', repeat('x', 128)),
		('256 characters', repeat('x', 256)),
		('257 characters', repeat('x', 257)),
		('any visible character', '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~'),
		('space behind', 'regress '),
		('space in the middle', 'reg ress'),
		('line break behind', E'regress\n'),
		('header of its own', E'regress\r\nHost: evil'),
		('tab', E'\tregress'),
		('DEL', E'regress\x7f'),
		('not ASCII', U&'r\00E9gress'),
		('the mask', '********'),
		('what is shown of none', '(none)'),
		('7 stars', '*******'),
		('9 stars', '*********'))
	AS secret (what, value);
RESET pnvs.access_key_secret;
SELECT length, outcome('pnvs.access_key_id', repeat('x', length)) AS id,
		outcome('pnvs.security_token', repeat('x', length)) AS token
	FROM (VALUES (128), (129), (4096), (4097)) AS secret (length);
RESET pnvs.security_token;
SET pnvs.access_key_id = '';
SELECT name, outcome(name, '********') FROM shown;
SELECT name, outcome(name, 'regress secret') FROM shown;
\pset format aligned

-- a refused value leaves the one before
SET pnvs.access_key_id = 'regress-id';
SET pnvs.access_key_id = 'regress id';
SELECT missing();
SET pnvs.access_key_id = '';

--
-- refused where everybody can read it
--
SELECT current_database() AS database \gset
ALTER ROLE regress_pnvs_plain SET pnvs.access_key_id = 'regress-id';
ALTER ROLE regress_pnvs_plain SET pnvs.access_key_secret = 'regress-secret';
ALTER ROLE regress_pnvs_plain IN DATABASE :"database" SET pnvs.security_token = 'regress-token';
ALTER ROLE ALL SET pnvs.access_key_secret = 'regress-secret';
ALTER DATABASE :"database" SET pnvs.access_key_secret = 'regress-secret';
ALTER DATABASE :"database" SET pnvs.access_key_secret FROM CURRENT;
CREATE FUNCTION with_secret() RETURNS text LANGUAGE sql
	SET pnvs.access_key_secret = 'regress-secret' AS $$SELECT 'x'$$;
ALTER FUNCTION missing() SET pnvs.access_key_secret = 'regress-secret';
CREATE FUNCTION with_secret() RETURNS text LANGUAGE sql
	SET pnvs.access_key_secret FROM CURRENT AS $$SELECT 'x'$$;
SELECT count(*) AS stored FROM pg_db_role_setting WHERE setconfig::text LIKE '%pnvs%';
SELECT count(*) AS stored FROM pg_proc WHERE proconfig::text LIKE '%pnvs%';

--
-- who may set it
--
GRANT SET ON PARAMETER pnvs.access_key_id TO regress_pnvs_plain;
SET ROLE regress_pnvs_plain;
SET pnvs.access_key_id = 'regress-id';
SHOW pnvs.access_key_id;
SET pnvs.access_key_secret = 'regress-secret';
ALTER ROLE regress_pnvs_plain SET pnvs.access_key_id = 'regress-id';
RESET ROLE;
SELECT missing();

DROP OWNED BY regress_pnvs_plain;
DROP VIEW shown;
DROP ROLE regress_pnvs_plain, regress_pnvs_monitor;
DROP FUNCTION outcome(text, text);
DROP FUNCTION missing();
DROP EXTENSION pnvs;
