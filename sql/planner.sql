--
-- The planner treats a call as what it is: dear, and not to be repeated.
--

CREATE EXTENSION pnvs;
SET pnvs.access_key_id = '';	-- so that no call can go out

CREATE TABLE person (id integer, number text, typed text, verification_id text);
INSERT INTO person SELECT n, '+44 7700 900' || n, '123456', 'VE' || n
	FROM generate_series(100, 199) AS n;
ANALYZE person;

-- Whether a plan has a node of this name.
CREATE FUNCTION plan_has(node text, query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF strpos(line, node) > 0 THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;

-- every other condition comes first, wherever it is written
EXPLAIN (COSTS OFF)
SELECT * FROM person
	WHERE (check_verification(typed, verification_id, number)).approved AND id = 100;
EXPLAIN (COSTS OFF)
SELECT * FROM person
	WHERE (start_verification('SMS', number, 'FA1')).success
		AND number LIKE '+1%' AND upper(md5(number)) > 'A' AND id > 100;

-- so a row that they drop costs nothing, not even an error
SELECT id FROM person
	WHERE (start_verification('SMS', number, 'FA1')).success AND number LIKE '+1%';
SELECT id FROM person
	WHERE (check_verification(typed, verification_id, number)).approved AND id < 100;

-- nor does a row that a CASE does not reach
SELECT count(*) FROM person
	WHERE CASE WHEN id < 100 THEN (start_verification('SMS', number, 'FA1')).success END;

-- Neither planning nor EXPLAIN makes a call: these arguments are bad, and nobody
-- finds out.
EXPLAIN (COSTS OFF)
SELECT id FROM person
	WHERE verification_id = (start_verification('PIGEON', 'nobody')).verification_id;
EXPLAIN (COSTS OFF) SELECT * FROM start_verification('PIGEON', 'nobody');
EXPLAIN (COSTS OFF) SELECT * FROM check_verification(NULL, NULL);
EXPLAIN (COSTS OFF) SELECT * FROM search_verification(page_size => -1);

-- a volatile function cannot be put where its value would be taken as fixed
\set VERBOSITY sqlstate
CREATE INDEX ON person (((check_verification(typed, verification_id)).approved));
\set VERBOSITY default

-- Parallel plans: these settings make one of whatever may be one.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE person SET (parallel_workers = 2);
SELECT plan_has('Gather', $$SELECT count(*) FROM person$$) AS nothing_of_pnvs;
SELECT plan_has('Gather', $$SELECT start_verification('SMS', number, 'FA1')
	FROM person WHERE id > 100$$) AS start,
		plan_has('Gather', $$SELECT count(*)
	FROM person, start_verification('SMS', '447700900123', 'FA1')$$) AS start_in_from,
		plan_has('Gather', $$SELECT check_verification(typed, verification_id)
	FROM person WHERE id > 100$$) AS check,
		plan_has('Gather', $$SELECT count(*)
	FROM person WHERE (check_verification(typed, verification_id)).approved$$) AS check_in_where;

-- a search stays in the leader, and the rest of its query may be parallel
SELECT plan_has('Gather', $$SELECT count(*) FROM person
	WHERE EXISTS (SELECT FROM search_verification("to" => person.number))$$) AS per_row,
		plan_has('Gather', $$SELECT (SELECT count(*) FROM person), search_verification()$$) AS beside;

-- Workers start with the session's settings, of which a secret is only the mask.
SET parallel_leader_participation = off;
SET pnvs.access_key_secret = 'regress';
SET pnvs.security_token = 'regress';
SET pnvs.on_failure = error;
SET pnvs.endpoint = 'http://127.0.0.1:1';
SELECT plan_has('Gather', $$SELECT count(*), min(current_setting('pnvs.access_key_secret'))
	FROM person WHERE id > 100$$) AS in_workers;
SELECT count(*), min(current_setting('pnvs.access_key_secret')) AS secret,
		min(current_setting('pnvs.on_failure')) AS on_failure,
		min(current_setting('pnvs.endpoint')) AS endpoint
	FROM person WHERE id > 100;

DROP FUNCTION plan_has(text, text);
DROP TABLE person;
DROP EXTENSION pnvs;
