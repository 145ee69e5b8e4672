"""ACS3-HMAC-SHA256, the gateway's signature version 3.

Written from the published description and independent of the extension's C, so that each checks the other.

    CanonicalRequest = METHOD \\n PATH \\n query \\n headers \\n names of signed headers \\n hex(sha256(body))
    StringToSign     = "ACS3-HMAC-SHA256" \\n hex(sha256(CanonicalRequest))
    Signature        = hex(hmac_sha256(secret, StringToSign))
"""

import hashlib
import hmac
from typing import NamedTuple
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"


class Authorization(NamedTuple):
    access_key_id: str
    signed_headers: list
    signature: str


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


def percent_encode(text):
    """RFC 3986: everything but the unreserved characters, which quote() leaves alone once it is given no others."""
    return quote(text, safe="")


def canonical_query(pairs):
    return "&".join(f"{percent_encode(name)}={percent_encode(value)}" for name, value in sorted(pairs))


def canonical_request(method, path, pairs, signed_headers, body_hash):
    """signed_headers: lower-cased name -> value, only those that are signed."""
    names = sorted(signed_headers)
    lines = "".join(f"{name}:{signed_headers[name].strip()}\n" for name in names)
    return "\n".join([method, path, canonical_query(pairs), lines, ";".join(names), body_hash])


def string_to_sign(canonical):
    return f"{ALGORITHM}\n{sha256_hex(canonical.encode())}"


def sign(secret, text):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def matches(expected, given):
    """In constant time, and for any text a header may hold."""
    return hmac.compare_digest(expected.encode(), given.encode())


def parse_authorization(value):
    """Raises ValueError where the header is not of the one form that version 3 knows."""
    algorithm, _, rest = value.strip().partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if algorithm != ALGORITHM or fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise ValueError("not an ACS3-HMAC-SHA256 authorization")
    return Authorization(fields["Credential"], fields["SignedHeaders"].split(";"), fields["Signature"])


def signed_headers(access_key_id, secret, pairs, headers, body=b""):
    """The headers of a signed POST to "/": those given (lower-cased, host included), the body's hash, Authorization."""
    body_hash = sha256_hex(body)
    headers = {**headers, "x-acs-content-sha256": body_hash}
    canonical = canonical_request("POST", "/", pairs, headers, body_hash)
    headers["Authorization"] = (
        f"{ALGORITHM} Credential={access_key_id},SignedHeaders={';'.join(sorted(headers))},"
        f"Signature={sign(secret, string_to_sign(canonical))}"
    )
    return headers
