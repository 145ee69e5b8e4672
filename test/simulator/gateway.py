"""The gateway in front of every Alibaba Cloud product: who calls, when, and is the request theirs?

Its refusals come as {RequestId, HostId, Code, Message, Recommend} and an HTTP status, in the order of admit().
"""

import functools
import threading
from calendar import timegm
from time import strptime
from uuid import uuid4

import signature
from http_messages import json_reply

MAX_SKEW_SECONDS = 15 * 60
# Enough for a long benchmark; the oldest are forgotten first, and by then their time stamps have expired.
MAX_NONCES = 1_000_000
REQUIRED_HEADERS = (
    "host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256",
)


class Refusal(Exception):
    def __init__(self, status, code, message):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    def reply(self, host, **headers):
        return json_reply(gateway_body(self.code, self.message, host), self.status, **headers)


def request_id():
    return str(uuid4()).upper()


def gateway_body(code, message, host):
    return {
        "RequestId": request_id(),
        "HostId": host,
        "Code": code,
        "Message": message,
        "Recommend": f"https://api.alibabacloud.com/troubleshoot?q={code}&product=Dypnsapi-intl",
    }


@functools.lru_cache(maxsize=16)
def parse_date(text):
    """Unix time; raises ValueError. The exact length refuses what strptime() is lenient about, as in 2026-1-1."""
    if len(text) != len("yyyy-MM-ddTHH:mm:ssZ"):
        raise ValueError
    return timegm(strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def expired(now):
    return Refusal(400, "InvalidTimeStamp.Expired", f"Specified time stamp or date value is expired at {now:.0f}.")


class Gateway:
    def __init__(self, keys):
        self._keys = keys
        self._nonces = {}
        self._lock = threading.Lock()

    def admit(self, request, now):
        """Raises Refusal. Marks the request's signature as good as soon as it is known to be."""
        self._require_headers(request)
        authorization = self._parse_authorization(request)
        key = self._find_key(authorization.access_key_id)
        self._require_signed(request, authorization.signed_headers)
        self._check_date(request, now)
        self._check_signature(request, authorization, key)
        self._check_nonce(request)
        self._check_token(request, key, now)

    def _require_headers(self, request):
        for name in (*REQUIRED_HEADERS, "authorization"):
            if not request.headers.get(name):
                raise Refusal(400, "MissingParameter", f"The header {name} is mandatory for this action.")

    def _parse_authorization(self, request):
        try:
            return signature.parse_authorization(request.headers["authorization"])
        except ValueError:
            raise incomplete("The Authorization header is malformed.") from None

    def _find_key(self, access_key_id):
        key = self._keys.find(access_key_id)
        if key is None:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        return key

    def _require_signed(self, request, signed):
        present = {name for name in request.headers if name.startswith("x-acs-")}
        must_sign = present | set(REQUIRED_HEADERS) | ({"content-type"} & request.headers.keys())
        for name in sorted(must_sign - set(signed)):
            raise incomplete(f"The header {name} is sent but not signed.")
        for name in signed:
            if name not in request.headers:
                raise incomplete(f"The header {name} is signed but not sent.")

    def _check_date(self, request, now):
        try:
            sent = parse_date(request.headers["x-acs-date"])
        except ValueError:
            raise Refusal(400, "InvalidTimeStamp.Format",
                          "Specified time stamp or date value is not well formatted.") from None
        if abs(sent - now) > MAX_SKEW_SECONDS:
            raise expired(now)

    def _check_signature(self, request, authorization, key):
        body_hash = signature.sha256_hex(request.body)
        if not signature.matches(body_hash, request.headers["x-acs-content-sha256"]):
            raise Refusal(400, "SignatureDoesNotMatch", "x-acs-content-sha256 is not the hash of the body.")
        signed = {name: request.headers[name] for name in authorization.signed_headers}
        request.canonical = signature.canonical_request(request.method, request.path, request.query, signed, body_hash)
        text = signature.string_to_sign(request.canonical)
        if not signature.matches(signature.sign(key.secret, text), authorization.signature):
            raise Refusal(400, "SignatureDoesNotMatch",
                          f"Specified signature is not matched with our calculation. server string to sign is:{text}")
        request.signature_ok = True

    def _check_nonce(self, request):
        nonce = request.headers["x-acs-signature-nonce"]
        with self._lock:
            if nonce in self._nonces:
                raise Refusal(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
            self._nonces[nonce] = None
            if len(self._nonces) > MAX_NONCES:
                del self._nonces[next(iter(self._nonces))]

    def _check_token(self, request, key, now):
        token = request.headers.get("x-acs-security-token")
        if token != key.token:
            raise Refusal(400, "InvalidSecurityToken.MismatchWithAccessKey",
                          "Specified SecurityToken mismatch with the AccessKey.")
        if key.expires is not None and now >= key.expires:
            raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def incomplete(detail):
    return Refusal(400, "IncompleteSignature", f"The request signature does not conform to Aliyun standards. {detail}")
