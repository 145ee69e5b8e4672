-- A listener.  A notification is a hint to read the row: it holds the ID and the
-- state, no number and no code, and it can get lost.  So look once after LISTEN,
-- and then after each notification, and now and then without one.
--
-- psql shows notifications after its next command.  A program waits for them: it
-- runs LISTEN outside a transaction, looks once, and then waits until its
-- connection's socket is readable (select, poll), with a time-out; each
-- notification has the channel and a payload of JSON, {"id":1,"state":"sent"}.
-- Every driver has a call for that.  In Python with psycopg2:
--
--     connection = psycopg2.connect(...)
--     connection.autocommit = True
--     cursor = connection.cursor()
--     cursor.execute('LISTEN pnvs_verification')
--     while True:
--         cursor.execute(LOOK)                      # the SELECT below
--         for row in cursor.fetchall(): ...
--         select.select([connection], [], [], 60)
--         connection.poll()
--         while connection.notifies:
--             message = json.loads(connection.notifies.pop(0).payload)
--
-- A pooler that hands the connection to others after each transaction loses
-- notifications: connect past it.
--
-- The extension is in a schema "pnvs".

LISTEN pnvs_verification;

SELECT id, state, code FROM pnvs.verification_queue
WHERE settled_at > now() - interval '5 minutes' ORDER BY id;
