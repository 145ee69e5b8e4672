-- Sign-up by a trigger: whoever gets a row in "member" gets a code, after COMMIT.
--
-- The extension is in a schema "pnvs", on which nobody but its owner has CREATE, and
-- pnvs.service_sid is set.  The role that may INSERT into "member" can spend money,
-- though to INSERT it needs no privilege of pnvs.  It is also the one that has queued the
-- message: let the same role confirm.

CREATE TABLE member (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone text NOT NULL,
    verified_at timestamptz
);

CREATE TRIGGER send_code AFTER INSERT OR UPDATE ON member
    FOR EACH ROW EXECUTE FUNCTION pnvs.enqueue_verification_trigger('SMS', 'phone', '', 'id');

-- A verification belongs to one number. It ends with another number, not with another
-- way of writing it: the trigger above sends no code for that.
CREATE FUNCTION forget_verification() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.verified_at := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_verification BEFORE UPDATE ON member FOR EACH ROW
    WHEN (pnvs.normalize_phone_number(OLD.phone::text) <> pnvs.normalize_phone_number(NEW.phone::text))
    EXECUTE FUNCTION forget_verification();

-- Confirms a code that a member typed.  The number and the message are the
-- member's own; the newest message counts.  The guard limits how often a code can be tried:
-- it then fails with 38V03.
CREATE FUNCTION confirm_member(member_id bigint, code text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    message_id bigint;
    is_right boolean;
BEGIN
    SELECT q.id INTO message_id
    FROM pnvs.verification_queue AS q
    WHERE q.reference = member_id::text AND q.state = 'sent'
    ORDER BY q.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT c.approved INTO is_right
    FROM public.member AS m, pnvs.check_queued_verification(code::text, message_id::bigint, m.phone::text) AS c
    WHERE m.id = member_id;
    UPDATE public.member SET verified_at = clock_timestamp()
    WHERE id = member_id AND is_right;
    RETURN coalesce(is_right, false);
END
$$;
REVOKE ALL ON FUNCTION confirm_member FROM PUBLIC;

-- Who confirms needs, beside his rights on "member":
-- GRANT USAGE ON SCHEMA pnvs TO ...;
-- GRANT SELECT ON pnvs.verification_queue TO ...;
-- GRANT EXECUTE ON FUNCTION confirm_member, pnvs.check_queued_verification TO ...;
