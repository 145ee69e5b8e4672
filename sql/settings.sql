--
-- The settings: defaults, bounds, checks, and who may set them.
-- Secrets have a file of their own, and so has what is set before the library
-- is loaded.
--

CREATE EXTENSION pnvs;
SET pnvs.access_key_id = '';	-- so that no call can go out
SELECT * FROM search_verification();	-- which loads the library

SELECT name, vartype AS type, context, boot_val AS default
	FROM pg_settings WHERE name LIKE 'pnvs.%' ORDER BY name COLLATE "C";
SELECT name, short_desc, extra_desc
	FROM pg_settings WHERE name LIKE 'pnvs.%' ORDER BY name COLLATE "C";

-- What comes of setting one: its new value, or the error in a line.
CREATE FUNCTION outcome(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE format('SET %s = %L', setting, value);
	RETURN 'set to "' || current_setting(setting) || '"';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;

\pset format unaligned

--
-- the endpoint
--
SELECT value, outcome('pnvs.endpoint', value)
	FROM (VALUES
		('https://dypnsapi-intl.ap-southeast-1.aliyuncs.com'),
		('https://example.com:8443'),
		('HTTPS://EXAMPLE.COM'),
		('https://a'),
		('https://192.0.2.1'),
		('https://[2001:db8::1]:443'),
		('https://localhost'),
		('https://' || repeat('a', 63) || '.example'),
		('http://127.0.0.1'),
		('http://127.0.0.1:8080'),
		('http://127.255.255.254:65535'),
		('http://[::1]:8080'))
	AS good (value);
CREATE TEMPORARY TABLE bad_endpoint (value text);
INSERT INTO bad_endpoint VALUES
	-- scheme
	(''),
	('https'),
	('example.com'),
	('//example.com'),
	('ftp://example.com'),
	('file:///etc/passwd'),
	(' https://example.com'),
	-- host
	('https://'),
	('https:///'),
	('https://user:hunter2@example.com'),
	('https://example.com/'),
	('https://example.com/path'),
	('https://example.com?query'),
	('https://example.com#fragment'),
	('https://example.com '),
	('https://exam ple.com'),
	(E'https://example.com\n'),
	(E'https://example.com\r\nHost: evil'),
	('https://example.com.'),
	('https://.example.com'),
	('https://example..com'),
	('https://-example.com'),
	('https://example-.com'),
	('https://exam_ple.com'),
	('https://example%2ecom'),
	('https://example.com\@evil'),
	('https://' || repeat('a', 64) || '.example'),
	('https://' || repeat('a.', 127) || 'a'),
	('https://[2001:db8::1'),
	('https://[2001:db8::1%25eth0]'),
	('https://2001:db8::1'),
	('https://[]'),
	-- port
	('https://example.com:'),
	('https://example.com:0'),
	('https://example.com:0443'),
	('https://example.com:65536'),
	('https://example.com:99999999999999999999'),
	('https://example.com:443/'),
	('https://example.com:https'),
	('https://example.com:+443'),
	-- http:// beyond loopback
	('http://example.com'),
	('http://localhost:8080'),
	('http://128.0.0.1'),
	('http://127.1'),
	('http://127.0.0.256'),
	('http://127.0.0.01'),
	('http://127.0.0.1.example.com'),
	('http://0.0.0.0'),
	('http://2130706433'),
	('http://[::]'),
	('http://[::ffff:127.0.0.1]');
SELECT regexp_replace(value, '\s', ' ', 'g') AS value, outcome('pnvs.endpoint', value)
	FROM bad_endpoint;
SELECT 'not ASCII' AS value, outcome('pnvs.endpoint', U&'https://ex\00E4mple.com');

-- none of them took hold, and none is echoed
SHOW pnvs.endpoint;
SELECT count(*) AS errors,
		count(*) FILTER (WHERE outcome ~ 'example|hunter2|evil|passwd|2001|ping|localhost') AS that_echo
	FROM (SELECT outcome('pnvs.endpoint', value) FROM bad_endpoint) AS refused;
RESET pnvs.endpoint;

--
-- the proxy
--
SELECT value, outcome('pnvs.proxy', value)
	FROM (VALUES
		('http://proxy.example:3128'),
		('https://proxy.example'),
		('http://192.0.2.1:8080'),
		('http://[2001:db8::1]:3128'),
		(''),
		('proxy.example:3128'),
		('socks5://proxy.example:1080'),
		('http://user:hunter2@proxy.example:3128'),
		('http://proxy.example:3128/'),
		('http://proxy.example:0'),
		('http://'),
		(' '))
	AS proxy (value);
RESET pnvs.proxy;

--
-- the file of certificates
--
SELECT value, outcome('pnvs.ca_file', value)
	FROM (VALUES
		('/etc/ssl/certs/ca-certificates.crt'),
		('/no/such/file'),
		(''),
		('ca.pem'),
		('./ca.pem'),
		('~/ca.pem'),
		(' /etc/ssl/ca.pem'))
	AS ca_file (value);
RESET pnvs.ca_file;

--
-- the service
--
SELECT length(value) AS length, replace(outcome('pnvs.service_sid', value), repeat('F', 100), 'F*100 ') AS outcome
	FROM (VALUES
		(''),
		('FA00000000000001'),
		('!~'),
		(repeat('F', 128)),
		(repeat('F', 129)),
		('FA 1'),
		(' '),
		(E'FA1\n'),
		(E'FA\x7f'),
		(U&'F\00C41'))
	AS service (value);
RESET pnvs.service_sid;

--
-- the time-outs; each version words in its own way what is out of bounds
--
SELECT value, regexp_replace(outcome('pnvs.connect_timeout', value), ' / .*', '') AS connect,
		regexp_replace(outcome('pnvs.request_timeout', value), ' / .*', '') AS request
	FROM (VALUES
		('10'), ('10ms'), ('1500'), ('1500ms'), ('2s'), ('0.5s'), ('10min'), ('600000'),
		('9'), ('0'), ('-1'), ('600001'), ('11min'), ('1h'), ('5us'),
		(''), ('soon'), ('5 parsec'))
	AS time_out (value);
RESET pnvs.connect_timeout;
RESET pnvs.request_timeout;
SHOW pnvs.connect_timeout;
SHOW pnvs.request_timeout;

--
-- what is chosen
--
SELECT value, regexp_replace(outcome('pnvs.on_failure', value), ' / Available.*', '') AS outcome
	FROM (VALUES ('row'), ('error'), ('Error'), ('ROW'), ('raise'), (''), ('on'))
	AS on_failure (value);
RESET pnvs.on_failure;
SELECT value, outcome('pnvs.expose_verify_code', value)
	FROM (VALUES ('on'), ('off'), ('true'), ('0'), ('maybe'), (''))
	AS expose (value);
RESET pnvs.expose_verify_code;

\pset format aligned

--
-- nothing else is there
--
SET pnvs.foo = 'bar';
SET pnvs.endpoints = 'https://example.com';
SHOW pnvs.foo;
SELECT current_setting('pnvs.foo', true) IS NULL AS absent;

--
-- ALTER SYSTEM has somebody to tell, and takes no secret
--
ALTER SYSTEM SET pnvs.endpoint = '127.0.0.1:56190';
ALTER SYSTEM SET pnvs.worker = disabled;
ALTER SYSTEM SET pnvs.max_in_flight = '1O';
ALTER SYSTEM SET pnvs.access_key_secret = 'regress-secret';
ALTER SYSTEM SET pnvs.sending = perhaps;
ALTER SYSTEM SET pnvs.channels = 'SMS, FAX';
ALTER SYSTEM SET pnvs.channels = '';
ALTER SYSTEM SET pnvs.countries = 'ID UK';
ALTER SYSTEM SET pnvs.limits = 'number 1/30s, total 5/eon';
ALTER SYSTEM SET pnvs.breaker = 'country 50/1h 120% 1h';
ALTER SYSTEM SET pnvs.limits_mode = watch;
ALTER SYSTEM SET pnvs.guard_memory = '1023kB';
ALTER SYSTEM SET pnvs.max_tries = 0;
ALTER SYSTEM SET pnvs.test_numbers = '6590000001=123456 until 2027-01-31';
ALTER ROLE CURRENT_USER SET pnvs.test_numbers = '6590000001=123456 until 2027-01-31';
SET pnvs.test_numbers = '6590000001=123456 until 2027-01-31';
SELECT count(*) AS written FROM pg_file_settings WHERE name LIKE 'pnvs.%' AND sourcefile LIKE '%.auto.conf';

--
-- RESET, SET LOCAL, ROLLBACK, functions
--
SET pnvs.endpoint = 'http://127.0.0.1:1';
BEGIN;
SET LOCAL pnvs.endpoint = 'http://127.0.0.1:2';
SHOW pnvs.endpoint;
COMMIT;
SHOW pnvs.endpoint;
BEGIN;
SET pnvs.endpoint = 'http://127.0.0.1:3';
SAVEPOINT before;
SET pnvs.endpoint = 'http://127.0.0.1:4';
ROLLBACK TO before;
SHOW pnvs.endpoint;
ROLLBACK;
SHOW pnvs.endpoint;
RESET pnvs.endpoint;
SELECT current_setting('pnvs.endpoint') = reset_val AS reset
	FROM pg_settings WHERE name = 'pnvs.endpoint';
CREATE FUNCTION strict_on_failure() RETURNS text LANGUAGE sql
	SET pnvs.on_failure = error SET pnvs.service_sid = 'FA3'
	AS $$SELECT current_setting('pnvs.on_failure') || ' ' || current_setting('pnvs.service_sid')$$;
SELECT strict_on_failure(), current_setting('pnvs.on_failure') AS outside;
DROP FUNCTION strict_on_failure();
CREATE FUNCTION bad_setting() RETURNS text LANGUAGE sql
	SET pnvs.service_sid = 'FA 3' AS $$SELECT 'x'$$;

--
-- who may set what
--
CREATE ROLE regress_pnvs_plain;
CREATE ROLE regress_pnvs_granted;
GRANT SET ON PARAMETER pnvs.endpoint, pnvs.ca_file, pnvs.proxy, pnvs.expose_verify_code
	TO regress_pnvs_granted;
CREATE TEMPORARY TABLE attempt (name text, value text);
INSERT INTO attempt VALUES
	('pnvs.access_key_id', 'regress'),
	('pnvs.access_key_secret', 'regress'),
	('pnvs.ca_file', '/regress'),
	('pnvs.connect_timeout', '20'),
	('pnvs.endpoint', 'https://example.com'),
	('pnvs.expose_verify_code', 'on'),
	('pnvs.on_failure', 'error'),
	('pnvs.proxy', 'http://example.com'),
	('pnvs.request_timeout', '20'),
	('pnvs.security_token', 'regress'),
	('pnvs.service_sid', 'FA1');
GRANT SELECT ON attempt TO PUBLIC;
SET ROLE regress_pnvs_plain;
SELECT name, outcome(name, value) FROM attempt;
RESET pnvs.endpoint;
ALTER ROLE regress_pnvs_plain SET pnvs.endpoint = 'https://example.com';
RESET ROLE;
SET ROLE regress_pnvs_granted;
SELECT name, outcome(name, value) FROM attempt;
RESET ROLE;
SELECT count(*) AS attempts, count(*) FILTER (WHERE context = 'superuser') AS for_superusers
	FROM attempt JOIN pg_settings USING (name);

DROP OWNED BY regress_pnvs_granted;
DROP ROLE regress_pnvs_plain, regress_pnvs_granted;
SELECT count(*) AS grants FROM pg_parameter_acl WHERE parname LIKE 'pnvs.%';
DROP FUNCTION outcome(text, text);
DROP EXTENSION pnvs;
