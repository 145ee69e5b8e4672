"""A port, and a thread for each connection that is accepted there."""

import socket
import ssl
import threading
import time

from connection import Connection, PeerGone

HOST = "127.0.0.1"
BACKLOG = 1024


class Listener:
    """Serves by calling serve(connection), after a handshake where there is a TLS context.

    receive_size is what the kernel takes in before anybody reads, or None for what it likes.
    """

    def __init__(self, log, name, serve, context=None, port=0, receive_size=None):
        self._log = log
        self._name = name
        self._serve = serve
        self._context = context
        self._socket = socket.create_server((HOST, port), backlog=BACKLOG)
        if receive_size is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_size)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept_forever, daemon=True).start()

    def _accept_forever(self):
        while True:
            try:
                sock, peer = self._socket.accept()
            except OSError:
                time.sleep(0.01)  # out of descriptors, or the peer has left already: neither lasts
                continue
            threading.Thread(target=self._attend, args=(sock, peer[1]), daemon=True).start()

    def _attend(self, sock, peer_port):
        connection = Connection(self._log, self._name, sock, peer_port)
        try:
            if self._context:
                connection.start_tls(self._context)
            self._serve(connection)
        except PeerGone:
            connection.closed_by("peer")
        except ssl.SSLError as error:
            connection.closed_by(f"tls: {error.reason or 'end of stream'}")
        except OSError as error:
            connection.closed_by(f"peer: {error.strerror}")
        finally:
            connection.close()
