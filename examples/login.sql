-- Log-in by a code, for an API that calls functions as a role of its own (such as
-- PostgREST).  That role can call these two functions and nothing else.
--
-- The number is bound to the code by a table that the role cannot read.  What
-- the functions answer says whether a code is right and that the service cannot be
-- asked, and not whether somebody has this number: a number that nobody has gets an
-- attempt, too.  The guard of pnvs counts only messages and codes of numbers that
-- somebody has, so its refusals are not told.  Only how long an answer takes can still
-- tell.
--
-- The extension is in a schema "pnvs", on which nobody but its owner has CREATE:
-- who can create functions there can have these call them.

CREATE ROLE web NOLOGIN;
CREATE ROLE login_owner NOLOGIN;
GRANT USAGE ON SCHEMA pnvs TO login_owner;
GRANT EXECUTE ON FUNCTION pnvs.enqueue_verification,
    pnvs.check_queued_verification TO login_owner;
GRANT SELECT ON pnvs.verification_queue TO login_owner;
CREATE SCHEMA login AUTHORIZATION login_owner;
SET ROLE login_owner;
GRANT USAGE ON SCHEMA login TO web;

CREATE TABLE login.person (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone text NOT NULL UNIQUE          -- digits
);
CREATE TABLE login.attempt (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    phone text NOT NULL,
    message_id bigint,                  -- null: nobody has this number, or the guard refused
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_over boolean NOT NULL DEFAULT false
);

CREATE FUNCTION login.start(phone text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digits text := ltrim(pnvs.normalize_phone_number(phone::text), '+');
    person_id bigint;
    message_id bigint;
    attempt_id uuid;
BEGIN
    SELECT p.id INTO person_id FROM login.person AS p WHERE p.phone = digits;
    IF FOUND THEN
        BEGIN
            -- the key is kept with the message: no number in it
            message_id := pnvs.enqueue_verification('SMS'::text, digits::text,
                dedup_key => ('login ' || person_id)::text);
        EXCEPTION
            WHEN SQLSTATE '38V03' THEN NULL;
        END;
    END IF;
    INSERT INTO login.attempt (phone, message_id) VALUES (digits, message_id)
        RETURNING id INTO attempt_id;
    RETURN attempt_id;
END
$$;

CREATE FUNCTION login.finish(attempt_id uuid, code text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET pnvs.on_failure = 'error'
AS $$
DECLARE
    this login.attempt;
    checked record;
BEGIN
    -- the lock makes attempts at the same code wait for each other
    SELECT * INTO this FROM login.attempt AS a
    WHERE a.id = attempt_id AND NOT a.is_over
      AND a.started_at > clock_timestamp() - interval '10 minutes'
    FOR UPDATE;
    IF this.message_id IS NULL OR code IS NULL OR NOT EXISTS (
        SELECT FROM pnvs.verification_queue AS q
        WHERE q.id = this.message_id AND q.verification_id IS NOT NULL) THEN
        RETURN false;
    END IF;
    BEGIN
        SELECT c.approved INTO checked
        FROM pnvs.check_queued_verification(code::text, this.message_id::bigint, this.phone::text) AS c;
    EXCEPTION
        WHEN SQLSTATE '22023' OR SQLSTATE '38V03' THEN  -- it cannot be a code; too many were wrong
            RETURN false;
        WHEN SQLSTATE '38V01' OR SQLSTATE '38V02' OR SQLSTATE '38V04' OR SQLSTATE '38V05' THEN
            -- 503 Service Unavailable
            RAISE SQLSTATE 'PT503' USING MESSAGE = 'codes cannot be checked now, try again later';
    END;
    -- a code logs in once
    UPDATE login.attempt AS a SET is_over = checked.approved WHERE a.id = attempt_id;
    RETURN checked.approved;
END
$$;

REVOKE ALL ON FUNCTION login.start, login.finish FROM PUBLIC;
GRANT EXECUTE ON FUNCTION login.start, login.finish TO web;
RESET ROLE;
