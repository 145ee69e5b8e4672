-- A listener.  A notification is a hint to read the row: it holds the ID and the
-- state, no number and no code, and it can get lost.  So look once after LISTEN,
-- and then after each notification.

LISTEN pnvs_verification;

SELECT id, state, code FROM verification_queue
WHERE settled_at > now() - interval '1 minute' ORDER BY id;
