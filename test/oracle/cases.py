"""What is signed: requests at random, and the fixed ones that become test/vectors/oracle_v3.json.

A request is a dict of the fields that client.js and sign.c take; a parameter whose value is None is left out.
"""

import random
import string
from calendar import timegm
from time import strptime

ENDPOINT = "dypnsapi-intl.ap-southeast-1.aliyuncs.com"
VERSION = "2017-07-25"
NUMBER = "6281234567890"
SERVICE_SID = "FA00000000000001"
# The first second after the year 9999, the last that the time stamp can hold.
END_OF_TIME = 253402300800
DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

PARAMETERS = {
    "StartVerification": ("Channel", "To", "ServiceSid"),
    "CheckVerification": ("Code", "VerificationId", "ServiceSid", "To"),
    "SearchVerification": ("ServiceSid", "To", "Code", "VerificationId", "SendDate", "PageSize", "CurrentPage"),
}

# Name -> text. What encoders get wrong: RFC 3986's reserved and unreserved, what is encoded already, control
# characters, UTF-8 of every length, and what some languages take for white space or for the end of a line.
AWKWARD = {
    "empty": "",
    "space": " ",
    "spaces-around": "  a b  ",
    "asterisk": "*",
    "tilde": "~",
    "plus": "+",
    "slash": "/",
    "percent": "%",
    "ampersand": "&",
    "equals": "=",
    "question-mark": "?",
    "hash": "#",
    "unreserved": "AZaz09-._~",
    "sub-delimiters": "!$&'()*+,;=",
    "general-delimiters": ":/?#[]@",
    "quotes": "\"'`",
    "brackets": "<>{}|\\^",
    "encoded-space": "%20",
    "encoded-asterisk": "%2a%2A",
    "encoded-twice": "%252B",
    "broken-encoding": "%,%4,%zz",
    "whole-query": "a=1&Channel=VOICE#x?y=2",
    "control-characters": "\x01\x1f\x7f",
    "tab-and-newlines": "\t\r\n",
    "backslash-zero": "\\0\\u0000",
    "two-bytes": "\u00e9\u00df\u0416",
    "three-bytes": "\u9a8c\u8bc1\u7801\u20ac",
    "four-bytes": "\U0001f600\U00020bb7",
    "emoji-sequence": "\U0001f469\u200d\U0001f467\ufe0f\U0001f1ee\U0001f1e9",
    "combining": "e\u0301 \u00e9",
    "right-to-left": "\u202e\u05d0\u0627",
    "other-white-space": "\u00a0\u2003\u2028\u2029\u3000\ufeff",
    "last-code-points": "\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
    "mixture": " *~+/%&=?#\u00e9\u6f22\U0001f600 ",
}

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))
# Where the block of SHA-256, 64 bytes, makes a difference to HMAC.
SECRET_LENGTHS = (1, 30, 55, 56, 63, 64, 65, 128, 200)


def epoch(date):
    return timegm(strptime(date, DATE_FORMAT))


def start(**different):
    """A plain StartVerification, but for the fields given."""
    return {
        "access_key_id": "testid",
        "access_key_secret": "testsecret",
        "security_token": None,
        "method": "POST",
        "host": ENDPOINT,
        "action": "StartVerification",
        "version": VERSION,
        "epoch": epoch("2024-04-07T00:00:00Z"),
        "nonce": "0123456789abcdef0123456789abcdef",
        "query": {"Channel": "SMS", "ServiceSid": SERVICE_SID, "To": NUMBER},
        **different,
    }


# --- at random

class Maker:
    """The n-th request of a seed, whatever the others are."""

    def __init__(self, seed, n):
        self._random = random.Random(f"{seed}/{n}")

    def request(self):
        action = self._random.choice(list(PARAMETERS))
        return {
            "access_key_id": self._visible(1, 40),
            "access_key_secret": self._secret(),
            "security_token": self._token() if self._one_in(2) else None,
            "method": "GET" if self._one_in(20) else "POST",
            "host": self._host(),
            "action": self._visible(1, 30) if self._one_in(10) else action,
            "version": VERSION if not self._one_in(10) else "2014-05-26",
            "epoch": self._random.randrange(END_OF_TIME),
            "nonce": self._visible(1, 64) if self._one_in(3) else f"{self._random.getrandbits(128):032x}",
            "query": self._query(action),
        }

    def _one_in(self, n):
        return self._random.randrange(n) == 0

    def _visible(self, shortest, longest):
        return "".join(self._random.choices(VISIBLE, k=self._random.randint(shortest, longest)))

    def _secret(self):
        length = self._random.choice(SECRET_LENGTHS)
        return self._text(20) + "x" if self._one_in(10) else self._visible(length, length)

    def _token(self):
        """As long as real ones; a header's value has no white space at its ends."""
        inner = "".join(self._random.choices(VISIBLE + " ", k=self._random.choice((0, 1, 30, 600, 1500))))
        return f"{self._random.choice(VISIBLE)}{inner}{self._random.choice('=/+*~%')}"

    def _host(self):
        labels = [self._label() for _ in range(self._random.randint(1, 5))]
        host = self._random.choice((ENDPOINT, ".".join(labels), "127.0.0.1", "[::1]", "[2001:db8::a:1]"))
        return host if self._one_in(2) else f"{host}:{self._random.randint(1, 65535)}"

    def _label(self):
        return "".join(self._random.choices(string.ascii_lowercase + string.digits, k=self._random.randint(1, 20)))

    def _query(self, action):
        if self._one_in(4):
            names = {self._name() for _ in range(self._random.randint(0, 12))}
        else:
            names = PARAMETERS[action]
        names = self._random.sample(sorted(names), len(names))
        return {name: None if self._one_in(8) else self._text(60) for name in names}

    def _name(self):
        """Names that are alike at their beginning, so that their order is worth checking.

        Unreserved characters only: the client leaves names as they are, whereas we encode them, as the description of
        the signature says. The service's names are of letters alone.
        """
        return "".join(self._random.choices("aAbB019.-_~", k=self._random.randint(1, 4)))

    def _text(self, longest):
        pieces = []
        for _ in range(self._random.choice((0, 1, 1, 2, 3, self._random.randint(0, longest)))):
            kind = self._random.randrange(4)
            if kind == 0:
                pieces.append(self._random.choice(list(AWKWARD.values())))
            elif kind == 1:
                pieces.append(self._visible(1, 8))
            else:
                pieces.append(self._code_point())
        return "".join(pieces)

    def _code_point(self):
        """Any but NUL, which no text in PostgreSQL holds, and the halves of surrogate pairs, which are no text."""
        code = self._random.randrange(1, self._random.choice((0x80, 0x800, 0x10000, 0x110000)))
        return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"


# --- for test/vectors

def fixed():
    """(name, request), in the order of the file."""
    yield from plain()
    for name, text in AWKWARD.items():
        yield f"value-{name}", start(query={"Channel": "SMS", "ServiceSid": text, "To": NUMBER})
    yield from queries()
    yield from tokens()
    yield from hosts()
    for date in ("1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2038-01-19T03:14:08Z", "9999-12-31T23:59:59Z"):
        yield f"date-{date}", start(epoch=epoch(date))
    for name, nonce in (("uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"), ("one-character", "1"), ("visible", VISIBLE)):
        yield f"nonce-{name}", start(nonce=nonce)
    for length in (1, 63, 64, 65, 128):
        yield f"secret-of-{length}", start(access_key_secret=("s3cr+t/=" * 16)[:length])


def plain():
    yield "start", start()
    yield "check", start(action="CheckVerification", query={
        "Code": "012345", "VerificationId": "aBc/+dEf/0+1==", "ServiceSid": SERVICE_SID, "To": NUMBER})
    yield "search", start(action="SearchVerification", query={
        "To": NUMBER, "ServiceSid": SERVICE_SID, "VerificationId": "aBc/+dEf/0+1==", "Code": "012345",
        "SendDate": "1712448000000", "PageSize": "100", "CurrentPage": "1"})


def queries():
    yield "query-empty", start(action="SearchVerification", query={})
    yield "query-of-empty-values", start(action="SearchVerification", query={"To": "", "ServiceSid": "", "Code": ""})
    yield "query-every-value-awkward", start(action="CheckVerification", query={
        "Code": AWKWARD["mixture"], "VerificationId": AWKWARD["whole-query"], "ServiceSid": AWKWARD["emoji-sequence"],
        "To": AWKWARD["encoded-twice"]})
    yield "query-order-of-names", start(query={
        "b": "1", "a.b": "2", "a": "3", "A": "4", "a-": "5", "a_": "6", "a~": "7", "ab": "8", "aB": "9", "a1": "10",
        "_": "11", "~": "12", "9": "13", "10": "14"})


def tokens():
    yield "token", start(security_token="tok/en+1==")
    yield "token-delimiters", start(security_token="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    yield "token-with-spaces-inside", start(security_token="a  b c")
    yield "token-long", start(security_token="CAISyAJ1q6Ft5B2y/+" * 60 + "==")
    yield "token-awkward-value", start(security_token="tok/en+1==", query={
        "Channel": "SMS", "ServiceSid": AWKWARD["mixture"], "To": NUMBER})
    yield "token-search", start(security_token="tok/en+1==", action="SearchVerification", query={"To": NUMBER})


def hosts():
    for name, host in (("port", f"{ENDPOINT}:8443"), ("localhost", "localhost:40000"), ("ipv4", "127.0.0.1:1"),
                       ("ipv6", "[::1]:65535"), ("one-label", "simulator")):
        yield f"host-{name}", start(host=host)
