"""psycopg3.py: pnvs from psycopg 3."""

import datetime
import json
import os
import threading
import time
import uuid

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.composite import CompositeInfo, register_composite

from tap import begins, equal, finish, ok, until, wrong

SERVICE = "FA1"
QUICK_S = 1
START = "SELECT * FROM pnvs.start_verification(%s, %s, %s)"


def connect(**options):
    return psycopg.connect(autocommit=True, row_factory=namedtuple_row, **options)


def value(connection, sql, *parameters):
    return connection.execute(sql, parameters).fetchone()[0]


def error_of(connection, sql, *parameters):
    try:
        connection.execute(sql, parameters)
    except psycopg.Error as error:
        return error
    raise AssertionError("no error came")


def sign_up(connection, number):
    check = "SELECT * FROM pnvs.check_verification(%s, %s, %s)"
    started = connection.execute(START, ("SMS", "+" + number, SERVICE)).fetchone()
    equal(started.success, True, "start_verification sends: success is a bool")
    equal(started.http_status, 200, "http_status is an int")
    equal(started.verify_code, None, "a NULL is None")

    code = value(connection, "SELECT phone.code(%s)", number)
    refused = connection.execute(check, (wrong(code), started.verification_id, number)).fetchone()
    equal(refused.approved, False, "a wrong code is a row: approved is False")
    approved = connection.execute(check, (code, started.verification_id, number)).fetchone()
    equal(approved.approved, True, "the right code is approved")
    equal(value(connection, "SELECT phone.messages(%s)", number), 1, "one message went out")


def verify(connection, other, number):
    """From beginning to end; two connections take turns."""
    begin = "SELECT * FROM pnvs.begin_verification(%s, %s, 'sign-up', session_key => %s, service_sid => %s)"
    arguments = ("+" + number, ["SMS", "VOICE"], "a secret of the session " + number, SERVICE)
    begun = connection.execute(begin, arguments).fetchone()
    equal((type(begun.id), begun.state), (uuid.UUID, "pending"), "a verification's ID is a UUID, and a list is channels")
    ok(begun.resend_at.tzinfo is not None, "its times are datetimes with a time zone", begun.resend_at)
    equal(other.execute(begin, arguments).fetchone().id, begun.id, "another connection goes on with the same session's")
    resent = other.execute("SELECT * FROM pnvs.resend_verification(%s, 'VOICE')", (begun.id,)).fetchone()
    equal((resent.refused, type(resent.retry_after)), ("too_many", int), "a refusal is a row: retry_after is an int")

    until("the message", lambda: value(connection, "SELECT phone.messages(%s)", number))
    code = value(connection, "SELECT phone.code(%s)", number)
    refused = judged(connection, begun.id, wrong(code))
    equal((refused.approved, refused.tries_left), (False, 4), "confirm_verification: a wrong code is a row")
    equal(judged(other, str(begun.id), code).approved, True, "the right one is approved, and the ID can be a str")
    status = connection.execute("SELECT * FROM pnvs.phone_verification_status(%s)", (begun.id,)).fetchone()
    equal((status.state, status.purpose), ("approved", "sign-up"), "the status says so")
    use = "SELECT pnvs.use_verification(%s, 'sign-up')"
    equal([value(client, use, begun.id) for client in (other, connection)], ["+" + number, None], "it is used once")
    equal(value(connection, "SELECT pnvs.cancel_phone_verification(%s)", begun.id), False, "and then not canceled")
    history = other.execute("SELECT event FROM pnvs.verification_history(%s)", (number,)).fetchall()
    ok({"begun", "message_sent", "wrong_code", "approved", "used"} <= {event for event, in history}, "the history has it", history)
    ok(value(connection, "SELECT pnvs.erase_phone_number(%s)", number) > 0, "and forgets the number")


def judged(connection, verification, code):
    """The row, once a message can have been sent."""
    rows = []
    confirm = "SELECT * FROM pnvs.confirm_verification(%s, %s)"
    until("a judgement", lambda: rows.append(connection.execute(confirm, (verification, code)).fetchone())
          or rows[-1].retry_after is None)
    return rows[-1]


def composite(connection):
    packed = "SELECT pnvs.start_verification(%s, %s, %s)"
    arguments = ("SMS", "6281100030002", SERVICE)
    equal(type(value(connection, packed, *arguments)), str, "a function outside FROM returns its row as one str")
    register_composite(CompositeInfo.fetch(connection, "pnvs.start_verification_result"), connection)
    equal(value(connection, packed, *arguments).success, True, "register_composite() makes it a named tuple")


def notified(listener, message):
    """The state of a message as its notification has it; others' may come before it."""
    for notify in listener.notifies():
        payload = json.loads(notify.payload)
        if payload["id"] == message:
            return payload["state"]
    raise AssertionError("the connection ended")


def listen(connection):
    with connect() as listener:
        listener.execute("LISTEN pnvs_verification")
        message = value(connection, "SELECT pnvs.enqueue_verification(%s, %s, %s, send_within => %s)",
                        "SMS", "6281100030003", SERVICE, datetime.timedelta(minutes=2))
        equal(type(message), int, "the ID is an int, and a timedelta is an interval")
        equal(notified(listener, message), "sent", "a notification says what became of the queued message")
    row = connection.execute("SELECT * FROM pnvs.await_verification(%s)", (message,)).fetchone()
    equal(row.state, "sent", "await_verification says the same")
    ok(row.settled_at.tzinfo is not None, "a timestamptz is a datetime with a time zone", row.settled_at)


def see_not_sent(connection, number):
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('pnvs.endpoint', %s, true)", (os.environ["UNREACHABLE"],))
        error = error_of(connection, START, "SMS", number, SERVICE)
    equal(type(error), psycopg.OperationalError, "not sent: the error is an OperationalError")
    equal(error.sqlstate, "38V01", "not sent: error.sqlstate is 38V01")
    begins(error.diag.message_detail, "sent=no stage=connect", "not sent: error.diag.message_detail says so")
    equal(value(connection, "SELECT phone.messages(%s)", number), 0, "not sent: no message went out")


def see_maybe_sent(connection, number):
    error = error_of(connection, START, "SMS", number, "sim:close")
    equal(type(error), psycopg.OperationalError, "maybe sent: the error is an OperationalError, too")
    equal(error.sqlstate, "38V02", "maybe sent: error.sqlstate is 38V02")
    begins(error.diag.message_detail, "sent=maybe stage=reply", "maybe sent: error.diag.message_detail says so")
    equal(connection.broken, False, "maybe sent: the connection is not broken")
    equal(value(connection, "SELECT phone.messages(%s)", number), 1, "maybe sent: nothing was repeated")


def cancel(connection, number):
    begun = []

    def watch():
        with connect() as watcher:
            until("a request", lambda: value(watcher, "SELECT phone.requests(%s)", number) == 1)
        begun.append(time.monotonic())
        connection.cancel()

    watcher = threading.Thread(target=watch)
    watcher.start()
    error = error_of(connection, START, "SMS", number, "sim:hang")
    took = time.monotonic() - begun[0]
    watcher.join()
    ok(took < QUICK_S, "connection.cancel() ends a call that hangs", took)
    equal(type(error), psycopg.errors.QueryCanceled, "cancelled: the error is a QueryCanceled")
    begins(error.diag.context, "call of the verification service: sent=maybe stage=reply",
           "cancelled: error.diag.context says that it may have been sent")
    equal(value(connection, "SELECT 1"), 1, "cancelled: the connection goes on")


def main():
    with connect() as connection:
        sign_up(connection, "6281100030001")
        with connect() as other:
            verify(connection, other, "6281100030007")
        composite(connection)
        listen(connection)
        see_not_sent(connection, "6281100030004")
        see_maybe_sent(connection, "6281100030005")
        cancel(connection, "6281100030006")
    finish()


if __name__ == "__main__":
    main()
