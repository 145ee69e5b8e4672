-- The tables of the page, and the role of its server.
--
-- pnvs is in shared_preload_libraries, and in a schema "pnvs" on which nobody but its owner
-- has CREATE; pnvs.service_sid is set.

CREATE TABLE member (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone text NOT NULL UNIQUE CHECK (phone = pnvs.normalize_phone_number(phone::text)),
    verification uuid NOT NULL
);

-- The table cannot hold a number that nobody has verified: a row uses up a verification of
-- its number, of at most an hour ago, that was begun for this purpose.
CREATE CONSTRAINT TRIGGER phone_is_verified AFTER INSERT OR UPDATE OR DELETE ON member
    FOR EACH ROW EXECUTE FUNCTION pnvs.require_verification('phone', 'verification', '1 hour', 'sign-up');

-- Who is signed in. The cookie has the key, the table its hash.
CREATE TABLE session (
    key bytea PRIMARY KEY,
    member bigint NOT NULL REFERENCES member ON DELETE CASCADE
);

-- The server may do what it does, and nothing else. It can spend money: nobody else's SQL
-- may run as this role.
CREATE ROLE web_app LOGIN;
GRANT USAGE ON SCHEMA pnvs TO web_app;
GRANT EXECUTE ON FUNCTION
    pnvs.begin_verification,
    pnvs.resend_verification,
    pnvs.confirm_verification,
    pnvs.use_verification,
    pnvs.phone_verification_status
TO web_app;
GRANT SELECT (id, phone), INSERT (phone, verification) ON member TO web_app;
GRANT SELECT, INSERT, DELETE ON session TO web_app;
