"""django_app.py: pnvs from Django, over psycopg2: the queue as a model, a sign-up as views."""

import json
import logging
import os
import select
import threading
import time

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()
logging.disable()

from django.core.exceptions import ValidationError  # noqa: E402
from django.db import (  # noqa: E402
    DatabaseError,
    IntegrityError,
    InternalError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.http import JsonResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

from tap import begins, equal, finish, ok, until, wrong  # noqa: E402

QUICK_S = 1
START = "SELECT verification_id FROM pnvs.start_verification('SMS', %s, %s)"
STATUS = {"38V01": 503, "38V02": 502}


class Message(models.Model):
    """What is queued.  The quotation marks keep Django from quoting schema and view as one name."""

    id = models.BigIntegerField(primary_key=True)
    recipient = models.TextField()
    state = models.TextField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "signup"
        managed = False
        db_table = '"pnvs"."verification_queue"'


class Member(models.Model):
    """A table with the constraint: a violation becomes an error at the field."""

    phone = models.TextField(null=True)
    verification_id = models.UUIDField(null=True)

    class Meta:
        app_label = "signup"
        managed = False
        db_table = '"signup"."member"'

    def save(self, *args, **kwargs):
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
        except IntegrityError as error:
            if error.__cause__.diag.constraint_name != "member_phone_verified":
                raise
            raise ValidationError({"phone": "Verify this number first."}) from error


def value(sql, parameters=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def start(request):
    """The verification's ID stays on the server; a failure of the service is no error of the program."""
    try:
        verification = value(START, [request.POST["to"], request.POST["service_sid"]])
    except InternalError as error:
        sqlstate = error.__cause__.pgcode
        return JsonResponse({"sqlstate": sqlstate, "detail": error.__cause__.diag.message_detail},
                            status=STATUS[sqlstate])
    return JsonResponse({"verification_id": verification})


def check(request):
    approved = value("SELECT approved FROM pnvs.check_verification(%s, %s, %s)",
                     [request.POST["code"], request.POST["verification_id"], request.POST["to"]])
    return JsonResponse({"approved": approved}, status=200 if approved else 403)


def join(request):
    try:
        member = Member.objects.create(phone=request.POST.get("phone"), verification_id=request.POST.get("verification_id"))
    except ValidationError as error:
        return JsonResponse(error.message_dict, status=400)
    return JsonResponse({"id": member.pk}, status=201)


urlpatterns = [path("start", start), path("check", check), path("join", join)]


def sign_up(browser):
    number = "+62 811-0004-0001"
    started = browser.post("/start", {"to": number, "service_sid": "FA1"})
    equal(started.status_code, 200, "a view sends a code")
    code = value("SELECT phone.code(%s)", ["6281100040001"])
    form = {"to": number, **started.json()}
    equal(browser.post("/check", {**form, "code": wrong(code)}).json(), {"approved": False},
          "a wrong code is a row: approved is False")
    equal(browser.post("/check", {**form, "code": code}).json(), {"approved": True}, "the right code is approved")
    equal(value("SELECT phone.messages(%s)", ["6281100040001"]), 1, "one message went out")
    equal(type(value("SELECT pnvs.start_verification('SMS', %s, 'FA1')", ["6281100040002"])), str,
          "a function outside FROM returns its row as one str")


def heard(listener, message):
    """The state of a message as its notification has it."""
    states = {}

    def look():
        select.select([listener], [], [], 0.01)
        listener.poll()
        while listener.notifies:
            payload = json.loads(listener.notifies.pop(0).payload)
            states[payload["id"]] = payload["state"]
        return message in states

    until("a notification", look)
    return states[message]


def queue():
    with connection.cursor() as cursor:
        cursor.execute("LISTEN pnvs_verification")
        with transaction.atomic():
            message = value("SELECT pnvs.enqueue_verification('SMS', %s, 'FA1')", ["+62 811-0004-0003"])
            equal(Message.objects.get(pk=message).state, "queued", "until the end of atomic() a message is queued")
        equal(heard(connection.connection, message), "sent",
              "a notification, by the connection of psycopg2, says what became of it")
        cursor.execute("UNLISTEN pnvs_verification")
    row = Message.objects.get(pk=message)
    equal(row.state, "sent", "the view is a model: the row says the same")
    equal(row.recipient, "6281100****03", "the number of a settled message is masked")
    ok(row.settled_at.tzinfo is not None, "a timestamptz is a datetime with a time zone", row.settled_at)
    awaited = Message.objects.raw("SELECT * FROM pnvs.await_verification(%s)", [message])[0]
    equal(awaited.state, "sent", "await_verification returns the model by raw()")


def see_not_sent():
    error = None
    try:
        with transaction.atomic():
            value("SELECT set_config('pnvs.endpoint', %s, true)", [os.environ["UNREACHABLE"]])
            value(START, ["6281100040004", "FA1"])
    except DatabaseError as raised:
        error = raised
    equal(type(error), InternalError, "not sent: the error is an InternalError")
    equal(error.__cause__.pgcode, "38V01", "not sent: error.__cause__.pgcode is 38V01")
    begins(error.__cause__.diag.message_detail, "sent=no stage=connect",
           "not sent: error.__cause__.diag.message_detail says so")
    equal(value("SELECT phone.messages(%s)", ["6281100040004"]), 0, "not sent: no message went out")


def see_maybe_sent(browser):
    backend = connection.connection.get_backend_pid()
    reply = browser.post("/start", {"to": "6281100040005", "service_sid": "sim:close"})
    equal(reply.status_code, 502, "maybe sent: the view's InternalError has pgcode 38V02")
    begins(reply.json()["detail"], "sent=maybe stage=reply", "maybe sent: its detail says so")
    equal(value("SELECT phone.messages(%s)", ["6281100040005"]), 1, "maybe sent: nothing was repeated")
    equal(value("SELECT pg_backend_pid()"), backend, "maybe sent: Django keeps the connection")


def roll_back():
    try:
        with transaction.atomic():
            message = value("SELECT pnvs.enqueue_verification('SMS', %s, 'FA1')", ["6281100040006"])
            value(START, ["6281100040007", "sim:close"])
    except InternalError:
        pass
    equal(Message.objects.filter(pk=message).exists(), False, "atomic() takes back what was queued in it")
    equal(value("SELECT phone.messages(%s)", ["6281100040007"]), 1, "atomic() takes no direct call back")


def see_unverified(browser):
    backend = connection.connection.get_backend_pid()
    form = {"phone": "6281100040009", "verification_id": "a8098c1a-f86e-41da-bd1a-00112444be1e"}
    refused = browser.post("/join", form)
    equal(refused.status_code, 400, "unverified: a model turns the IntegrityError into a ValidationError")
    equal(refused.json(), {"phone": ["Verify this number first."]}, "unverified: at the field for the number")
    equal(Member.objects.filter(phone="6281100040009").exists(), False, "unverified: there is no such member")
    equal(browser.post("/join").status_code, 201, "unverified: a member without a number is one")
    equal(value("SELECT pg_backend_pid()"), backend, "unverified: Django keeps the connection")
    error = None
    try:
        with transaction.atomic():
            value("INSERT INTO signup.member (phone) VALUES (%s) RETURNING id", ["6281100040009"])
    except IntegrityError as raised:
        error = raised
    equal(error.__cause__.pgcode, "23514", "unverified: error.__cause__.pgcode is 23514")
    equal("6281100040009" in str(error), False, "unverified: the error does not tell the number")


def cancel():
    number = "6281100040008"
    caller = connection.connection
    begun = []

    def watch():
        # a thread has a connection of its own
        until("a request", lambda: value("SELECT phone.requests(%s)", [number]) == 1)
        begun.append(time.monotonic())
        caller.cancel()
        connection.close()

    error = None
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        value(START, [number, "sim:hang"])
    except DatabaseError as raised:
        error = raised
    took = time.monotonic() - begun[0]
    watcher.join()
    ok(took < QUICK_S, "connection.connection.cancel() ends a call that hangs", took)
    equal(type(error), OperationalError, "cancelled: the error is an OperationalError")
    equal(error.__cause__.pgcode, "57014", "cancelled: error.__cause__.pgcode is 57014")
    begins(error.__cause__.diag.context, "call of the verification service: sent=maybe stage=reply",
           "cancelled: error.__cause__.diag.context says that it may have been sent")
    equal(value("SELECT 1"), 1, "cancelled: the connection goes on")


def main():
    browser = Client()
    sign_up(browser)
    queue()
    see_not_sent()
    see_maybe_sent(browser)
    roll_back()
    see_unverified(browser)
    cancel()
    finish()


main()
