--
-- What is set before the library is loaded is judged when it is loaded: PostgreSQL
-- takes any name with a dot and any value till then.
-- Every \c is a new session, and the first call of a function loads the library.
--

CREATE EXTENSION pnvs;
CREATE ROLE regress_pnvs_plain;
GRANT EXECUTE ON FUNCTION
	search_verification(text, text, text, text, timestamptz, integer, integer)
	TO regress_pnvs_plain;
CREATE VIEW shown AS
	SELECT name, setting, source FROM pg_settings
	WHERE name LIKE 'pnvs.%' AND source <> 'default'
	ORDER BY name COLLATE "C";
SELECT current_database() AS database \gset

--
-- good values
--
\c -
SET pnvs.access_key_secret = '';
SET pnvs.access_key_id = 'regress-id';
SET pnvs.endpoint = 'http://127.0.0.1:1';
SET pnvs.connect_timeout = '2s';
SET pnvs.on_failure = 'error';
SET pnvs.service_sid = 'FA1';
-- nobody has hidden it yet
SHOW pnvs.access_key_id;
SELECT * FROM search_verification();
SHOW pnvs.access_key_id;
SELECT * FROM shown;

--
-- bad values: nothing is sent until they are put right
--
\c -
SET pnvs.access_key_id = '';
SET pnvs.endpoint = 'https://user:hunter2@example.com/path';
SET pnvs.proxy = 'hunter2';
SET pnvs.ca_file = 'hunter2';
SET pnvs.service_sid = 'hunter 2';
SET pnvs.connect_timeout = 'hunter2';
SET pnvs.on_failure = 'hunter2';
SET pnvs.expose_verify_code = 'hunter2';
SET pnvs.hunter2 = 'hunter2';
\set VERBOSITY terse
SELECT * FROM search_verification();
\set VERBOSITY default
SELECT * FROM shown;
SHOW pnvs.endpoint;
SHOW pnvs.hunter2;
RESET pnvs.service_sid;
SELECT * FROM search_verification();
RESET pnvs.endpoint;
RESET pnvs.proxy;
RESET pnvs.ca_file;
RESET pnvs.connect_timeout;
RESET pnvs.on_failure;
\set VERBOSITY terse
SELECT * FROM search_verification();
RESET pnvs.expose_verify_code;
SELECT * FROM search_verification();
\set VERBOSITY default

--
-- bad secrets: the same
--
\c -
SET pnvs.access_key_id = 'regress id';
SET pnvs.access_key_secret = '********';
SET pnvs.security_token = E'regress\ntoken';
SELECT * FROM search_verification();
SELECT * FROM shown;
SELECT * FROM search_verification();

--
-- values of a plain role: a warning each where only a superuser may set it
--
\c -
SET ROLE regress_pnvs_plain;
SET pnvs.access_key_id = 'regress-id';
SET pnvs.access_key_secret = 'regress-secret';
SET pnvs.security_token = 'regress-token';
SET pnvs.endpoint = 'https://evil.example';
SET pnvs.proxy = 'http://evil.example';
SET pnvs.ca_file = '/tmp/evil';
SET pnvs.expose_verify_code = 'on';
SET pnvs.connect_timeout = '2s';
SET pnvs.on_failure = 'error';
SET pnvs.service_sid = 'FA1';
SELECT * FROM search_verification();
RESET ROLE;
SELECT * FROM shown;

--
-- values of the database
--
ALTER DATABASE :"database" SET pnvs.on_failure = 'error';
ALTER DATABASE :"database" SET pnvs.service_sid = 'FA2';
\c -
ALTER DATABASE :"database" SET pnvs.connect_timeout = 'hunter2';
-- where the library is not loaded nothing can refuse a secret
ALTER DATABASE :"database" SET pnvs.access_key_secret = 'regress-secret';
\c -
SET pnvs.access_key_id = 'regress-id';
SELECT * FROM search_verification();
SELECT * FROM shown;
-- and taking it back is not refused
ALTER DATABASE :"database" RESET pnvs.access_key_secret;
ALTER DATABASE :"database" RESET pnvs.connect_timeout;
ALTER DATABASE :"database" RESET pnvs.on_failure;
ALTER DATABASE :"database" RESET pnvs.service_sid;
SELECT count(*) AS left_behind FROM pg_db_role_setting WHERE setconfig::text LIKE '%pnvs%';

--
-- values that a transaction takes back
--
\c -
BEGIN;
SET pnvs.endpoint = 'http://127.0.0.1:1';
SET LOCAL pnvs.service_sid = 'FA3';
SET pnvs.access_key_id = '';
DO $$
BEGIN
	PERFORM search_verification();
EXCEPTION WHEN config_file_error THEN
	RAISE NOTICE 'no credentials';
END
$$;
SHOW pnvs.endpoint;
SHOW pnvs.service_sid;
ROLLBACK;
SHOW pnvs.endpoint;
SHOW pnvs.service_sid;

DROP VIEW shown;
DROP OWNED BY regress_pnvs_plain;
DROP ROLE regress_pnvs_plain;
DROP EXTENSION pnvs;
