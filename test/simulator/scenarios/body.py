"""Bodies: HTTP is in order, JSON may be, and the envelope is odd.

Their answers leave a client in doubt, so the message has been sent; the refusals of proxies are the exception.
"""

import copy
import functools
import itertools
import json
import random
import string

from http_messages import Reply, to_json
from scenarios.table import Table

TABLE = Table()
MARK = "@message@"


def of_answer(function):
    """From a function of the normal answer (a copy of it) that returns a body: bytes, or what is to become JSON."""
    def run(call, *arguments):
        value = function(copy.deepcopy(call.answer), *arguments)
        return Reply(200, value if isinstance(value, bytes) else to_json(value), code=call.answer["Code"])
    return run


body = functools.partial(TABLE.add, sends=True, adapt=of_answer)


def with_message(answer, raw):
    """The answer with a Message that no JSON writer would write."""
    return to_json({**answer, "Message": MARK}).replace(MARK.encode(), raw)


def with_field(answer, name, raw):
    return to_json(answer)[:-1] + b',"%s":%s}' % (name, raw)


def nested(levels):
    return b"[" * levels + b"]" * levels


@TABLE.add("html")
def html(call, status: int):
    """A proxy's page. The message has been sent if the status is 200."""
    if status == 200:
        call.carry_out()
    text = "<html><head><title>Proxy</title></head><body><h1>Something went wrong</h1></body></html>"
    return Reply(status, text.encode(), "text/html; charset=utf-8")


@TABLE.add("xml")
def xml(call, status: int):
    """A gateway's XML error with Code ServiceUnavailable. The message has been sent if the status is 200."""
    if status == 200:
        call.carry_out()
    text = "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>8906582E</RequestId>" \
           "<Code>ServiceUnavailable</Code><Message>The request has failed.</Message></Error>"
    return Reply(status, text.encode(), "text/xml;charset=utf-8")


@body("empty")
def empty(answer):
    """No body at all."""
    return b""


@body("notjson")
def not_json(answer):
    """Plain text that claims to be JSON."""
    return b"upstream connect error or disconnect/reset before headers"


@body("halfjson")
def half_json(answer):
    """The first half of the answer, with a Content-Length that agrees."""
    text = to_json(answer)
    return text[:len(text) // 2]


@body("jsonarray")
def json_array(answer):
    """The answer inside an array."""
    return [answer]


@body("jsonscalar")
def json_scalar(answer):
    """A number."""
    return 42


@body("deep")
def deep(answer):
    """100,000 nested arrays in an unknown field."""
    return with_field(answer, b"Extra", nested(100_000))


@body("deepish")
def deepish(answer, levels: int):
    """That many nested arrays in an unknown field."""
    return with_field(answer, b"Extra", nested(levels))


@body("badutf8")
def bad_utf8(answer):
    """Bytes in Message that are not UTF-8."""
    return with_message(answer, b"caf\xe9 \xff\xfe \xc0\xaf \xed\xa0\x80")


@body("rawnul")
def raw_nul(answer):
    """A raw NUL byte in Message."""
    return with_message(answer, b"before\0after")


@body("nul")
def nul(answer):
    r"""A \u0000 escape in Message, everything else in order."""
    return with_message(answer, rb"before\u0000after")


@body("surrogate")
def surrogate(answer):
    """The escape of a lone surrogate in Message."""
    return with_message(answer, rb"before\ud83dafter")


@body("emoji")
def emoji(answer):
    """In Message: emoji raw and as a pair of escapes, raw CJK, an escaped e acute. All of it valid."""
    return with_message(answer, rb"\ud83d\ude00 " + "😀 验证码 ".encode() + rb"caf\u00e9")


@body("bigmessage")
def big_message(answer, bytes: int):
    """A Message of that many bytes."""
    return with_message(answer, b"x" * bytes)


@body("longid")
def long_id(answer, length: int):
    """Verification IDs of that many random characters, of the message or of the records that were found."""
    model = answer.get("Model") or {}
    for holder in [model, *model.get("records", [])]:
        if "verificationId" in holder:
            holder["verificationId"] = "".join(random.choices(string.ascii_letters, k=length))
    return answer


@TABLE.add("echo", sends=True)
def echo(call, length: int):
    """Every word of the reply but Code and the IDs begins with the access key ID, To and Code, and has that length."""
    answer = copy.deepcopy(call.answer)
    key = call.request.headers["authorization"].partition("Credential=")[2].partition(",")[0]
    word = " ".join((key, call.params.get("To", ""), call.params.get("Code", ""))).ljust(length, "x")
    model = answer.get("Model") or {}
    answer["RequestId"] = answer["Message"] = word
    for holder in [model, *model.get("records", [])]:
        holder.update({name: word for name in ("status", "channel")})
    return Reply(200, to_json(answer), code=answer["Code"])


@body("dup")
def duplicates(answer):
    """Keys twice: Code is first X; Model first has the verificationId "evil"."""
    first = b'{"Code":"X","Model":{"verificationId":"evil","status":"evil"},'
    return first + to_json(answer)[1:]


@body("unknownfields")
def unknown_fields(answer):
    """Fields nobody knows, before and after ours, with our names inside them."""
    evil = {"Code": "X", "Success": False, "Model": {"verificationId": "evil", "status": "evil"}}
    before = {"Extra": evil, "List": [evil, [evil]], "AccessDeniedDetail": None}
    after = {"code": "X", "Trace": {"Extra": {"Extra": evil}}, "Number": -1.5e-7, "Flag": True}
    if isinstance(answer.get("Model"), dict):
        answer["Model"] = {"extra": evil, **answer["Model"], "Model": evil, "Code": "X"}
    return {**before, **answer, **after}


@body("nomodel")
def no_model(answer):
    """No Model."""
    answer.pop("Model", None)
    return answer


@body("nullmodel")
def null_model(answer):
    """Model is null."""
    return {**answer, "Model": None}


@body("emptymodel")
def empty_model(answer):
    """Model is {}."""
    return {**answer, "Model": {}}


@body("strmodel")
def string_model(answer):
    """Model is a string that holds the JSON text of the right Model."""
    return {**answer, "Model": json.dumps(answer.get("Model"))}


@body("arrmodel")
def array_model(answer):
    """Model is an array that holds the right Model."""
    return {**answer, "Model": [answer.get("Model")]}


@body("numbers")
def numbers(answer):
    """Numbers, booleans and objects where strings are expected. Code is 200, Success is 1."""
    odd = itertools.cycle([12345, True, {"a": 1}, -1.5e3, ["b"]])

    def spoil(value):
        if isinstance(value, dict):
            return {name: spoil(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner) for inner in value]
        return next(odd) if isinstance(value, str) else str(value)

    return {"RequestId": 12345, "Message": True, "Code": 200, "Success": 1, "Model": spoil(answer.get("Model"))}


@body("successstring")
def success_string(answer):
    """Success is the string "true" or "false"."""
    return {**answer, "Success": "false" if answer["Success"] in (False, "false") else "true"}


@body("nosuccess")
def no_success(answer):
    """No Success."""
    del answer["Success"]
    return answer


@body("nocode")
def no_code(answer):
    """No Code."""
    del answer["Code"]
    return answer


@body("nothing")
def nothing(answer):
    """{}."""
    return {}


@body("bom")
def byte_order_mark(answer):
    """A byte order mark before the JSON."""
    return b"\xef\xbb\xbf" + to_json(answer)


@TABLE.add("latin1", sends=True)
def latin1(call):
    """Content-Type claims ISO-8859-1, but the body is UTF-8 with an accent in Message."""
    return Reply(200, with_message(call.answer, "café".encode()), "application/json;charset=ISO-8859-1")


@body("whitespace")
def whitespace(answer):
    """Line ends and blanks inside RequestId, Message, Code and the Model's status, and between all tokens."""
    for name in ("RequestId", "Message", "Code"):
        answer[name] = f"\n {answer[name]} \r\n"
    model = answer.get("Model")
    if isinstance(model, dict) and "status" in model:
        model["status"] = f" {model['status']}\n"
    return b"\r\n\t " + json.dumps(answer, indent="\t", separators=(" ,", " : ")).encode() + b"\n\n"
