"""Keys, and the places that hand out temporary ones: STS, the instance metadata service, a credentials URI.

What is issued here is accepted by the signature check until it expires. A role's name decides what becomes of it:
`<anything>-<n>s` gives credentials that expire after n seconds, `missing` does not exist, any other lasts an hour.
"""

import re
import secrets
import threading
import time
from dataclasses import dataclass

from gateway import Refusal, request_id
from http_messages import Reply, decode_query, json_reply

DEFAULT_ROLE = "simulator-role"
DEFAULT_LIFETIME_SECONDS = 3600
METADATA_TOKEN_HEADER = "x-aliyun-ecs-metadata-token"
METADATA_TTL_HEADER = "x-aliyun-ecs-metadata-token-ttl-seconds"
MAX_METADATA_TTL = 21600
ROLES_PATH = "/latest/meta-data/ram/security-credentials/"
STS_VERSION = "2015-04-01"


@dataclass(frozen=True)
class Key:
    secret: str
    token: str = None
    expires: float = None  # unix time; None is never


class KeyRing:
    def __init__(self, access_key_id, secret, token=None):
        self._keys = {access_key_id: Key(secret, token)}
        self._lock = threading.Lock()

    def find(self, access_key_id):
        return self._keys.get(access_key_id)

    def issue(self, role):
        """Temporary credentials in the form that all the places share."""
        if role == "missing":
            raise Refusal(404, "EntityNotExist.Role", "The role does not exist.")
        short = re.search("-([0-9]{1,5})s$", role)
        expires = time.time() + (int(short[1]) if short else DEFAULT_LIFETIME_SECONDS)
        access_key_id = f"STS.{secrets.token_hex(12)}"
        key = Key(secrets.token_hex(16), f"{secrets.token_urlsafe(60)}/+==", expires)
        with self._lock:
            self._keys[access_key_id] = key
        return {
            "AccessKeyId": access_key_id,
            "AccessKeySecret": key.secret,
            "SecurityToken": key.token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
        }


class CredentialEndpoints:
    def __init__(self, keys):
        self._keys = keys
        self._metadata_tokens = {}  # token -> when it expires
        self._unsigned = {
            ("PUT", "/latest/api/token"): self._metadata_token,
            ("GET", "/credentials"): self._credentials_uri,
        }

    def find(self, request):
        """Who answers a request that needs no signature: a function of the request, or None where it needs one."""
        if request.method == "GET" and request.path.startswith(ROLES_PATH):
            return self._metadata_role
        if request.method == "POST" and form(request).get("Action") == "AssumeRoleWithOIDC":
            return self._assume_role_with_oidc
        return self._unsigned.get((request.method, request.path))

    def _metadata_token(self, request):
        ttl = request.headers.get(METADATA_TTL_HEADER, "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= MAX_METADATA_TTL:
            return plain(400)
        token = secrets.token_urlsafe(40)
        self._metadata_tokens[token] = time.time() + int(ttl)
        return plain(200, token)

    def _metadata_role(self, request):
        if self._metadata_tokens.get(request.headers.get(METADATA_TOKEN_HEADER), 0) < time.time():
            return plain(403)
        role = request.path.removeprefix(ROLES_PATH)
        if not role:
            return plain(200, DEFAULT_ROLE)
        if role == "missing":
            return plain(404)
        return json_reply(self._with_code(role))

    def _credentials_uri(self, request):
        return json_reply(self._with_code(dict(request.query).get("role", DEFAULT_ROLE)))

    def _with_code(self, role):
        return {**self._keys.issue(role), "LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"}

    def _assume_role_with_oidc(self, request):
        params = form(request)
        if params.get("Version") != STS_VERSION:
            raise Refusal(400, "InvalidVersion", "Specified parameter Version is not valid.")
        for name in ("RoleArn", "OIDCProviderArn", "OIDCToken", "RoleSessionName"):
            require(params, name)
        if params["OIDCToken"] == "bad":
            raise Refusal(400, "AuthenticationFail.OIDCToken.Invalid", "The OIDC token is invalid.")
        return self._assumed(params)

    def assume_role(self, request):
        """The signature has been checked by now."""
        params = form(request)
        for name in ("RoleArn", "RoleSessionName"):
            require(params, name)
        return self._assumed(params)

    def _assumed(self, params):
        role = params["RoleArn"].rpartition("/")[2]
        return json_reply({
            "RequestId": request_id(),
            "AssumedRoleUser": {"Arn": f"{params['RoleArn']}/{params['RoleSessionName']}", "AssumedRoleId": "33157"},
            "Credentials": self._keys.issue(role),
        })


def form(request):
    """Parameters of the query and of a form body: STS takes both."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    body = decode_query(request.body.decode("latin-1")) if is_form else []
    return dict(request.query + body)


def require(params, name):
    if not params.get(name):
        raise Refusal(400, f"Missing{name}", f"{name} is mandatory for this action.")


def plain(status, text=""):
    return Reply(status, text.encode(), content_type="text/plain")
