"""Refusals, delays and clocks: well-formed HTTP with something to say."""

import time

import releases
from gateway import expired, gateway_body
from http_messages import Reply, json_reply
from scenarios.table import Table
from service import refused

TABLE = Table()


def coded(call, code, status):
    if status >= 400:
        return json_reply(gateway_body(code, f"The simulator was asked for {code}.", call.host), status)
    return json_reply(refused(code, f"The simulator was asked for {code}."), status)


@TABLE.add("code")
def code(call, code: str, status: int):
    """Refused with this Code: a gateway's body from HTTP 400 on, below it an envelope with Success false."""
    return coded(call, code, status)


@TABLE.add("code-sent", sends=True)
def code_sent(call, code: str, status: int):
    """The same reply, but the message has been sent."""
    return coded(call, code, status)


@TABLE.add("successfalse")
def success_false(call):
    """HTTP 200 and Code OK, but Success false and no Model."""
    return json_reply(refused("OK", "OK"))


@TABLE.add("throttled")
def throttled(call, retry_after_ms: int):
    """HTTP 429, Code Throttling.User, header x-acs-retry-after."""
    body = gateway_body("Throttling.User", "Request was denied due to user flow control.", call.host)
    return json_reply(body, 429, x_acs_retry_after=str(retry_after_ms))


@TABLE.add("slow", sends=True)
def slow(call, ms: int):
    """The normal answer after that many milliseconds."""
    time.sleep(ms / 1000)
    return call.reply()


@TABLE.add("held", sends=True)
def held(call, name: str):
    """The normal answer, once that name is released."""
    releases.wait(name)
    return call.reply()


@TABLE.add("status")
def status(call, status: int):
    """An empty body with this HTTP status. The message has been sent unless the status is from 300 to 499."""
    if not 300 <= status < 500:
        call.carry_out()
    return Reply(status)


@TABLE.add("redirect")
def redirect(call, status: int):
    """A redirection to /redirected on this server; whoever follows it leaves a "redirected" line in the log."""
    return Reply(status, headers={"Location": f"{call.connection.scheme}://{call.host}/redirected"})


@TABLE.add("setcookie")
def set_cookie(call):
    """The normal answer, with a cookie that nobody should send back."""
    reply = call.reply()
    reply.headers["Set-Cookie"] = "acw_tc=simulator; Path=/; HttpOnly; Max-Age=1800"
    return reply


@TABLE.add("skew")
def skew(call, seconds: int):
    """The service's clock is ahead by that much, in its Date header and in its check of the time stamp."""
    return call.reply()


@TABLE.add("skewalways")
def skew_always(call):
    """Always InvalidTimeStamp.Expired, though the Date header is right."""
    return expired(call.now()).reply(call.host)


@TABLE.add("slow-skew")
def slow_skew(call, ms: int):
    """The same, after that many milliseconds."""
    time.sleep(ms / 1000)
    return skew_always(call)


@TABLE.add("held-skew")
def held_skew(call, name: str):
    """Again the same, once that name is released."""
    releases.wait(name)
    return skew_always(call)


@TABLE.add("nodate")
def no_date(call):
    """InvalidTimeStamp.Expired without a Date header."""
    return expired(call.now()).reply(call.host, Date=None)


@TABLE.add("baddate")
def bad_date(call):
    """InvalidTimeStamp.Expired with a Date header that is no date."""
    return expired(call.now()).reply(call.host, Date="Thu, 99 Foo 2026 25:61:61 GMT")
