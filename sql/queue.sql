--
-- The queue as sessions see it: nothing here is ever sent.
--

\set SHOW_CONTEXT never
CREATE EXTENSION pnvs;
SET pnvs.access_key_id = '';	-- so that no call can go out

-- A call's error in a line, or "accepted".  What it has queued is kept.
CREATE FUNCTION outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT * FROM ' || call;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	IF state = 'F0000' THEN
		RETURN 'accepted';
	END IF;
	RETURN concat_ws(' / ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;
\pset format unaligned

--
-- arguments: those of the direct call have the same errors
--
SELECT what, outcome('enqueue_verification' || arguments) AS enqueue,
		outcome('enqueue_verification' || arguments) = outcome('start_verification' || arguments) AS same
	FROM (VALUES
		('null channel', $$(NULL, '447700900123', 'FA1')$$),
		('bad channel', $$('PIGEON', '447700900123', 'FA1')$$),
		('null number', $$('SMS', NULL, 'FA1')$$),
		('empty number', $$('SMS', '', 'FA1')$$),
		('national number', $$('SMS', '07700 900123', 'FA1')$$),
		('letters', $$('SMS', '+44 7700 CALLME', 'FA1')$$),
		('16 digits', $$('SMS', '4477009001234567', 'FA1')$$),
		('no service', $$('SMS', '447700900123')$$),
		('empty service', $$('SMS', '447700900123', '')$$),
		('bad service', $$('SMS', '447700900123', 'FA 1')$$),
		('long service', $$('SMS', '447700900123', repeat('~', 129))$$),
		('empty key', $$('SMS', '447700900123', 'FA1', rate_key => ' ')$$),
		('long key', $$('SMS', '447700900123', 'FA1', rate_key => repeat('k', 1025))$$))
	AS bad (what, arguments);

-- its own
SELECT call, outcome(format('enqueue_verification(''SMS'', ''447700900123'', ''FA1'', %s)', call))
	FROM (VALUES
		($$not_before => 'infinity'$$),
		($$not_before => '-infinity'$$),
		($$not_before => now() + interval '2 years'$$),
		($$send_within => NULL$$),
		($$send_within => '0'$$),
		($$send_within => '-1 second'$$),
		($$send_within => '1 month -40 days'$$),
		($$send_within => '2 years'$$),
		($$send_within => '12 months 300 days'$$),
		($$send_within => '1000000000 hours'$$),
		($$send_within => make_interval(secs => -9e12)$$),
		($$dedup_key => ''$$),
		($$dedup_key => repeat('k', 513)$$),
		($$dedup_key => 'k', dedup_for => NULL$$),
		($$dedup_key => 'k', dedup_for => '0'$$),
		($$dedup_key => 'k', dedup_for => '-1 second'$$),
		($$dedup_key => 'k', dedup_for => '2 years'$$))
	AS bad (call);
SELECT call, outcome(call)
	FROM (VALUES
		('cancel_verification(NULL)'),
		('await_verification(NULL)'),
		('await_verification(1, NULL)'),
		($$await_verification(1, '0')$$),
		($$await_verification(1, '-1 second')$$),
		($$await_verification(1, '2 years')$$),
		('await_verification(0)'),
		('await_verification(-9223372036854775808)'),
		('check_queued_verification(NULL, 1::bigint)'),
		($$check_queued_verification('', 1::bigint)$$),
		($$check_queued_verification('1/2', 1::bigint)$$),
		($$check_queued_verification('123456', NULL::bigint)$$),
		($$check_queued_verification('123456', 1::bigint, '12')$$),
		($$check_queued_verification('123456', 1::bigint)$$))
	AS bad (call);
SELECT cancel_verification(0) AS nobodys;
CALL process_verification_queue(NULL);
CALL process_verification_queue(0);
CALL process_verification_queue(-1);
CALL process_verification_queue(1000001);

-- nothing of that was queued
SELECT count(*) FROM verification_queue;

-- the longest that is accepted
SELECT outcome($$enqueue_verification('SMS', '447700900123', 'FA1', now() + interval '365 days', '1 year')$$) AS far,
		outcome($$enqueue_verification('SMS', '447700900123', 'FA1', now() - interval '1 day')$$) AS past,
		outcome($$enqueue_verification('SMS', '447700900123', 'FA1', send_within => '1 us')$$) AS short,
		outcome($$enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => repeat('k', 512))$$) AS key,
		outcome($$enqueue_verification('SMS', '447700900123', 'FA1', dedup_for => NULL)$$) AS unused;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;

--
-- what a row holds
--
BEGIN;
SELECT enqueue_verification('whatsapp', '+44 7700 900-123', 'FA1', dedup_key => 'key');
SET LOCAL pnvs.service_sid = 'FA2';
SELECT enqueue_verification('SMS', '447700900123', send_within => '1 hour', not_before => now() + interval '1 day');
SELECT enqueue_verification('Voice', '447700900123', not_before => now() - interval '1 day');
COMMIT;
\pset format aligned
SELECT id, channel, recipient, service_sid, state, attempts, requested_by = CURRENT_USER AS own,
		reference, dedup_key
	FROM verification_queue ORDER BY id;
SELECT id, created_at BETWEEN now() - interval '1 minute' AND now() AS recent,
		round(extract(epoch FROM not_before - created_at)) AS wait_s,
		round(extract(epoch FROM send_before - greatest(created_at, not_before))) AS within_s
	FROM verification_queue ORDER BY id;
SELECT count(*) FROM pnvs_internal.queue
	WHERE (settled_at, request_id, verification_id, status, code, message, http_status, claimer, dispatched_at,
		unknown_since) IS NOT DISTINCT FROM (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT count(*) FROM pnvs_internal.queue, pg_control_system(), pg_control_checkpoint(), pg_database
	WHERE origin_system = system_identifier AND origin_timeline = timeline_id
		AND origin_database = pg_database.oid AND datname = current_database();
-- kept for as long as a repeat of its key must find it
SELECT id, retain_from - created_at AS kept FROM pnvs_internal.queue ORDER BY id;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;

--
-- rolled back means never queued
--
CREATE FUNCTION enqueue(note text) RETURNS bigint LANGUAGE sql
	AS $$SELECT enqueue_verification('SMS', '447700900123', service_sid => note)$$;
BEGIN;
SELECT enqueue('gone');
ROLLBACK;
BEGIN;
SELECT enqueue('before');
SAVEPOINT s;
SELECT enqueue('undone');
ROLLBACK TO s;
SELECT enqueue('after');
COMMIT;
DO $$
BEGIN
	BEGIN
		PERFORM enqueue('raised');
		RAISE EXCEPTION 'x';
	EXCEPTION WHEN raise_exception THEN
		PERFORM enqueue('handler');
	END;
END
$$;
SELECT service_sid FROM verification_queue ORDER BY id;

-- what is read only queues nothing
BEGIN READ ONLY;
SELECT enqueue('read_only');
ROLLBACK;
BEGIN READ ONLY;
SELECT cancel_verification(max(id)) FROM verification_queue;
ROLLBACK;
SELECT service_sid FROM verification_queue WHERE state <> 'queued' OR service_sid = 'read_only';
TRUNCATE pnvs_internal.queue RESTART IDENTITY;

--
-- deduplication
--
CREATE ROLE regress_pnvs_one;
CREATE ROLE regress_pnvs_two;
GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification, await_verification
	TO regress_pnvs_one, regress_pnvs_two;
SELECT enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS first,
	enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS same_statement;
SELECT enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS repeat,
	enqueue_verification('VOICE', '33123456789', 'FA2', dedup_key => 'k') AS another_number,
	enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'K') AS another_key,
	enqueue_verification('SMS', '447700900123', 'FA1') AS no_key;
SET ROLE regress_pnvs_one;
SELECT enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS another_requester;
SELECT enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS its_repeat;
RESET ROLE;
SELECT count(*) FROM verification_queue;
-- the window is that of the repeat
UPDATE pnvs_internal.queue SET created_at = created_at - interval '1 hour' WHERE id = 1;
SELECT enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k', dedup_for => '2 hours') AS within,
	enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k', dedup_for => '59 minutes') AS past;
-- one that never goes out blocks nothing; one that has, or may have, does
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
CREATE TABLE tried (state text, id bigint, repeat_id bigint);
DO $$
DECLARE
	s text;
	first bigint;
BEGIN
	FOREACH s IN ARRAY '{queued,sending,sent,unknown,failed,expired,canceled}'::text[] LOOP
		first := enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => s);
		UPDATE pnvs_internal.queue SET state = s WHERE id = first;
		INSERT INTO tried VALUES (s, first,
			enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => s));
	END LOOP;
END
$$;
SELECT state, id = repeat_id AS same FROM tried ORDER BY id;

--
-- cancel
--
TRUNCATE pnvs_internal.queue, tried RESTART IDENTITY;
SELECT enqueue_verification('SMS', '447700900123', 'FA1');
BEGIN;
SELECT cancel_verification(1);
ROLLBACK;
SELECT state, recipient, settled_at IS NULL AS open FROM verification_queue;
SELECT cancel_verification(1), cancel_verification(1) AS again;
SELECT state, recipient, settled_at IS NULL AS open FROM verification_queue;
-- in its own transaction
BEGIN;
SELECT cancel_verification(enqueue_verification('SMS', '447700900123', 'FA1'));
COMMIT;
DO $$
DECLARE
	s text;
	first bigint;
BEGIN
	FOREACH s IN ARRAY '{sending,sent,unknown,failed,expired,canceled}'::text[] LOOP
		first := enqueue_verification('SMS', '447700900123', 'FA1');
		UPDATE pnvs_internal.queue SET state = s WHERE id = first;
		INSERT INTO tried VALUES (s || ' ' || cancel_verification(first), first);
	END LOOP;
END
$$;
SELECT t.state AS canceled, q.state FROM tried t JOIN verification_queue q USING (id) ORDER BY id;

--
-- await
--
BEGIN;
SELECT await_verification(enqueue_verification('SMS', '447700900123', 'FA1'));
ROLLBACK;
BEGIN;
SELECT enqueue_verification('SMS', '447700900123', 'FA1') AS queued \gset
SAVEPOINT s;
SELECT await_verification(:queued);
ROLLBACK;
-- one that is settled is there at once
SELECT id, state, recipient FROM await_verification(1);
SELECT enqueue_verification('SMS', '447700900123', 'FA1') AS queued \gset
SELECT await_verification(:queued, '20 ms') IS NULL AS timed_out;
SELECT id, state FROM await_verification(:queued, '20 ms');
SET statement_timeout = '50 ms';
SELECT await_verification(:queued);
RESET statement_timeout;
SELECT cancel_verification(:queued);
SELECT state FROM await_verification(:queued, '1 day');

-- check by ID
SELECT enqueue_verification('SMS', '447700900123', 'FA1') AS queued \gset
SELECT check_queued_verification('123456', :queued::bigint);
UPDATE pnvs_internal.queue SET state = 'unknown' WHERE id = :queued;
SELECT check_queued_verification('123456', :queued::bigint);
UPDATE pnvs_internal.queue SET state = 'sent', verification_id = 'VE1' WHERE id = :queued;
SELECT check_queued_verification('123456', :queued::bigint);

--
-- whose rows they are
--
TRUNCATE pnvs_internal.queue, tried RESTART IDENTITY;
SET ROLE regress_pnvs_one;
SELECT enqueue_verification('SMS', '447700900121', 'FA1');
SELECT * FROM verification_queue;	-- not without SELECT
INSERT INTO pnvs_internal.queue (id) VALUES (99);
SELECT nextval('pnvs_internal.queue_id_seq');
SET ROLE regress_pnvs_two;
SELECT enqueue_verification('SMS', '447700900122', 'FA1');
SELECT cancel_verification(1);
SELECT await_verification(1);
RESET ROLE;
SELECT enqueue_verification('SMS', '447700900120', 'FA1');
GRANT SELECT ON verification_queue TO regress_pnvs_one, regress_pnvs_two;
GRANT EXECUTE ON FUNCTION check_queued_verification(text, bigint, text) TO regress_pnvs_one, regress_pnvs_two;
SET ROLE regress_pnvs_one;
SELECT id, recipient FROM verification_queue;
UPDATE pnvs_internal.queue SET state = 'sent';
DELETE FROM pnvs_internal.queue;
SET ROLE regress_pnvs_two;
SELECT id, recipient FROM verification_queue;
SELECT check_queued_verification('123456', 1::bigint);
SELECT check_queued_verification('123456', 2::bigint);
RESET ROLE;

-- a function's owner is the requester
CREATE FUNCTION as_two() RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS $$SELECT enqueue_verification('SMS', '447700900124', 'FA1')$$;
ALTER FUNCTION as_two() OWNER TO regress_pnvs_two;
SET ROLE regress_pnvs_one;
SELECT as_two();
SELECT id FROM verification_queue ORDER BY id;
SELECT cancel_verification(4);
RESET ROLE;
SELECT id, requested_by FROM verification_queue WHERE id = 4;

-- SELECT on the table lets support see all, through the view alone; the owner sees all, too
CREATE ROLE regress_pnvs_helper;
GRANT SELECT ON verification_queue TO regress_pnvs_helper;
SET ROLE regress_pnvs_helper;
SELECT count(*) FROM verification_queue;
RESET ROLE;
GRANT SELECT ON pnvs_internal.queue TO regress_pnvs_helper;
SET ROLE regress_pnvs_helper;
SELECT id, requested_by FROM verification_queue
	WHERE requested_by LIKE 'regress%' ORDER BY id;
SELECT count(*) FROM verification_queue;
SELECT count(*) FROM pnvs_internal.queue;
-- what it sees it cannot take back
SELECT cancel_verification(1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION cancel_verification TO regress_pnvs_helper;
SET ROLE regress_pnvs_helper;
SELECT cancel_verification(1);
RESET ROLE;
-- some columns for a monitor, who may build a view of them
CREATE ROLE regress_pnvs_watcher;
GRANT CREATE ON SCHEMA public TO regress_pnvs_watcher;
GRANT SELECT (id, state, code) ON verification_queue TO regress_pnvs_watcher;
GRANT SELECT ON pnvs_internal.queue TO regress_pnvs_watcher;
SET ROLE regress_pnvs_watcher;
CREATE VIEW states AS SELECT state, count(id) FROM verification_queue GROUP BY state;
TABLE states;
SELECT recipient FROM verification_queue;
DROP VIEW states;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM regress_pnvs_watcher;
SELECT cancel_verification(1) AS the_owner_may;

-- a role with an odd name
CREATE ROLE "regress_pnvs ""Odd";
GRANT EXECUTE ON FUNCTION enqueue_verification, cancel_verification TO "regress_pnvs ""Odd";
GRANT SELECT ON verification_queue TO "regress_pnvs ""Odd";
SET ROLE "regress_pnvs ""Odd";
SELECT enqueue_verification('SMS', '447700900125', 'FA1');
SELECT id, requested_by FROM verification_queue;
RESET ROLE;
-- who has got another name keeps its messages
ALTER ROLE "regress_pnvs ""Odd" RENAME TO regress_pnvs_renamed;
SET ROLE regress_pnvs_renamed;
SELECT id FROM verification_queue WHERE requested_by = 'regress_pnvs_renamed';
SELECT cancel_verification(5);
RESET ROLE;

--
-- the trigger
--
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
CREATE TABLE person (id integer PRIMARY KEY, phone text, note text);
CREATE TRIGGER verify AFTER INSERT OR UPDATE ON person FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('sms', 'phone', 'FA1', 'id');
CREATE VIEW queued AS SELECT id, channel, recipient, service_sid, reference FROM verification_queue ORDER BY id;
INSERT INTO person VALUES (1, '+44 7700 900-101'), (2, NULL), (3, '447700900103');
TABLE queued;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
UPDATE person SET note = 'x';
UPDATE person SET phone = phone;
UPDATE person SET phone = NULL WHERE id = 3;
TABLE queued;
UPDATE person SET phone = '447700900102' WHERE id = 2;
UPDATE person SET phone = '447700900111', id = 11 WHERE id = 1;
TABLE queued;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
INSERT INTO person VALUES (2, '447700900199') ON CONFLICT DO NOTHING;
INSERT INTO person VALUES (2, '447700900102') ON CONFLICT (id) DO UPDATE SET phone = EXCLUDED.phone;
TABLE queued;
INSERT INTO person VALUES (2, '447700900122') ON CONFLICT (id) DO UPDATE SET phone = EXCLUDED.phone;
COPY person (id, phone) FROM stdin;
21	447700900121
22	\N
23	447700900123
\.
DELETE FROM person WHERE id = 21;
TABLE queued;
-- a bad number is an error, and so nothing is written
INSERT INTO person VALUES (31, '447700900131'), (32, 'nobody');
SELECT count(*) FROM person WHERE id > 30;
SELECT count(*) FROM verification_queue;

-- the service of the settings, and a column of another type
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
CREATE TABLE other (phone bigint, note jsonb);
CREATE TRIGGER verify AFTER INSERT ON other FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('VOICE', 'phone', '', 'note');
INSERT INTO other VALUES (447700900101, '{}');
SET pnvs.service_sid = 'FA9';
INSERT INTO other VALUES (447700900101, '{"a": 1}'), (447700900102, NULL);
RESET pnvs.service_sid;
TABLE queued;

-- partitions, whose columns may stand elsewhere
CREATE TABLE split (id integer, phone text) PARTITION BY RANGE (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (10);
CREATE TABLE split_2 (extra text, phone text, gone text, id integer);
ALTER TABLE split_2 DROP COLUMN gone, DROP COLUMN extra;
ALTER TABLE split ATTACH PARTITION split_2 FOR VALUES FROM (10) TO (20);
CREATE TRIGGER verify AFTER INSERT OR UPDATE ON split FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'id');
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
INSERT INTO split VALUES (1, '447700900101'), (11, '447700900111');
TABLE queued;

-- deferred: queued when the transaction ends
CREATE TABLE late (phone text);
CREATE CONSTRAINT TRIGGER verify AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1');
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
BEGIN;
INSERT INTO late VALUES ('447700900101');
SELECT count(*) FROM verification_queue;
COMMIT;
SELECT count(*) FROM verification_queue;

-- who may insert may queue; the requester is who inserts
GRANT INSERT ON person TO regress_pnvs_one;
REVOKE EXECUTE ON FUNCTION enqueue_verification FROM regress_pnvs_one;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
SET ROLE regress_pnvs_one;
INSERT INTO person VALUES (41, '447700900141');
RESET ROLE;
SELECT requested_by, reference FROM verification_queue;
TRUNCATE pnvs_internal.queue RESTART IDENTITY;

-- triggers that are wrong
CREATE TABLE wrong (phone text);
CREATE FUNCTION tried(definition text, event text DEFAULT $$INSERT INTO wrong VALUES ('447700900101')$$)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER wrong ' || replace(definition, 'verify', 'EXECUTE FUNCTION enqueue_verification_trigger');
	EXECUTE event;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	DECLARE
		hint text;
	BEGIN
		GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(hint, ''));
	END;
END
$$;
\pset format unaligned
SELECT definition, tried(definition) FROM (VALUES
	($$BEFORE INSERT ON wrong FOR EACH ROW verify('SMS', 'phone', 'FA1')$$),
	($$AFTER INSERT ON wrong FOR EACH STATEMENT verify('SMS', 'phone', 'FA1')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify()$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'phone', 'FA1', 'phone', 'more')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('PIGEON', 'phone', 'FA1')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'fone', 'FA1')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'ctid', 'FA1')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'phone', 'FA1', 'reference')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'phone', 'FA 1')$$),
	($$AFTER INSERT ON wrong FOR EACH ROW verify('SMS', 'phone')$$)) AS trigger (definition);
INSERT INTO wrong VALUES ('447700900101');
SELECT tried($$AFTER DELETE ON wrong FOR EACH ROW verify('SMS', 'phone', 'FA1')$$, 'DELETE FROM wrong') AS delete,
	tried($$AFTER TRUNCATE ON wrong FOR EACH STATEMENT verify('SMS', 'phone', 'FA1')$$, 'TRUNCATE wrong') AS truncate;
\pset format aligned
SELECT enqueue_verification_trigger();
SELECT count(*) FROM verification_queue;

--
-- the procedure commits, so it must be alone
--
BEGIN;
CALL process_verification_queue();
ROLLBACK;
CREATE FUNCTION process() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL process_verification_queue(); END $$;
SELECT process();
CALL process_verification_queue();	-- with nothing to do
SELECT enqueue_verification('SMS', '447700900123', 'FA1');
DO $$
BEGIN
	CALL process_verification_queue();
EXCEPTION WHEN invalid_transaction_termination THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;
BEGIN;
DO $$ BEGIN CALL process_verification_queue(); END $$;
ROLLBACK;
SELECT state, attempts FROM verification_queue;
-- a DO that is alone may commit, and so may what it calls
DO $$ BEGIN CALL process_verification_queue(1); END $$;
SELECT state, attempts, code, message FROM verification_queue;

-- by itself it works also where transactions are read only, and says why it could not send
TRUNCATE pnvs_internal.queue RESTART IDENTITY;
SELECT enqueue_verification('SMS', '447700900123', 'FA1');
SET default_transaction_read_only = on;
SET default_transaction_isolation = serializable;
CALL process_verification_queue(1);
RESET default_transaction_read_only;
RESET default_transaction_isolation;
SELECT state, attempts, code, message FROM verification_queue;

--
-- created again in another schema, which is renamed, between two calls of a session
--
DROP TABLE person, other, split, late, wrong CASCADE;
DROP VIEW queued;
DROP EXTENSION pnvs;
CREATE SCHEMA regress_pnvs_there;
CREATE EXTENSION pnvs SCHEMA regress_pnvs_there;
SELECT regress_pnvs_there.enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS first,
	regress_pnvs_there.enqueue_verification('SMS', '447700900123', 'FA1') AS second;
ALTER SCHEMA regress_pnvs_there RENAME TO "regress_pnvs ""Elsewhere";
SELECT "regress_pnvs ""Elsewhere".enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS first,
	"regress_pnvs ""Elsewhere".enqueue_verification('SMS', '447700900123', 'FA1') AS third;
SELECT "regress_pnvs ""Elsewhere".cancel_verification(2);
SELECT id, state FROM "regress_pnvs ""Elsewhere".verification_queue ORDER BY id;

--
-- a hostile search_path
--
CREATE SCHEMA regress_pnvs_evil;
CREATE FUNCTION regress_pnvs_evil.spring() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION regress_pnvs_evil.equal(text, text) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal(bigint, bigint) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal(oid, oid) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE FUNCTION regress_pnvs_evil.equal(integer, integer) RETURNS boolean
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()';
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR regress_pnvs_evil.= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = oid, RIGHTARG = oid);
CREATE OPERATOR regress_pnvs_evil.>= (FUNCTION = regress_pnvs_evil.equal, LEFTARG = integer, RIGHTARG = integer);
CREATE FUNCTION regress_pnvs_evil.nextval(regclass) RETURNS bigint
	LANGUAGE sql AS 'SELECT regress_pnvs_evil.spring()::text::bigint';
CREATE DOMAIN regress_pnvs_evil.text AS integer CHECK (regress_pnvs_evil.spring());
CREATE TABLE regress_pnvs_evil.verification_queue (trap integer);
CREATE TABLE regress_pnvs_evil.queue (trap integer);
SET search_path = regress_pnvs_evil, pg_temp, pg_catalog;
SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text;	-- the traps are armed
SELECT "regress_pnvs ""Elsewhere".enqueue_verification('SMS', '447700900123', 'FA1', dedup_key => 'k') AS first,
	"regress_pnvs ""Elsewhere".enqueue_verification('SMS', '447700900123', 'FA1') AS fourth;
SELECT "regress_pnvs ""Elsewhere".cancel_verification(4);
SELECT state FROM "regress_pnvs ""Elsewhere".await_verification(4);
SELECT "regress_pnvs ""Elsewhere".check_queued_verification('123456', 4::bigint);
CALL "regress_pnvs ""Elsewhere".process_verification_queue(1);
GRANT USAGE ON SCHEMA "regress_pnvs ""Elsewhere" TO regress_pnvs_two;
GRANT SELECT ON "regress_pnvs ""Elsewhere".verification_queue TO regress_pnvs_two;
SET ROLE regress_pnvs_two;
SELECT count(*) FROM "regress_pnvs ""Elsewhere".verification_queue;
RESET ROLE;
RESET search_path;

SET client_min_messages = warning;
DROP EXTENSION pnvs CASCADE;
DROP SCHEMA regress_pnvs_evil, "regress_pnvs ""Elsewhere" CASCADE;
DROP FUNCTION outcome, enqueue, tried, as_two, process;
DROP TABLE tried;
RESET client_min_messages;

DROP ROLE regress_pnvs_one, regress_pnvs_two, regress_pnvs_helper, regress_pnvs_watcher, regress_pnvs_renamed;
