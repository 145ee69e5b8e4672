"""One accepted connection: buffered reading, plain or TLS writing, and the ways to end it.

There is no makefile() here: a file object would hold the descriptor open, and a reset must happen when it is asked for.
"""

import select
import socket
import ssl
import struct

RECEIVE_SIZE = 65536


class PeerGone(Exception):
    """The peer closed the connection where more was expected of it."""


class Connection:
    def __init__(self, log, port_name, sock, peer_port):
        self._log = log
        self._socket = sock
        self._buffer = bytearray()
        self._how_closed = "server"
        self.scheme = "http"
        self.number = log.next_connection()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.event("accept", port=port_name, peer_port=peer_port)

    def event(self, name, **fields):
        self._log.write(name, self.number, **fields)

    def start_tls(self, context):
        """Throws ssl.SSLError or OSError; what is logged is only a handshake that succeeded."""
        self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket.do_handshake()
        self.scheme = "https"
        self.event("tls", version=self._socket.version(), resumed=bool(self._socket.session_reused),
                   alpn=self._socket.selected_alpn_protocol())

    def receive(self):
        """Waits for more; false at the end of the stream."""
        data = self._socket.recv(RECEIVE_SIZE)
        self._buffer += data
        return bool(data)

    def read_until(self, marker, limit):
        """Up to and without the marker. Nothing at all, and then the end of the stream, gives None."""
        while (end := self._buffer.find(marker)) < 0:
            if len(self._buffer) > limit:
                raise ValueError("line or header block too long")
            if not self.receive():
                if self._buffer:
                    raise PeerGone
                return None
        return self._take(end, len(marker))

    def read_exactly(self, size):
        while len(self._buffer) < size:
            if not self.receive():
                raise PeerGone
        return self._take(size)

    def _take(self, size, skip=0):
        data = bytes(self._buffer[:size])
        del self._buffer[:size + skip]
        return data

    def take_all(self):
        return self._take(len(self._buffer))

    def send(self, data):
        self._socket.sendall(data)

    def end_of_data(self):
        """A plain connection's FIN, while the other direction stays open."""
        self._socket.shutdown(socket.SHUT_WR)

    def wait_for_peer(self):
        """Reads and forgets, until the peer gives up."""
        while self.receive():
            self._buffer.clear()
        self.closed_by("peer")

    def wait_for_data(self):
        """Until something has come, or the peer has gone; it stays in the socket's buffer."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLRDHUP)
        poll.poll()

    def wait_without_reading(self):
        """Until the peer gives up, though its data stays in the socket's buffer."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        poll.poll()
        self.closed_by("peer")

    def closed_by(self, how):
        self._how_closed = how

    def reset(self):
        """RST instead of FIN; takes effect in close()."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed_by("reset")

    def close(self):
        self.event("close", how=self._how_closed)
        if self._how_closed == "server" and isinstance(self._socket, ssl.SSLSocket):
            self._say_goodbye()
        self._socket.close()

    def _say_goodbye(self):
        """close_notify, as a healthy server sends it, without waiting for the peer's own."""
        self._socket.setblocking(False)
        try:
            self._socket.unwrap()
        except (OSError, ValueError):
            pass
