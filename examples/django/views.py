"""Sign-up, log-in and change of number by a code, as views of Django.

The table, which a migration makes by migrations.RunSQL, is that of doc/tutorial.md, but its
UNIQUE has a name.  It is deferred: only whoever has verified a number learns that it has an
account.

    phone text NOT NULL CONSTRAINT phone_is_unique UNIQUE DEFERRABLE INITIALLY DEFERRED
    CREATE CONSTRAINT TRIGGER phone_is_verified AFTER INSERT OR UPDATE OR DELETE ON member
        FOR EACH ROW EXECUTE FUNCTION pnvs.require_verification(
            'phone', 'verification', '1 hour', 'sign-up, new number');

pnvs is in a schema "pnvs".  The role of Django's connection has USAGE on that schema, EXECUTE on
the functions below, and, if it runs the migration, EXECUTE on pnvs.require_verification.
The verification's ID is in the session: with sessions in a cookie, which is signed and not
encrypted, that is a secret of this browser's all the same.  Whoever plants his own session gets
what the person at that browser has verified: set SESSION_COOKIE_NAME = "__Host-sessionid" and
SESSION_COOKIE_SECURE, so that no other host of the domain can set it.  Behind a proxy, client_address()
is to return what the proxy says, and nothing that a client can set.
"""

import secrets

from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, connection, models, transaction
from django.http import JsonResponse
from django.views.decorators.http import require_GET, require_POST

STATUS = {"too_many": 429, "not_available_here": 422, "not_a_number": 422, "try_later": 503}
NOT_A_NUMBER = {"errors": {"phone": ["This is not a phone number that we can use."]}}
BEGIN = """
    SELECT id, state, refused, retry_after
    FROM pnvs.begin_verification(%s, %s::text[], %s, session_key => %s, rate_key => %s, send => %s)"""
RESEND = "SELECT state, refused, retry_after FROM pnvs.resend_verification(%s::uuid, %s)"
STATE = "SELECT state, channel, refused, resend_at, purpose FROM pnvs.phone_verification_status(%s::uuid)"
CONFIRM = "SELECT approved, state, tries_left, retry_after FROM pnvs.confirm_verification(%s::uuid, %s)"
NORMALIZE = "SELECT pnvs.normalize_phone_number(%s) AS phone"
USE = "SELECT pnvs.use_verification(%s::uuid, 'log-in') AS phone"
CONSTRAINTS = {"phone_is_verified": "This number is not verified.",
               "phone_is_unique": "This number has an account already."}
NOBODY = "00000000-0000-0000-0000-000000000000"


class Member(models.Model):
    phone = models.TextField()
    verification = models.UUIDField()

    class Meta:
        app_label = "signup"
        db_table = "member"
        managed = False

    def save(self, *args, **kwargs):
        """What the constraints refuse is an error at the field of the form."""
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS phone_is_unique IMMEDIATE")
        except IntegrityError as error:
            constraint = error.__cause__.diag.constraint_name
            if constraint not in CONSTRAINTS:
                raise
            raise ValidationError({"phone": CONSTRAINTS[constraint]}, code=constraint) from error


def row(sql, values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return dict(zip((column.name for column in cursor.description), cursor.fetchone()))


def typed(request, name):
    """What the person has typed.  No person types a NUL, which the driver would make an error of the program."""
    return request.POST.get(name, "").replace("\0", "")


def sqlstate(error):
    """By psycopg 3 or psycopg2."""
    return getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None) or ""


def client_address(request):
    return request.META["REMOTE_ADDR"]


def answer(values):
    """The ID stays on the server.  A refusal is a status.

    That no message could be sent is told of a sign-up alone: of a log-in it would tell that the number is a member's.
    """
    if values["state"] == "failed" and values.get("purpose") != "sign-up":
        values["state"] = "pending"
    retry_after = values.get("retry_after")
    status = STATUS.get(values.get("refused"), 200 if retry_after is None else 429)
    response = JsonResponse({name: value for name, value in values.items() if name != "id"}, status=status)
    if retry_after is not None:
        response["Retry-After"] = retry_after
    return response


def normalized(phone):
    """The number as the table has it, or None if it is none."""
    try:
        with transaction.atomic():
            return row(NORMALIZE, [phone])["phone"]
    except DataError:
        return None


def start(request, purpose, channels=("SMS", "VOICE"), send=True):
    key = request.session.setdefault("key", secrets.token_urlsafe(32))
    begun = row(BEGIN, [typed(request, "phone"), list(channels), purpose, key, client_address(request), send])
    if begun["state"] == "pending":
        request.session["verification"] = str(begun["id"])
    return answer(begun)


@require_POST
def begin_sign_up(request):
    return start(request, "sign-up")


@require_POST
def begin_log_in(request):
    """Sends nothing to a number that no member has, and looks alike: nothing could be refused and go out by the next channel."""
    is_member = Member.objects.filter(phone=normalized(typed(request, "phone"))).exists()
    return start(request, "log-in", channels=["SMS"], send=is_member)


@require_POST
def begin_new_number(request):
    return start(request, "new number")


@require_POST
def resend(request):
    """With the channel VOICE: "call me instead"."""
    channel = "VOICE" if request.POST.get("channel") == "VOICE" else None
    return answer(row(RESEND, [request.session.get("verification", NOBODY), channel]))


@require_GET
def state(request):
    """After a reload of the page, and to learn that no message could be sent."""
    return answer(row(STATE, [request.session.get("verification", NOBODY)]))


@require_POST
def confirm(request):
    """Grants nothing: the page goes on with one of the views below.

    If the service does not answer (38V01, 38V02) or refuses the key (38V05), or a setting is missing (F0000) or not valid
    (22023), the same code can be typed in again later.
    """
    try:
        with transaction.atomic():
            judged = row(CONFIRM, [request.session.get("verification", NOBODY), typed(request, "code")])
    except DatabaseError as error:
        if not sqlstate(error).startswith(("38V", "F0000", "22023")):
            raise
        return JsonResponse({"refused": "try_later"}, status=STATUS["try_later"])
    return answer(judged)


@require_POST
def sign_up(request):
    return save(request, Member())


@require_POST
def change_number(request):
    """Whose number it is, the session says."""
    member = Member.objects.filter(pk=request.session.get("member")).first()
    return save(request, member) if member else JsonResponse({"errors": {"member": ["Please log in."]}}, status=401)


def save(request, member):
    member.phone = normalized(typed(request, "phone"))
    if member.phone is None:
        return JsonResponse(NOT_A_NUMBER, status=400)
    member.verification = request.session.get("verification", NOBODY)
    try:
        member.save()
    except ValidationError as error:
        return JsonResponse({"errors": error.message_dict}, status=400)
    return enter(request, member)


@require_POST
def log_in(request):
    """Who it is, the verification says, and not the browser."""
    with transaction.atomic():
        phone = row(USE, [request.session.get("verification", NOBODY)])["phone"]
        member = Member.objects.filter(phone=phone).first()
    return enter(request, member) if member else JsonResponse({"errors": {"code": ["Ask for a new code."]}}, status=403)


def enter(request, member):
    request.session.flush()
    request.session["member"] = member.pk
    return JsonResponse({"member": member.phone})
