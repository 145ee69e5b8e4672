"""HTTP/1.1 requests as bytes become objects, and replies as objects become bytes.

The standard library's parser is passed over for two reasons: it is slower than all the rest of the simulator together,
and it hides what was on the wire, which is what the signature is about.
"""

import functools
import json
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

MAX_HEAD = 1 << 20
MAX_BODY = 1 << 20
MAX_LINE = 1 << 10
JSON_TYPE = "application/json;charset=utf-8"
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class BadRequest(Exception):
    """What was read is not HTTP as a client of the service may speak it."""


@dataclass
class Request:
    method: str
    path: str
    version: str
    query: list  # of (name, value), decoded, in the order of the wire
    headers: dict  # lower-cased name -> value; repeated ones joined by a comma
    body: bytes
    signature_ok: bool = False
    canonical: str = None  # what the signature was checked against

    @property
    def wants_close(self):
        return self.version != "HTTP/1.1" or self.headers.get("connection", "").lower() == "close"


@dataclass
class Reply:
    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict = field(default_factory=dict)  # a value of None leaves out a header that is otherwise sent
    code: str = None  # the service's Code, for the log

    def head(self, now):
        headers = {
            "Date": http_date(int(now)),
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Connection": "keep-alive",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def render(self, now):
        return self.head(now) + self.body


def json_reply(value, status=200, **headers):
    """Headers are given with underscores for dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    code = value.get("Code") if isinstance(value, dict) else None
    return Reply(status, to_json(value), headers=named, code=code)


def to_json(value):
    return ENCODER.encode(value).encode()


@functools.lru_cache(maxsize=16)
def http_date(seconds):
    return formatdate(seconds, usegmt=True)


def reason(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def decode_query(text):
    """As a servlet container decodes it: '+' is a space, so that a client that forgot to encode one is found out."""
    return [tuple(map(_decode, part.partition("=")[::2])) for part in text.split("&") if part]


def _decode(text):
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("the query string is not UTF-8") from None


def read_request(connection):
    """None where the peer closed the connection between two requests."""
    try:
        head = connection.read_until(b"\r\n\r\n", MAX_HEAD)
        if head is None:
            return None
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = start.split(" ")
        headers = _parse_headers(lines)
        body = _read_body(connection, headers)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    path, _, query = target.partition("?")
    return Request(method, path, version, decode_query(query), headers, body)


def _parse_headers(lines):
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("a header line is malformed")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _read_body(connection, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _read_chunks(connection)
    size = int(headers.get("content-length", "0"))
    if not 0 <= size <= MAX_BODY:
        raise BadRequest("the body is too long")
    return connection.read_exactly(size)


def _read_chunks(connection):
    body = b""
    while size := int(_read_line(connection).partition(b";")[0], 16):
        body += connection.read_exactly(size)
        _read_line(connection)
        if len(body) > MAX_BODY:
            raise BadRequest("the body is too long")
    while _read_line(connection):  # trailers, up to the empty line
        pass
    return body


def _read_line(connection):
    line = connection.read_until(b"\r\n", MAX_LINE)
    if line is None:
        raise BadRequest("the body ends early")
    return line
