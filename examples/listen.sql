-- A listener.  A notification is a hint to read the row: it holds the ID and the
-- state, no number and no code, and it can get lost.  So look once after LISTEN,
-- and then after each notification, and now and then without one.
--
-- psql shows notifications after its next command.  A program waits for them: it
-- runs LISTEN outside a transaction, looks once, and then waits until its
-- connection's socket is readable (select, poll), with a time-out; each
-- notification has the channel and a payload of JSON, {"id":1,"state":"sent"}.
-- Every driver has a call for that.  In Python with psycopg 3, as an example:
--
--     with psycopg.connect(autocommit=True) as connection:
--         connection.execute('LISTEN pnvs_verification')
--         while True:
--             for row in connection.execute(LOOK):     # the SELECT below
--                 ...
--             for notify in connection.notifies(timeout=60, stop_after=1):
--                 message = json.loads(notify.payload)
--
-- A pooler that hands the connection to others after each transaction loses
-- notifications: connect past it.

LISTEN pnvs_verification;

SELECT id, state, code FROM verification_queue
WHERE settled_at > now() - interval '5 minutes' ORDER BY id;
