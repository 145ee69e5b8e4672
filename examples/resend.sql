-- A button "send again", which people press more often than they should.
--
-- The key makes a second press within a minute the first one's message.  Where a
-- message failed, expired or was canceled, the key is free at once.  While a
-- message may have been sent ("unknown"), the minute counts; where the service
-- turns out not to know of it (Local.NotFound), another goes out at once, and its
-- key, named after the lost one, makes further presses that one's.
--
-- A key is kept with the row, so it holds an ID here and no number.
--
-- The extension is in a schema "pnvs", on which nobody but its owner has CREATE.

CREATE TABLE customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone text NOT NULL
);

CREATE FUNCTION send_again(customer_id bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    number text := (SELECT c.phone FROM public.customer AS c WHERE c.id = customer_id);
    message_key text := 'customer ' || customer_id;
    message_id bigint;
    lost boolean;
BEGIN
    LOOP
        message_id := pnvs.enqueue_verification('SMS'::text, number::text,
            dedup_key => message_key::text, dedup_for => '1 minute');
        SELECT q.state = 'unknown' AND q.code = 'Local.NotFound' AND q.settled_at IS NOT NULL
        INTO lost
        FROM pnvs.verification_queue AS q WHERE q.id = message_id;
        IF lost IS NOT TRUE THEN
            RETURN message_id;
        END IF;
        message_key := 'customer ' || customer_id || ' after ' || message_id;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION send_again FROM PUBLIC;

-- What to tell the person, in a transaction after the one that pressed the button.
CREATE FUNCTION what_became_of(message_id bigint) RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pnvs.await_verification(message_id::bigint, '5 seconds');
    RETURN (SELECT CASE
            WHEN q.state = 'sent' THEN 'The code is on its way.'
            WHEN q.state IN ('queued', 'sending') THEN 'The code is not on its way yet. Wait a moment.'
            WHEN q.code = 'Local.NotFound' THEN 'The code was probably not sent. You can ask for another.'
            WHEN q.state = 'unknown' THEN 'The code may have been sent. If it does not come, ask for another in a minute.'
            ELSE 'The code could not be sent.'
        END
        FROM pnvs.verification_queue AS q WHERE q.id = message_id);
END
$$;
REVOKE ALL ON FUNCTION what_became_of FROM PUBLIC;
