"""django_example.py: the views of examples/django, which run as they are."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
            "OPTIONS": {"options": "-c pnvs.service_sid=FA1"},
        }
    },
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    USE_TZ=True,
)
django.setup()
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "django"))

import views  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

from tap import equal, finish, ok, until, wrong  # noqa: E402

VIEWS = ("begin_sign_up", "begin_log_in", "begin_new_number", "resend", "state", "confirm", "sign_up", "change_number", "log_in")
urlpatterns = [path(name, getattr(views, name)) for name in VIEWS]
NOT_VERIFIED = {"errors": {"phone": ["This number is not verified."]}}


def phone(what, number):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT phone.{what}(%s)", [number])
        return cursor.fetchone()[0]


def begin(browser, view, number):
    """Begins, waits for the message, and returns its code."""
    before = phone("messages", number)
    begun = browser.post("/" + view, {"phone": "+" + number})
    equal((begun.status_code, begun.json()["state"]), (200, "pending"), f"{view}: it is pending")
    equal("id" in begun.json(), False, f"{view}: the ID stays on the server")
    until("a message", lambda: phone("messages", number) > before)
    return phone("code", number)


def confirm(browser, code):
    """Asks again while nothing can be checked yet."""
    answers = []
    until("a judgement", lambda: answers.append(browser.post("/confirm", {"code": code})) or answers[-1].status_code != 429)
    return answers[-1].json()


def sign_up():
    browser, number = Client(), "6281100100001"
    code = begin(browser, "begin_sign_up", number)
    equal(browser.get("/state").json()["state"], "pending", "state: shows it after a reload")
    judged = confirm(browser, wrong(code))
    equal((judged["approved"], judged["tries_left"]), (False, 4), "confirm: a wrong code")
    refused = browser.post("/sign_up", {"phone": "+" + number})
    equal((refused.status_code, refused.json()), (400, NOT_VERIFIED), "sign_up: not without the right code")
    equal(confirm(browser, code)["approved"], True, "confirm: the right one")
    for what, form in {"no number": {"phone": "nonsense"}, "nothing": {}}.items():
        refused = browser.post("/sign_up", form)
        equal((refused.status_code, refused.json()), (400, views.NOT_A_NUMBER), f"sign_up: {what} is an error at the field")
    refused = browser.post("/sign_up", {"phone": "+6281100100009"})
    equal((refused.status_code, refused.json()), (400, NOT_VERIFIED), "sign_up: not with another number")
    equal(browser.post("/sign_up", {"phone": "+62 811-0010-0001"}).json(), {"member": "+" + number}, "sign_up: a member")
    return browser, number


def change_number(browser):
    number = "6281100100002"
    equal(confirm(browser, begin(browser, "begin_new_number", number))["approved"], True, "new number: it is verified")
    equal(browser.post("/change_number", {"phone": number}).json(), {"member": "+" + number}, "change_number: the member has it")
    equal(Client().post("/change_number", {"phone": number}).status_code, 401, "change_number: only who is logged in")
    return number


def leave(browser):
    """The member goes, and the session stays."""
    session = browser.session
    session["member"] = 0
    session.save()
    equal(browser.post("/change_number", {"phone": "6281100100002"}).status_code, 401, "change_number: not for a member who has gone")


def log_in(number):
    browser = Client()
    equal(confirm(browser, begin(browser, "begin_log_in", number))["approved"], True, "log-in: the code is right")
    equal(browser.post("/log_in").json(), {"member": "+" + number}, "log_in: the verification says who it is")
    equal(browser.post("/log_in").status_code, 403, "log_in: once")


def plant_session(number):
    """An attacker's cookie in the browser of somebody who then enters: what that session becomes is not the attacker's."""
    def sign_up_and_in(browser, number):
        confirm(browser, begin(browser, "begin_sign_up", number))
        return browser.post("/sign_up", {"phone": "+" + number})

    def log_in_only(browser, number):
        confirm(browser, begin(browser, "begin_log_in", number))
        return browser.post("/log_in")

    for what, enter, number in ("sign_up", sign_up_and_in, "6281100100005"), ("log_in", log_in_only, number):
        attacker, victim = Client(), Client()
        attacker.post("/begin_sign_up", {"phone": "nonsense"})
        planted = attacker.cookies["sessionid"].value
        victim.cookies["sessionid"] = planted
        equal(enter(victim, number).json(), {"member": "+" + number}, f"{what}: in a session that an attacker has planted")
        ok(victim.cookies["sessionid"].value != planted, f"{what}: its cookie is another from then on")
        equal(attacker.post("/change_number", {"phone": number}).status_code, 401, f"{what}: the attacker's is nobody's")
        equal(attacker.get("/state").json()["state"], None, f"{what}: nor does it tell of a verification")


def hide_members():
    browser, nobody = Client(), "6281100100003"
    begun = browser.post("/begin_log_in", {"phone": nobody})
    equal((begun.status_code, begun.json()["state"]), (200, "pending"), "a number without an account looks the same")
    equal(confirm(browser, "123456"), {"approved": False, "state": "pending", "tries_left": 4, "retry_after": None},
          "a code for it is wrong")
    equal(phone("messages", nobody), 0, "and nothing is sent to it")
    for row, shown in ({"state": "failed"}, "pending"), ({"state": "failed", "purpose": "log-in"}, "pending"), \
            ({"state": "failed", "purpose": "sign-up"}, "failed"):
        ok(f'"state": "{shown}"' in views.answer(dict(row)).content.decode(), f"{row} is shown as {shown}")


def take_anything():
    browser = Client()
    equal(browser.post("/begin_sign_up").status_code, 422, "begin without a number: it is not one")
    equal(browser.post("/begin_log_in", {"phone": "nonsense"}).status_code, 422, "nor is anything else")
    equal(browser.post("/confirm").json()["state"], None, "confirm without a verification")
    equal(browser.get("/state").json()["state"], None, "there is no state either")
    begin(browser, "begin_sign_up", "6281100100004")
    for view, form, status in ("begin_sign_up", {"phone": "\0"}, 422), ("begin_log_in", {"phone": "\0"}, 422), \
            ("confirm", {"code": "\0"}, 200), ("sign_up", {"phone": "\0"}, 400):
        equal(browser.post("/" + view, form).status_code, status, f"{view}: a NUL, which no text of PostgreSQL can have")
    again = browser.post("/resend", {"channel": "SMOKE"})
    equal((again.status_code, "Retry-After" in again), (429, True), "resend: too early, whatever the channel")


def see_no_service():
    """The sessions of these tests are in the cache, so the connection is not theirs."""
    browser = Client()
    code = begin(browser, "begin_sign_up", "6281100100005")
    until("a second", lambda: browser.post("/confirm", {"code": wrong(code)}).status_code != 429)
    with connection.cursor() as cursor:
        cursor.execute("SET pnvs.endpoint = %s", [os.environ["UNREACHABLE"]])
        refused = browser.post("/confirm", {"code": code})
        cursor.execute("RESET pnvs.endpoint")
        cursor.execute("SET pnvs.access_key_id = ''")
        unconfigured = browser.post("/confirm", {"code": code})
        cursor.execute("RESET pnvs.access_key_id")
    equal((unconfigured.status_code, unconfigured.json()), (503, {"refused": "try_later"}), "confirm: so is a key that is not configured")
    equal((refused.status_code, refused.json()), (503, {"refused": "try_later"}), "confirm: a service that is not there is 503")
    equal(confirm(browser, code)["approved"], True, "confirm: later the same code is right")


member, _ = sign_up()
number = change_number(member)
log_in(number)
plant_session(number)
hide_members()
take_anything()
see_no_service()
leave(member)
finish()
