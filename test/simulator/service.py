"""The Phone Number Verification Service itself: its three operations and what it remembers.

Everything is kept in memory and nothing expires: a test that wants another state asks for a scenario.
"""

import base64
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass

from gateway import request_id

CHANNELS = ("SMS", "VOICE", "WHATSAPP")
DEFAULT_PAGE_SIZE = 10


class InvalidParameters(Exception):
    """Becomes Code INVALID_PARAMETERS in an envelope with HTTP status 200."""


@dataclass
class Verification:
    verification_id: str
    to: str
    channel: str
    service_sid: str
    code: str
    sent_ms: int
    updated_ms: int
    status: str = "pending"

    def record(self):
        return {
            "sendDate": self.sent_ms,
            "channel": self.channel,
            "serviceSid": self.service_sid,
            "to": self.to,
            "updatedDate": self.updated_ms,
            "verificationId": self.verification_id,
            "status": self.status,
        }


def now_ms():
    return int(time.time() * 1000)


def new_verification_id():
    """Always holds '/' and '+', since the real ones do and clients get them wrong."""
    text = base64.b64encode(os.urandom(15)).decode()
    return f"{text[:6]}/{text[6:12]}+{text[12:]}"


def accepted(model, success=True):
    return {"RequestId": request_id(), "Message": "OK", "Model": model, "Code": "OK", "Success": success}


def refused(code, message):
    return {"RequestId": request_id(), "Message": message, "Code": code, "Success": False}


def check_model(number, channel, verification_id, status):
    return {"phoneNumber": number, "channel": channel, "verificationId": verification_id, "status": status}


def page_model(records, page, size, total):
    return {
        "records": records,
        "pageNo": page,
        "totalPage": -(-total // size),
        "pageSize": size,
        "totalCount": total,
    }


def whole_number(params, name, default, lowest):
    text = params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) < lowest:
        raise InvalidParameters(f"{name} is invalid")
    return int(text)


def paging(params):
    """The page asked for, from 1, and its size."""
    return whole_number(params, "CurrentPage", 1, 1), whole_number(params, "PageSize", DEFAULT_PAGE_SIZE, 1)


class Service:
    def __init__(self):
        self._lock = threading.Lock()
        self._verifications = {}
        self._by_number = {}
        self._operations = {
            "StartVerification": self._start,
            "CheckVerification": self._check,
            "SearchVerification": self._search,
        }

    def has(self, operation):
        return operation in self._operations

    def perform(self, operation, params, announce):
        """The envelope of the answer. announce(verification) is called for each message that would go out."""
        try:
            return self._operations[operation](params, announce)
        except InvalidParameters as error:
            return refused("INVALID_PARAMETERS", str(error))

    def find(self, verification_id):
        return self._verifications.get(verification_id)

    def _start(self, params, announce):
        if params.get("Channel") not in CHANNELS:
            raise InvalidParameters("Channel is invalid")
        if not re.fullmatch("[0-9]{7,15}", params.get("To", "")):
            raise InvalidParameters("To is invalid")
        if not params.get("ServiceSid"):
            raise InvalidParameters("ServiceSid is missing")
        sent = now_ms()
        verification = Verification(new_verification_id(), params["To"], params["Channel"], params["ServiceSid"],
                                    f"{secrets.randbelow(10 ** 6):06}", sent, sent)
        with self._lock:
            self._verifications[verification.verification_id] = verification
            self._by_number.setdefault(verification.to, []).append(verification)
        announce(verification)
        return accepted({
            "verifyCode": verification.code,
            "verificationId": verification.verification_id,
            "status": verification.status,
        })

    def _check(self, params, _announce):
        """Success is a string here, as the service documents it and as it is nowhere else."""
        verification = self.find(params.get("VerificationId"))
        if verification is None:
            raise InvalidParameters("VerificationId is unknown")
        if not params.get("Code"):
            raise InvalidParameters("Code is missing")
        if params.get("To", verification.to) != verification.to:
            raise InvalidParameters("To is not the number of this verification")
        if params["Code"] == verification.code:
            verification.status, verification.updated_ms = "approved", now_ms()
        return accepted(check_model(verification.to, verification.channel, verification.verification_id,
                                    "approved" if params["Code"] == verification.code else "pending"), "true")

    def _search(self, params, _announce):
        """The RequestId ends in a newline, as in the service's own sample."""
        page, size = paging(params)
        found = self._matching(params)
        records = [verification.record() for verification in found[(page - 1) * size:page * size]]
        answer = accepted(page_model(records, page, size, len(found)))
        answer["RequestId"] += "\n"
        return answer

    def _matching(self, params):
        """Newest first. SendDate is taken as "sent at or after": the documentation does not say."""
        since_ms, to = whole_number(params, "SendDate", 0, 0), params.get("To")
        with self._lock:
            candidates = list(self._by_number.get(to, []) if to else self._verifications.values())
        wanted = {
            "service_sid": params.get("ServiceSid"),
            "code": params.get("Code"),
            "verification_id": params.get("VerificationId"),
        }
        return [
            verification for verification in reversed(candidates)
            if verification.sent_ms >= since_ms
            and all(not value or getattr(verification, name) == value for name, value in wanted.items())
        ]
