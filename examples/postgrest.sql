-- Sign-up, log-in and change of number as functions for PostgREST: "db-schemas = api" and
-- "db-anon-role = web_anon"; grant web_anon to the role that PostgREST connects as.  A stranger
-- writes the arguments of these functions, so they take nothing but a number, a code, a purpose
-- and a channel; all else is the server's word.
--
-- The ID of a verification and the key of a session are in cookies that no script can read,
-- and never in an answer; "__Host-" keeps other hosts of the domain from setting them, for whoever
-- plants his own session gets what the person at that browser has verified.  A refusal becomes 429
-- with Retry-After, 422 or 503.  The proxy in front sets the header X-Real-IP, whatever the client
-- has sent.
--
-- The extension is in a schema "pnvs", on which nobody but its owner has CREATE, it is
-- preloaded, and pnvs.service_sid is set.

CREATE ROLE web_anon NOLOGIN;
CREATE ROLE api_owner NOLOGIN;
GRANT USAGE ON SCHEMA pnvs TO api_owner;
GRANT EXECUTE ON FUNCTION pnvs.begin_verification, pnvs.resend_verification, pnvs.confirm_verification,
    pnvs.phone_verification_status, pnvs.use_verification, pnvs.require_verification TO api_owner;
CREATE SCHEMA app AUTHORIZATION api_owner;      -- not exposed
CREATE SCHEMA api AUTHORIZATION api_owner;
SET ROLE api_owner;

CREATE TABLE app.member (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone text NOT NULL CHECK (phone = pnvs.normalize_phone_number(phone::text)),
    verification uuid NOT NULL,
    -- only after phone_is_verified: it tells who is a member
    CONSTRAINT phone_is_unique UNIQUE (phone) DEFERRABLE INITIALLY DEFERRED
);
CREATE CONSTRAINT TRIGGER phone_is_verified AFTER INSERT OR UPDATE OR DELETE ON app.member
    FOR EACH ROW EXECUTE FUNCTION pnvs.require_verification('phone', 'verification', '1 hour', 'sign-up, new number');

CREATE TABLE app.session (
    key_hash bytea PRIMARY KEY,
    member_id bigint NOT NULL REFERENCES app.member ON DELETE CASCADE
);

-- What PostgREST says of the request.
CREATE FUNCTION app.cookie(name text) RETURNS text LANGUAGE sql STABLE
RETURN nullif(current_setting('request.cookies', true), '')::json ->> ('__Host-' || name);

CREATE FUNCTION app.verification() RETURNS uuid LANGUAGE sql STABLE
RETURN coalesce(substring(app.cookie('verification') FROM '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'), '00000000-0000-0000-0000-000000000000')::uuid;

CREATE FUNCTION app.member_id() RETURNS bigint LANGUAGE sql STABLE
RETURN (SELECT s.member_id FROM app.session AS s WHERE s.key_hash = sha256(convert_to(app.cookie('session'), 'UTF8')));

-- What PostgREST is to answer.
CREATE FUNCTION app.add_header(name text, value text) RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT set_config('response.headers', (coalesce(nullif(current_setting('response.headers', true), ''), '[]')::jsonb
        || jsonb_build_object(name, value))::text, true);
END;

CREATE FUNCTION app.set_cookie(name text, value text) RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT app.add_header('Set-Cookie', format('__Host-%s=%s; Path=/; HttpOnly; Secure; SameSite=Strict', name, value));
END;

-- A row of pnvs as the answer, without the ID.  That no message could be sent is told of a sign-up
-- alone: of a log-in it would tell that the number is a member's.
CREATE FUNCTION app.answer(answer jsonb) RETURNS jsonb LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    status text := CASE answer ->> 'refused'
        WHEN 'try_later' THEN '503'
        WHEN 'not_a_number' THEN '422'
        WHEN 'not_available_here' THEN '422'
    END;
BEGIN
    IF answer ->> 'retry_after' IS NOT NULL THEN
        PERFORM app.add_header('Retry-After', answer ->> 'retry_after');
    END IF;
    IF answer ->> 'retry_after' IS NOT NULL OR answer ->> 'refused' = 'too_many' THEN
        status := coalesce(status, '429');
    END IF;
    PERFORM set_config('response.status', coalesce(status, '200'), true);
    IF answer ->> 'state' = 'failed' AND answer ->> 'purpose' IS DISTINCT FROM 'sign-up' THEN
        answer := answer || '{"state": "pending"}';
    END IF;
    RETURN answer - 'id';
END
$$;

-- A new session, so that nobody can prepare one for somebody else.
CREATE FUNCTION app.enter(member_id bigint) RETURNS jsonb LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    session_key text := gen_random_uuid();
BEGIN
    IF member_id IS NULL THEN
        PERFORM set_config('response.status', '403', true);
        RETURN '{"member": null}';
    END IF;
    INSERT INTO app.session (key_hash, member_id) VALUES (sha256(convert_to(session_key, 'UTF8')), member_id);
    PERFORM app.set_cookie('session', session_key);
    RETURN jsonb_build_object('member', member_id);
END
$$;

-- purpose: sign-up, log-in or new number.  A log-in of a number that no member has sends nothing, and looks alike; it has
-- one channel, for nothing could be refused and go out by the next.
CREATE FUNCTION api.begin(phone text, purpose text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    session_key text := coalesce(app.cookie('session'), gen_random_uuid()::text);
    address text := nullif(current_setting('request.headers', true), '')::json ->> 'x-real-ip';
    is_known boolean := true;
    channels text[] := CASE purpose WHEN 'log-in' THEN '{SMS}' ELSE '{SMS,VOICE}' END;
    begun record;
BEGIN
    IF purpose IN ('sign-up', 'log-in', 'new number') IS NOT TRUE THEN
        RAISE SQLSTATE 'PT400' USING MESSAGE = 'unknown purpose';
    END IF;
    IF purpose = 'log-in' THEN
        BEGIN
            is_known := EXISTS (SELECT FROM app.member AS m WHERE m.phone = pnvs.normalize_phone_number(begin.phone::text));
        EXCEPTION
            WHEN SQLSTATE '22023' THEN NULL;    -- it is no number, which the next call says
        END;
    END IF;
    SELECT * INTO begun
    FROM pnvs.begin_verification(phone::text, channels::text[], purpose::text, session_key => session_key::text,
        rate_key => coalesce(address, 'no proxy')::text, send => is_known::boolean) AS b;
    PERFORM app.set_cookie('session', session_key) WHERE app.cookie('session') IS NULL;
    PERFORM app.set_cookie('verification', begun.id::text) WHERE begun.state = 'pending';
    RETURN app.answer(to_jsonb(begun));
END
$$;

-- "Send another code", and with the channel VOICE "call me instead".
CREATE FUNCTION api.resend(channel text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT app.answer(to_jsonb(r)) FROM pnvs.resend_verification(app.verification()::uuid, channel::text) AS r $$;

-- After a reload of the page, and to learn that no message could be sent.
CREATE FUNCTION api.status() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT app.answer(to_jsonb(s)) FROM pnvs.phone_verification_status(app.verification()::uuid) AS s $$;

-- Grants nothing.  The page goes on with one of the three functions below.  If the service does not answer, refuses the
-- key, or a setting is missing or not valid, the same code can be typed in again later.
CREATE FUNCTION api.confirm(code text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN app.answer(to_jsonb(c)) FROM pnvs.confirm_verification(app.verification()::uuid, code::text) AS c;
EXCEPTION
    WHEN SQLSTATE '38V01' OR SQLSTATE '38V02' OR SQLSTATE '38V05' OR SQLSTATE 'F0000' OR SQLSTATE '22023' THEN
        RAISE WARNING '%', SQLERRM;     -- for the server's log
        RETURN app.answer('{"refused": "try_later"}');
END
$$;

-- 23514 (400): the number is not the one that was verified.  23505 (409): it has an account.
-- NULL must not reach the table: the error of NOT NULL shows the row, and so the ID.
CREATE FUNCTION api.sign_up(phone text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member_id bigint;
BEGIN
    INSERT INTO app.member AS m (phone, verification)
    VALUES (pnvs.normalize_phone_number(coalesce(sign_up.phone, '')::text), app.verification()) RETURNING m.id INTO member_id;
    SET CONSTRAINTS app.phone_is_unique IMMEDIATE;
    RETURN app.enter(member_id);
END
$$;

-- The verification says who it is.
CREATE FUNCTION api.log_in() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member_id bigint;
BEGIN
    SELECT m.id INTO member_id
    FROM pnvs.use_verification(app.verification()::uuid, 'log-in') AS verified JOIN app.member AS m ON m.phone = verified;
    RETURN app.enter(member_id);
END
$$;

-- The session says whose number it is.
CREATE FUNCTION api.change_number(phone text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member_id bigint;
BEGIN
    SELECT m.id INTO member_id FROM app.member AS m WHERE m.id = app.member_id() FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'PT401' USING MESSAGE = 'not logged in';
    END IF;
    UPDATE app.member AS m
    SET phone = pnvs.normalize_phone_number(coalesce(change_number.phone, '')::text), verification = app.verification()
    WHERE m.id = member_id;
    SET CONSTRAINTS app.phone_is_unique IMMEDIATE;
    RETURN jsonb_build_object('member', member_id);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA app, api FROM PUBLIC;
GRANT USAGE ON SCHEMA api TO web_anon;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA api TO web_anon;
RESET ROLE;
