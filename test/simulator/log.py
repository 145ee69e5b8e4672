"""The log that tests read: one JSON object a line, in the order in which things happened.

A line is written by one write(2), and before the peer can notice what it tells of: who has the reply will find it here.
A kernel may still show a reader the first page of a write before the second: a line counts once its newline is there.
"""

import itertools
import json
import os
import threading
import time


class RequestLog:
    def __init__(self, path):
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._lines = itertools.count(1)
        self._connections = itertools.count(1)

    def next_connection(self):
        return next(self._connections)

    def write(self, event, connection, **fields):
        with self._lock:
            entry = {"n": next(self._lines), "t": time.time(), "event": event, "connection": connection, **fields}
            os.write(self._descriptor, json.dumps(entry).encode() + b"\n")
