--
-- Bad arguments are errors before a byte goes out, and no error shows them.
--

CREATE EXTENSION pnvs;

-- Without credentials no call can go out, whatever this server's configuration
-- says; but the arguments are judged first.
SET pnvs.access_key_id = '';

-- Where a call ends: with its error in a line, or "accepted" where only the
-- credentials are missing.
CREATE FUNCTION outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT * FROM ' || call;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	IF state = 'F0000' THEN
		RETURN 'accepted';
	END IF;
	RETURN concat_ws(' / ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;

-- good arguments, all of the error
\set VERBOSITY sqlstate
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
\set VERBOSITY default
SELECT * FROM start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT * FROM check_verification('123456', 'VE1');
SELECT * FROM search_verification();

-- in the target list, too
SELECT start_verification('SMS', '+44 7700 900123', 'FA1');
SELECT (check_verification('123456', 'VE1')).*;
SELECT search_verification();

\pset format unaligned

--
-- the channel
--
SELECT channel, outcome(format('start_verification(%L, ''447700900123'', ''FA1'')', channel))
	FROM (VALUES ('SMS'), ('sms'), ('Sms'), ('VOICE'), ('voice'), ('WHATSAPP'), ('WhatsApp'))
	AS good (channel);
SELECT what, outcome(format('start_verification(%L, ''447700900123'', ''FA1'')', channel))
	FROM (VALUES
		('null', NULL),
		('empty', ''),
		('another', 'MMS'),
		('too short', 'SM'),
		('too long', 'SMSS'),
		('space before', ' SMS'),
		('space behind', 'SMS '),
		('Turkish dotted I', U&'VO\0130CE'),
		('Turkish dotless i', U&'vo\0131ce'))
	AS bad (what, channel);

--
-- the number
--
SELECT number, outcome(format('start_verification(''SMS'', %L, ''FA1'')', number))
	FROM (VALUES
		('447700900123'),
		('+447700900123'),
		('+62 812-3456-7890'),
		('+1 (415) 555.0100'),
		(' + 44 7700 900123 '),
		('2904567'),
		('491512345678901'),
		('+229 01 97 12 34 56'),	-- Benin's 0 belongs to the number
		('+245 12 3456 7890'),	-- longer than the table of plans knows
		('210123456789'),	-- a calling code that nobody has yet
		(U&'+44\00A07700900123'),
		(U&'\FF14\FF147700900123'),
		(U&'\0664\06647700900123'),
		('tel:+44-7700-900123'))
	AS good (number);
CREATE TEMPORARY TABLE bad_number (what text, number text);
INSERT INTO bad_number VALUES
	('null', NULL),
	('empty', ''),
	('spaces', '   '),
	('plus sign alone', '+'),
	('letters', '+44 7700 CALLME'),
	('letter behind', '447700900123x'),
	('extension', '+44 7700 900123 #12'),
	('slash', '+44 7700/900123'),
	('national zero', '07700 900123'),
	('zero behind the plus sign', '+07700 900123'),
	('international prefix', '00447700900123'),
	('(0)', '+44 (0)7700 900123'),
	('plus sign in the middle', '44+7700900123'),
	('two plus signs', '++447700900123'),
	('6 digits', '447700'),
	('16 digits', '4477009001234567'),
	('tab', E'+44\t7700900123'),
	('trunk zero', '+44 07700 900123'),
	('decimal', '447700900123.0'),
	('ideographic digits', U&'\56DB\56DB7700900123');
SELECT what, outcome(format('start_verification(''SMS'', %L, ''FA1'')', number))
	FROM bad_number;

-- in the other calls the number may be null, and has the same faults
SELECT what,
		outcome(format('check_verification(''123456'', ''VE1'', %L)', number)) = start AS check,
		outcome(format('search_verification("to" => %L)', number)) = start AS search
	FROM (SELECT *, outcome(format('start_verification(''SMS'', %L, ''FA1'')', number)) AS start
		FROM bad_number) AS started;

-- a message goes only to a number that can exist; one that was sent to can still be checked
CREATE TEMPORARY TABLE no_recipient (what text, number text);
INSERT INTO no_recipient VALUES
	('too short for its country', '+65 9123 456'),
	('too long for its country', '+1 415 555 01000'),
	('of a country with one length', '+45 7700 9'),
	('premium rate', '+1 900 555 0100');
SELECT what, outcome(format('start_verification(''SMS'', %L, ''FA1'')', number))
	FROM no_recipient;
SELECT what, outcome(format('enqueue_verification(''SMS'', %L, ''FA1'')', number)) = outcome(format('start_verification(''SMS'', %L, ''FA1'')', number)) AS queued,
		outcome(format('check_verification(''123456'', ''VE1'', %L)', number)) AS check,
		outcome(format('search_verification("to" => %L)', number)) AS search
	FROM no_recipient;

-- no error shows a number
SELECT count(*) AS errors,
		count(*) FILTER (WHERE outcome ~ '7700|900123|CALLME') AS that_show_it
	FROM (SELECT outcome(format('start_verification(''SMS'', %L, ''FA1'')', number))
		FROM bad_number) AS started;

--
-- the service
--
SELECT what, outcome(format('start_verification(''SMS'', ''447700900123'', %L)', service_sid)) AS start,
		outcome(format('check_verification(''123456'', ''VE1'', NULL, %L)', service_sid)) AS check,
		outcome(format('search_verification(%L)', service_sid)) AS search
	FROM (VALUES
		('null', NULL),
		('1 character', '!'),
		('128 characters', repeat('~', 128)),
		('129 characters', repeat('~', 129)),
		('empty', ''),
		('space', 'FA 1'),
		('line break behind', E'FA1\n'),
		('DEL', E'FA\x7f'),
		('not ASCII', U&'F\00C41'))
	AS service (what, service_sid);

-- the setting stands in for null, and for nothing else
SET pnvs.service_sid = 'FA2';
SELECT outcome($$start_verification('SMS', '447700900123')$$) AS left_out,
		outcome($$start_verification('SMS', '447700900123', NULL)$$) AS "null",
		outcome($$start_verification('SMS', '447700900123', '')$$) AS empty;
RESET pnvs.service_sid;

--
-- the typed code
--
SELECT what, outcome(format('check_verification(%L, ''VE1'')', code)) AS check,
		outcome(format('search_verification("to" => ''6281234567890'', code => %L)', code)) AS search
	FROM (VALUES
		('1 character', '1'),
		('16 characters', repeat('1', 16)),
		('16 characters of 2 bytes', repeat(U&'\00E9', 16)),
		('16 characters of 4 bytes', repeat(U&'\+01F600', 16)),
		('spaces', ' 123 456 '),
		('null', NULL),
		('empty', ''),
		('17 characters', repeat('1', 17)),
		('17 characters of 2 bytes', repeat(U&'\00E9', 17)),
		('white space alone', E' \t\n'),
		('slash', '123/456'),
		('plus sign', '123+456'))
	AS typed (what, code);

--
-- the verification's ID
--
SELECT what, outcome(format('check_verification(''123456'', %L)', id)) AS check,
		outcome(format('search_verification(verification_id => %L)', id)) AS search
	FROM (VALUES
		('any character', U&'VE1/+=\00E9'),
		('256 bytes', repeat('V', 256)),
		('257 bytes', repeat('V', 257)),
		('null', NULL),
		('empty', ''),
		('digits alone', '123456'),
		('a space between', '123 456'))
	AS verification (what, id);

-- in the wrong order
SELECT outcome($$check_verification('VE000000000000000001', '123456')$$);

--
-- the search's own
--
SELECT page_size, outcome(format('search_verification(page_size => %L)', page_size))
	FROM (VALUES (1), (1000), (1001), (2147483647), (0), (-1), (NULL)) AS page (page_size);
SELECT max_records, outcome(format('search_verification(max_records => %L)', max_records))
	FROM (VALUES (1), (100000), (100001), (2147483647), (0), (-1), (NULL)) AS search (max_records);
SELECT since, outcome(format('search_verification(send_date => now() + %L)', since))
	FROM (VALUES
		('-30 days'),
		('-743 hours'),
		('-745 hours'),
		('-1 year'),
		('14 minutes'),
		('16 minutes'),
		(NULL))
	AS search (since);
SELECT send_date, outcome(format('search_verification(send_date => %L)', send_date))
	FROM (VALUES
		('1970-01-01 00:00:00+00'),
		('0044-03-15 00:00:00+00 BC'),
		('294276-12-31 23:59:59+00'),
		('infinity'),
		('-infinity'),
		(NULL))
	AS search (send_date);

--
-- what the guard counts by
--
SELECT what, outcome(format('start_verification(''SMS'', ''447700900123'', ''FA1'', %s)', arguments))
	FROM (VALUES
		('address', $$'192.0.2.1'$$),
		('longest key', $$repeat('k', 1024)$$),
		('no key', 'NULL'),
		('trusted', $$rate_key => '2001:db8::1', trusted => true$$),
		('not known to be trusted', 'trusted => NULL'),
		('empty key', $$''$$),
		('spaces', $$'  '$$),
		('invisible', $$U&'\200B\00A0'$$),
		('longer key', $$repeat('k', 1025)$$))
	AS key (what, arguments);

--
-- notations and defaults
--
SELECT call, outcome(call)
	FROM (VALUES
		($$start_verification('SMS', '447700900123', 'FA1')$$),
		($$start_verification("to" => '447700900123', service_sid => 'FA1', channel => 'SMS')$$),
		($$start_verification('SMS', service_sid => 'FA1', "to" => '447700900123')$$),
		($$check_verification('123456', 'VE1')$$),
		($$check_verification('123456', 'VE1', '+44 7700 900123', 'FA1')$$),
		($$check_verification(verification_id => 'VE1', code => '123456', "to" => '447700900123')$$),
		($$search_verification('FA1', '447700900123', '123456', 'VE1', 'yesterday', 20, 1000)$$),
		($$search_verification("to" => '447700900123', max_records => 5)$$),
		($$search_verification(NULL, NULL, NULL, NULL, NULL)$$))
	AS accepted (call);
SELECT call, left(outcome(call), 5) AS outcome
	FROM (VALUES
		('start_verification()'),
		($$start_verification('SMS')$$),
		($$start_verification('SMS', '447700900123', 'FA1', 'key', false, 'more')$$),
		($$check_verification('123456')$$),
		($$search_verification(phone => '447700900123')$$))
	AS unknown (call);

DROP FUNCTION outcome(text);
DROP EXTENSION pnvs;
