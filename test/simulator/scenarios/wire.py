"""HTTP that is broken, endless or late. Most of these write to the connection by themselves."""

import functools
import gzip
import json
import os
import time

from http_messages import Reply
from scenarios.table import Table

TABLE = Table()
OVERSIZE = 2 << 20
GZIP_SIZE = 100 << 20
BIG_HEADER = 200 << 10
NOISE_SIZE = 1024
PLACES = ("status", "line", "headers", "head", "body")

# Frames of HTTP/2 (RFC 9113, section 4): length, type, flags, stream, payload.
FRAME_SETTINGS = bytes((0, 0, 0, 4, 0)) + bytes(4)
FRAMES = {
    "goaway": bytes((0, 0, 8, 7, 0)) + bytes(4) + bytes(8),  # the connection: last stream 0, NO_ERROR
    "rst_stream": bytes((0, 0, 4, 3, 0)) + bytes((0, 0, 0, 1)) + bytes((0, 0, 0, 7)),  # stream 1: REFUSED_STREAM
}


def place(text):
    """An argument's type."""
    if text not in PLACES:
        raise ValueError(f"a place is one of {', '.join(PLACES)}")
    return text


def frame(text):
    """An argument's type."""
    if text not in FRAMES:
        raise ValueError(f"a frame is one of {', '.join(FRAMES)}")
    return text


def answer_at(call, where):
    """The normal answer in two pieces, cut in the middle of the status line, at its end, in the middle of the headers,
    at their end, or in the middle of the body.
    """
    reply = call.reply()
    head = reply.head(call.now())
    line = head.index(b"\r\n") + 2
    ends = (line // 2, line, (line + len(head)) // 2, len(head), len(head) + len(reply.body) // 2)
    end = ends[PLACES.index(where)]
    return (head + reply.body)[:end], (head + reply.body)[end:]


def noise(size):
    """Random bytes that are neither ASCII nor UTF-8."""
    return b"\xff" + bytes(0x80 | byte for byte in os.urandom(size - 1))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def send_chunked_head(call):
    reply = call.reply()
    reply.headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    call.send_head(reply)
    return reply.body


def send_forever(call, make):
    """Until the peer has had enough of it: send() throws then."""
    count = 0
    while True:
        call.connection.send(b"".join(make(number) for number in range(count, count + 100)))
        count += 100


def drip_bytes(call, data, ms):
    for position in range(len(data)):
        call.connection.send(data[position:position + 1])
        time.sleep(ms / 1000)


def padded_json(answer, size):
    return json.dumps({**answer, "Message": "x" * size}).encode()


@TABLE.add("hang", sends=True)
def hang(call):
    """Reads the request and never answers; the connection stays until the peer closes it."""
    call.connection.wait_for_peer()


@TABLE.add("drip", sends=True)
def drip(call, ms: int):
    """A valid reply, its body one byte in that many milliseconds."""
    reply = call.reply()
    call.send_head(reply)
    drip_bytes(call, reply.body, ms)


@TABLE.add("drip-headers", sends=True)
def drip_headers(call, ms: int):
    """The same, but from the status line on."""
    drip_bytes(call, call.reply().render(call.now()), ms)


@TABLE.add("drip-from", sends=True)
def drip_from(call, place: place, ms: int):
    """A valid reply; from that place on one byte in that many milliseconds."""
    sent, rest = answer_at(call, place)
    call.connection.send(sent)
    drip_bytes(call, rest, ms)


@TABLE.add("stall-at", sends=True)
def stall_at(call, place: place):
    """The answer up to that place, then nothing; the connection stays until the peer closes it."""
    call.connection.send(answer_at(call, place)[0])
    call.connection.wait_for_peer()


@TABLE.add("close-at", sends=True)
def close_at(call, place: place):
    """The answer up to that place, then the connection closes."""
    call.connection.send(answer_at(call, place)[0])


@TABLE.add("reset-at", sends=True)
def reset_at(call, place: place):
    """The answer up to that place, then the connection is reset."""
    call.connection.send(answer_at(call, place)[0])
    call.connection.reset()


@TABLE.add("garbage-at", sends=True)
def garbage_at(call, place: place):
    """The answer up to that place, then a line of random bytes, then the connection closes."""
    call.connection.send(answer_at(call, place)[0] + noise(NOISE_SIZE) + b"\r\n\r\n")


@TABLE.add("last", sends=True)
def last(call):
    """The normal answer, which says that the connection closes after it; so it does."""
    reply = call.reply()
    reply.headers["Connection"] = "close"
    call.connection.send(reply.render(call.now()))


@TABLE.add("close-after", sends=True)
def close_after(call):
    """The normal answer, which promises to keep the connection; then it closes."""
    call.connection.send(call.reply().render(call.now()))


@TABLE.add("reset-after", sends=True)
def reset_after(call):
    """The same, but the connection is reset."""
    call.connection.send(call.reply().render(call.now()))
    call.connection.reset()


@TABLE.add("unread-after", sends=True)
def unread_after(call):
    """The normal answer; the next request on the connection is not read, and the connection is reset once it is there."""
    call.connection.send(call.reply().render(call.now()))
    call.connection.wait_for_data()
    call.connection.reset()


@TABLE.add("close", sends=True)
def close(call):
    """Reads the request and closes the connection without a byte."""


@TABLE.add("reset", sends=True)
def reset(call):
    """Reads the request and resets the connection."""
    call.connection.reset()


@TABLE.add("close-early", sends=True)
def close_early(call):
    """Half a status line, then the connection closes."""
    call.connection.send(b"HTTP/1.1 2")


@TABLE.add("truncate", sends=True)
def truncate(call):
    """Content-Length promises more than the half of the body that comes."""
    reply = call.reply()
    call.send_head(reply)
    call.connection.send(reply.body[:len(reply.body) // 2])


@TABLE.add("truncate-chunked", sends=True)
def truncate_chunked(call):
    """The whole body as a chunk, but the connection closes without the last, empty chunk."""
    call.connection.send(chunk(send_chunked_head(call)))


@TABLE.add("badchunk", sends=True)
def bad_chunk(call):
    """A chunk whose size is no number."""
    body = send_chunked_head(call)
    call.connection.send(b"zz\r\n" + body + b"\r\n0\r\n\r\n")


@TABLE.add("oversize", sends=True)
def oversize(call):
    """Valid JSON of 2 MiB, announced by Content-Length."""
    return Reply(200, padded_json(call.answer, OVERSIZE), code=call.answer["Code"])


@TABLE.add("oversize-chunked", sends=True)
def oversize_chunked(call):
    """Chunks without end."""
    send_chunked_head(call)
    send_forever(call, lambda number: chunk(b" " * 4096))


@TABLE.add("bigstatus", sends=True)
def big_status(call):
    """A reason phrase of 200 KiB, with the normal answer."""
    line, rest = answer_at(call, "line")
    call.connection.send(line[:-2] + b"x" * BIG_HEADER + b"\r\n" + rest)


@TABLE.add("bigheader", sends=True)
def big_header(call):
    """One header of 200 KiB, with the normal answer."""
    reply = call.reply()
    reply.headers["X-Big"] = "x" * BIG_HEADER
    return reply


@TABLE.add("extensionflood", sends=True)
def extension_flood(call):
    """A chunk whose extension does not end."""
    send_chunked_head(call)
    call.connection.send(b"10;x=")
    send_forever(call, lambda number: b"x" * 1000)


@TABLE.add("trailerflood", sends=True)
def trailer_flood(call):
    """The whole body as a chunk, then trailers without end."""
    call.connection.send(chunk(send_chunked_head(call)) + b"0\r\n")
    send_forever(call, lambda number: b"X-Flood-%d: %s\r\n" % (number, b"x" * 100))


@TABLE.add("flood-after", sends=True)
def flood_after(call):
    """The normal answer, and then bytes without end that nobody asked for."""
    call.connection.send(call.reply().render(call.now()))
    call.connection.send(b"x" * 1000)
    call.connection.event("flood")
    send_forever(call, lambda number: b"x" * 1000)


@TABLE.add("headerflood", sends=True)
def header_flood(call):
    """Headers without end."""
    call.connection.send(b"HTTP/1.1 200 OK\r\n")
    send_forever(call, lambda number: b"X-Flood-%d: %s\r\n" % (number, b"x" * 100))


@TABLE.add("1xxflood", sends=True)
def interim_flood(call):
    """Interim responses 100 and 103 without end."""
    send_forever(call, lambda number: b"HTTP/1.1 %s\r\n\r\n" % (b"103 Early Hints" if number % 2 else b"100 Continue"))


@TABLE.add("interim", sends=True)
def interim(call):
    """Interim responses 100 and 103, then the normal answer."""
    call.connection.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n")
    return call.reply()


@TABLE.add("folded", sends=True)
def folded(call):
    """Folded and repeated headers, with the normal answer."""
    reply = call.reply()
    head = call.reply().head(call.now())
    odd = b"X-Folded: one\r\n two\r\n\tthree\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Type: application/json\r\n\r\n"
    call.connection.send(head[:-2] + odd + reply.body)


@TABLE.add("lengths", sends=True)
def lengths(call):
    """Two headers Content-Length: that of the answer, and half of it. Then the connection closes."""
    reply = call.reply()
    second = b"Content-Length: %d\r\n\r\n" % (len(reply.body) // 2)
    call.connection.send(reply.head(call.now())[:-2] + second + reply.body)


@functools.cache
def gzip_bomb():
    return gzip.compress(b'{"Code":"OK","Success":true,"Message":"' + b"x" * GZIP_SIZE + b'"}', compresslevel=1)


@TABLE.add("gzip", sends=True)
def gzip_body(call):
    """Content-Encoding: gzip, though nobody asked for it; the body inflates to 100 MiB."""
    return Reply(200, gzip_bomb(), headers={"Content-Encoding": "gzip"})


@TABLE.add("http09", sends=True)
def http_09(call):
    """A body without status line and headers."""
    call.connection.send(call.reply().body)


@TABLE.add("http2", sends=True)
def http_2(call, frame: frame):
    """Frames of HTTP/2 where the status line should be: SETTINGS, then that one; the connection stays until the peer
    closes it.
    """
    call.connection.send(FRAME_SETTINGS + FRAMES[frame])
    call.connection.wait_for_peer()


@TABLE.add("garbage", sends=True)
def garbage(call):
    """Random bytes where the status line should be."""
    call.connection.send(b"\xff" + os.urandom(1023))
