-- setup.sql: what an administrator does before a client comes, and a phone to read.
--
-- The extension is in the schema "pnvs"; the setting phone.log names the simulator's log.

CREATE ROLE app LOGIN;
GRANT USAGE ON SCHEMA pnvs TO app;
GRANT EXECUTE ON FUNCTION
	pnvs.start_verification,
	pnvs.check_verification,
	pnvs.enqueue_verification,
	pnvs.await_verification,
	pnvs.check_queued_verification
TO app;
GRANT SELECT ON pnvs.verification_queue TO app;

-- So that a client can call an endpoint where nothing listens.
GRANT SET ON PARAMETER pnvs.endpoint, pnvs.access_key_id TO app;

CREATE SCHEMA phone;
GRANT USAGE ON SCHEMA phone TO app;

-- What the simulator has logged of an event and a number.  The last line may be incomplete.
CREATE FUNCTION phone.events(event text, number text) RETURNS SETOF jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT entry
	FROM regexp_split_to_table(regexp_replace(pg_read_file(current_setting('phone.log')), '[^\n]*\Z', ''), '\n')
			WITH ORDINALITY AS lines (line, position),
		LATERAL (SELECT nullif(line, '')::jsonb) AS parsed (entry)
	WHERE entry ->> 'event' = $1 AND coalesce(entry ->> 'to', entry #>> '{params,To}') = $2
	ORDER BY position
$$;

-- The code of the newest message to a number.
CREATE FUNCTION phone.code(number text) RETURNS text
LANGUAGE sql VOLATILE
AS $$ SELECT (array_agg(event ->> 'code'))[count(*)] FROM phone.events('sent', $1) AS event $$;

-- How many messages went out to a number, and how many requests named it.
CREATE FUNCTION phone.messages(number text) RETURNS integer
LANGUAGE sql VOLATILE
AS $$ SELECT count(*)::integer FROM phone.events('sent', $1) $$;

CREATE FUNCTION phone.requests(number text) RETURNS integer
LANGUAGE sql VOLATILE
AS $$ SELECT count(*)::integer FROM phone.events('request', $1) $$;

-- A table that takes no unverified number.
CREATE SCHEMA signup;
GRANT USAGE ON SCHEMA signup TO app;
CREATE TABLE signup.member (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	phone text,
	verification_id uuid
);
CREATE CONSTRAINT TRIGGER member_phone_verified
	AFTER INSERT OR UPDATE OR DELETE ON signup.member
	FOR EACH ROW EXECUTE FUNCTION pnvs.require_verification('phone', 'verification_id');
GRANT SELECT, INSERT ON signup.member TO app;

-- That of the example for Django, as its comment has it.
CREATE TABLE public.member (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	phone text NOT NULL CONSTRAINT phone_is_unique UNIQUE DEFERRABLE INITIALLY DEFERRED,
	verification uuid NOT NULL
);
CREATE CONSTRAINT TRIGGER phone_is_verified AFTER INSERT OR UPDATE OR DELETE ON public.member
	FOR EACH ROW EXECUTE FUNCTION pnvs.require_verification(
		'phone', 'verification', '1 hour', 'sign-up, new number');
GRANT SELECT, INSERT, UPDATE ON public.member TO app;
GRANT EXECUTE ON FUNCTION
	pnvs.begin_verification,
	pnvs.resend_verification,
	pnvs.confirm_verification,
	pnvs.use_verification,
	pnvs.phone_verification_status,
	pnvs.cancel_phone_verification,
	pnvs.verification_history,
	pnvs.erase_phone_number
TO app;
