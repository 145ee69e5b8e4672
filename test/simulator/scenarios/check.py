"""Answers to CheckVerification; the other operations are answered normally."""

import functools

from http_messages import json_reply
from scenarios.table import Table
from service import accepted, check_model

TABLE = Table()
for_check = functools.partial(TABLE.add, action="CheckVerification")
NUMBER = "6281234567890"


def number_of(call):
    verification = call.verification()
    return call.params.get("To") or (verification.to if verification else NUMBER)


def approval(call, number, status="approved", success="true"):
    """Approves without asking what the code is."""
    verification = call.verification()
    channel = verification.channel if verification else "SMS"
    model = check_model(number, channel, call.params.get("VerificationId", ""), status)
    return accepted({name: value for name, value in model.items() if value is not None}, success)


@for_check("approved")
def approved(call):
    """Approved whatever the code; phoneNumber is To if that was given."""
    return json_reply(approval(call, number_of(call)))


@for_check("approved-other")
def approved_other(call):
    """Approved, but for another number."""
    number = number_of(call)
    return json_reply(approval(call, number[:-1] + str((int(number[-1]) + 1) % 10)))


@for_check("approved-nophone")
def approved_without_number(call):
    """Approved, without phoneNumber."""
    return json_reply(approval(call, None))


@for_check("approved-plus")
def approved_with_plus(call):
    """Approved; phoneNumber is written for people, as in +62 812-3456-7890."""
    number = number_of(call)
    return json_reply(approval(call, f"+{number[:2]} {number[2:5]}-{number[5:9]}-{number[9:]}"))


@for_check("status-upper")
def status_upper(call):
    """The status is APPROVED."""
    return json_reply(approval(call, number_of(call), status="APPROVED"))


@for_check("success-false-approved")
def success_false_approved(call):
    """Success is "false", though the status is approved."""
    return json_reply(approval(call, number_of(call), success="false"))
