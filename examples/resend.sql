-- A button "send again", which people press more often than they should.
--
-- The key makes a second press within a minute the first one's message.  Where a
-- message failed, expired or was canceled, the key is free at once.  Of a message
-- that may have been sent ("unknown"), only one that the service does not know of
-- after all (Local.NotFound) is worth another.

CREATE FUNCTION send_again(phone text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    message_key text := 'login ' || translate(phone, '+ -.()', '');
    message_id bigint;
    message record;
BEGIN
    message_id := public.enqueue_verification('SMS', phone, dedup_key => message_key);
    SELECT q.state, q.code INTO message
    FROM public.verification_queue AS q WHERE q.id = message_id;
    IF message.state = 'unknown' AND message.code = 'Local.NotFound' THEN
        message_id := public.enqueue_verification('SMS', phone);
    END IF;
    RETURN message_id;
END
$$;
REVOKE ALL ON FUNCTION send_again FROM PUBLIC;

-- What to tell the person, in a transaction after the one that pressed the button.
CREATE FUNCTION what_became_of(message_id bigint) RETURNS text
LANGUAGE sql
AS $$
    SELECT CASE
        WHEN q.state = 'sent' THEN 'The code is on its way.'
        WHEN q.state = 'unknown' AND q.settled_at IS NOT NULL THEN 'The code may have been sent. You can ask for another.'
        WHEN q.state IS NULL THEN 'The code will be sent shortly.'
        ELSE 'The code could not be sent.'
    END
    FROM public.await_verification(message_id, '5 seconds') AS q
$$;
REVOKE ALL ON FUNCTION what_became_of FROM PUBLIC;
