"""pgbouncer.py: pnvs through pgbouncer in transaction mode, from psycopg 3.

The pool has a single connection to the server, so two clients take turns on it.
"""

import os

import psycopg

from psycopg3 import cancel, connect, notified, see_maybe_sent, see_not_sent, sign_up, value, verify
from tap import equal, finish, ok

SERVICE = "FA1"
SHOW = "SELECT current_setting('pnvs.service_sid')"


def pooled(**options):
    """In transaction mode, prepared statements of several clients get in each other's way."""
    return connect(port=os.environ["PGBOUNCER_PORT"], prepare_threshold=None, **options)


def leak(client, other):
    client.execute("SET pnvs.service_sid = 'FA2'")
    equal(value(other, SHOW), "FA2", "a client's SET is in force for another client")
    other.execute("RESET pnvs.service_sid")
    with client.transaction():
        client.execute("SET LOCAL pnvs.service_sid = 'FA3'")
        equal(value(client, SHOW), "FA3", "SET LOCAL is in force to the end of the transaction")
    equal(value(other, SHOW), "", "SET LOCAL is not in force for another client")


def refuse_options():
    try:
        pooled(options="-c pnvs.service_sid=FA4")
    except psycopg.OperationalError as error:
        ok("unsupported startup parameter" in str(error), "settings are refused at the start of a session", error)


def queue(client, other):
    """The other client's turn lets the server deliver the notifications that it has.

    A notification that comes during a statement does not reach notifies(): the sender is a session of its own.
    """
    heard = []
    client.add_notify_handler(heard.append)
    client.execute("LISTEN pnvs_verification")
    with connect() as listener, connect() as sender:
        listener.execute("LISTEN pnvs_verification")
        message = value(sender, "SELECT pnvs.enqueue_verification('SMS', %s, %s)", "6281100060002", SERVICE)
        equal(notified(listener, message), "sent", "a listener past the pool hears of a queued message")
    equal(value(other, "SELECT count(*) FROM pg_listening_channels()"), 1, "a client's LISTEN becomes another client's")
    awaited = client.execute("SELECT * FROM pnvs.await_verification(%s)", (message,)).fetchone()
    equal(awaited.state, "sent", "await_verification works")
    equal(heard, [], "the client that said LISTEN hears nothing")
    other.execute("UNLISTEN *")


def main():
    with pooled() as client, pooled() as other:
        sign_up(client, "6281100060001")
        verify(client, other, "6281100060007")
        leak(client, other)
        refuse_options()
        queue(client, other)
        see_not_sent(client, "6281100060003")
        see_maybe_sent(client, "6281100060004")
        cancel(client, "6281100060005")
    finish()


main()
