"""Faults that come before HTTP does, each on a port of its own: TCP, TLS, and proxies."""

import socket
import threading
import time

from connection import PeerGone
from listener import HOST, Listener

RECORD_OF_HALF_A_SERVER_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"
LARGEST_RECORD = b"\x16\x03\x03\x40\x00"
HELLO_REQUESTS = b"\x16\x03\x03\x40\x00" + bytes(0x4000)  # each is four zeros
RECORD_PAST_THE_LIMIT = b"\x16\x03\x03\xff\xff" + bytes(0xffff)
ALERT_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
PLAIN_TEXT_ANSWER = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno\n"
LOOPBACK_NAMES = ("localhost", "127.0.0.1")
MAX_HEAD = 65536
CONNECT_SECONDS = 5
DRIP_SECONDS = 0.03
FLOOD_SIZE = 65536
PROXY_REFUSES = b"HTTP/1.1 407 Proxy Authentication Required\r\n"
SMALLEST_RECEIVE_SIZE = 1  # the kernel makes of it what it can
FILL_SECONDS = 0.1
MAX_FILL = 16


class Faults:
    """Opens all the ports; what must stay alive for them is held here."""

    def __init__(self, log, frontend, certificates):
        self._log = log
        self._held = []
        self.ports = {"connect_stall": self._open_stalled(), "refused": self._open_refused()}
        serve = frontend.serve
        plain = {
            "accept_close": do_nothing, "accept_reset": reset, "tls_stall": stall, "tls_garbage": tls_garbage,
            "tls_alert": tls_alert, "tls_reset": tls_reset, "tls_half": tls_half, "tls_cut": tls_cut,
            "tls_drip": tls_drip, "tls_oversize": tls_oversize, "http": serve, "proxy": proxy,
            "proxy_refuse": proxy_refuse, "proxy_hang": stall, "tls_hellos": tls_hellos,
            "proxy_chunks": proxy_chunks, "proxy_length": proxy_length, "proxy_drip": proxy_drip,
            "proxy_headers": proxy_headers,
        }
        for name, behaviour in plain.items():
            self._open(name, behaviour)
        for name in ("expired", "notyet", "selfsigned", "wronghost"):
            self._open(f"tls_{name}", serve, certificates.context(name))
        self._open("tls_old", serve, certificates.context("server", old=True))
        self._open("tls_proxy", proxy, certificates.context("server"))
        self._open("tls_h2", serve, certificates.context("server", protocols=("h2", "http/1.1")))
        self._open("tls_noticket", serve, certificates.context("server", tickets=0))
        self._open("tls_proxy_chunks", proxy_chunks, certificates.context("server"))
        self._open("tls_mute", mute, certificates.context("server"))
        self._open("tls_full", mute, certificates.context("server"), SMALLEST_RECEIVE_SIZE)
        self._open("tls_unread", unread, certificates.context("server"))

    def _open(self, name, behaviour, context=None, receive_size=None):
        self.ports[name] = Listener(self._log, name, behaviour, context, receive_size=receive_size).port

    def _open_refused(self):
        """Bound, so that nobody else gets the port, but not listening."""
        sock = socket.socket()
        sock.bind((HOST, 0))
        self._held.append(sock)
        return sock.getsockname()[1]

    def _open_stalled(self):
        """A port whose accept queue is full, so that the kernel leaves a SYN unanswered."""
        listener = socket.create_server((HOST, 0), backlog=0)
        self._held.append(listener)
        for _ in range(MAX_FILL):
            sock = socket.socket()
            sock.settimeout(FILL_SECONDS)
            try:
                sock.connect(listener.getsockname())
            except TimeoutError:
                sock.close()
                return listener.getsockname()[1]
            self._held.append(sock)
        raise SystemExit("simulator: could not fill the accept queue of connect_stall")


def do_nothing(connection):
    """The listener closes the connection."""


def reset(connection):
    connection.reset()


def stall(connection):
    connection.wait_for_peer()


def tls_garbage(connection):
    connection.receive()
    connection.send(PLAIN_TEXT_ANSWER)


def tls_alert(connection):
    connection.receive()
    connection.send(ALERT_HANDSHAKE_FAILURE)


def tls_reset(connection):
    connection.receive()
    connection.reset()


def tls_half(connection):
    connection.receive()
    connection.send(RECORD_OF_HALF_A_SERVER_HELLO)
    connection.wait_for_peer()


def tls_cut(connection):
    connection.receive()
    connection.send(RECORD_OF_HALF_A_SERVER_HELLO)


def tls_drip(connection):
    connection.receive()
    connection.send(LARGEST_RECORD)
    while True:  # until the peer has gone and sending fails
        connection.send(b"\0")
        time.sleep(DRIP_SECONDS)


def tls_oversize(connection):
    connection.receive()
    connection.send(RECORD_PAST_THE_LIMIT)


def tls_hellos(connection):
    connection.receive()
    flood(connection, HELLO_REQUESTS)


def flood(connection, data):
    """As fast as it can, until the peer has gone and sending fails."""
    data *= FLOOD_SIZE // len(data) + 1
    while True:
        connection.send(data)


def mute(connection):
    connection.wait_without_reading()


def unread(connection):
    connection.wait_for_data()
    connection.reset()


def read_connect(connection):
    """The host and the port that the client asks a proxy for."""
    head = connection.read_until(b"\r\n\r\n", MAX_HEAD)
    words = (head or b"").split(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != "CONNECT":
        raise PeerGone
    host, _, port = words[1].rpartition(":")
    return host, int(port) if port.isdigit() else 0


def proxy_refuse(connection):
    host, port = read_connect(connection)
    connection.event("proxied", target=f"{host}:{port}", status=407)
    connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"simulator\"\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def answer_connect(connection, head):
    host, port = read_connect(connection)
    connection.event("proxied", target=f"{host}:{port}", status=int(head.split()[1]))
    connection.send(head)


def proxy_chunks(connection):
    answer_connect(connection, PROXY_REFUSES + b"Transfer-Encoding: chunked\r\n\r\n")
    flood(connection, b"10\r\n0123456789abcdef\r\n")


def proxy_length(connection):
    answer_connect(connection, PROXY_REFUSES + b"Content-Length: 1000000000000\r\n\r\n")
    flood(connection, b" ")


def proxy_drip(connection):
    answer_connect(connection, PROXY_REFUSES + b"Content-Length: 1000000000000\r\n\r\n")
    while True:
        connection.send(b" ")
        time.sleep(DRIP_SECONDS)


def proxy_headers(connection):
    answer_connect(connection, b"HTTP/1.1 200 OK\r\n")
    flood(connection, b"X-Flood: 0123456789abcdef\r\n")


def proxy(connection):
    """Tunnels, but never off this machine."""
    host, port = read_connect(connection)
    status = 200 if host in LOOPBACK_NAMES else 403
    connection.event("proxied", target=f"{host}:{port}", status=status)
    if status != 200:
        connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    try:
        upstream = socket.create_connection((HOST, port), CONNECT_SECONDS)
    except OSError:
        connection.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    upstream.settimeout(None)
    connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    tunnel(connection, upstream)


def tunnel(connection, upstream):
    with upstream:
        back = threading.Thread(target=pump_back, args=(upstream, connection), daemon=True)
        back.start()
        try:
            while True:
                upstream.sendall(connection.take_all())
                if not connection.receive():
                    break
            upstream.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        back.join(1)


def pump_back(upstream, connection):
    try:
        while data := upstream.recv(65536):
            connection.send(data)
        connection.end_of_data()
    except OSError:
        pass
