"""queue_stage: what the queue's figures are measured with: a server with a queue
and a resident worker, the bare loop beside it, a session without psql, the disk.

The server is as shipped: commits are flushed to the disk, autovacuum and
notifications are on.
"""

import array
import os
import socket
import struct
import time

import stage
from stage import CannotMeasure

WAIT_SECONDS = 120
AS_SHIPPED = """
    fsync = on
    autovacuum = on
    max_wal_size = '8GB'
"""
SERVER = AS_SHIPPED + """
    shared_preload_libraries = 'pnvs'
    pnvs.max_in_flight = {window}
    pnvs.connect_timeout = 30000
    pnvs.request_timeout = 60000
"""


class Slow:
    """service.c: it takes its time, and remembers what it accepted, and when."""

    def __init__(self, bench, name, delay_ms, seed=None):
        self.log_file = bench.place / f"{name}.accepted"
        command = [bench.programs / "service", bench.certificates.certificate, bench.certificates.key, self.log_file,
                   delay_ms] + ([] if seed is None else [seed])
        self.process = stage.start(command, stage.OTHER_CPU, text=True, stdout=stage.subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.url = f"https://127.0.0.1:{self.port}"

    def calm_down(self):
        """No more faults from now on."""
        self.process.send_signal(stage.signal.SIGUSR1)

    def accepted(self):
        """[(number, arrival in nanoseconds since the epoch)], in the order in which they came."""
        flat = array.array("q", self.log_file.read_bytes())
        return list(zip(flat[0::2], flat[1::2]))

    def stop(self):
        stage.end(self.process)
        self.process.stdout.close()


class Queue:
    """A server with a queue and a resident worker, and a session to look in."""

    def __init__(self, bench, name, endpoint, window=50, more=""):
        self.bench = bench
        self.server = bench.server(name, endpoint=endpoint, more=SERVER.format(window=window) + more)
        self.session = self.server.session()

    def enqueue(self, count, service_sid="FA1"):
        """(the numbers' first, the IDs' first and last); committed together."""
        first = self.bench.numbers.take(count)
        last_id = int(self.session.ask(f"SELECT max(enqueue_verification('SMS', n::text, '{service_sid}', "
                                       f"send_within => '1 hour')) FROM generate_series({first}, {first + count - 1}) AS n"))
        return first, last_id - count + 1, last_id

    def wait_until_settled(self, first_id, last_id, seconds=WAIT_SECONDS):
        """By ID, so that looking costs little."""
        deadline = time.monotonic() + seconds
        for at in (last_id, None):
            condition = f"id = {at}" if at else f"id BETWEEN {first_id} AND {last_id}"
            while self.session.ask(f"SELECT count(*) FROM verification_queue WHERE {condition} "
                                   "AND coalesce(settled_at, 'infinity') = 'infinity'") != "0":
                if time.monotonic() > deadline:
                    raise CannotMeasure("the queue was not drained in time")
                time.sleep(0.05)

    def drain(self, count, service_sid="FA1", settle_seconds=WAIT_SECONDS):
        """(rows a second, the worker's CPU for one, in nanoseconds)."""
        pid = self.worker()
        cpu = stage.cpu_clock_ns(pid)
        _, first_id, last_id = self.enqueue(count, service_sid)
        self.wait_until_settled(first_id, last_id, settle_seconds)
        return self.rate(first_id, last_id), (stage.cpu_clock_ns(pid) - cpu) / count

    def rate(self, first_id, last_id):
        answer = self.session.ask("SELECT count(*) FILTER (WHERE state = 'sent'), extract(epoch FROM max(settled_at) - "
                                  f"min(dispatched_at)) FROM pnvs_internal.queue WHERE id BETWEEN {first_id} AND {last_id}")
        sent, seconds = answer.split("|")
        if int(sent) != last_id - first_id + 1:
            raise CannotMeasure(f"{sent} of {last_id - first_id + 1} rows were sent")
        return int(sent) / float(seconds)

    def progress(self):
        """(the ID that was settled last, the ID that was queued last); they begin with 1."""
        last = "SELECT id FROM verification_queue WHERE settled_at < 'infinity' ORDER BY settled_at DESC LIMIT 1"
        return tuple(int(part) for part in self.session.ask(f"SELECT ({last}), max(id) FROM verification_queue").split("|"))

    def settled_between(self, begun, ended):
        """How many messages, between two times in seconds since the epoch."""
        return int(self.session.ask("SELECT count(*) FROM verification_queue WHERE state = 'sent' "
                                    f"AND settled_at BETWEEN to_timestamp({begun}) AND to_timestamp({ended})"))

    def workers(self):
        """The workers' process IDs."""
        return self.server.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pnvs worker'").split()

    def worker(self):
        """The worker's process ID; it is there once something was sent."""
        stage.wait_until(self.workers, "the queue's worker")
        return int(self.workers()[0])

    def switch_worker(self, value):
        self.server.sql(f"ALTER SYSTEM SET pnvs.worker = {value}")
        self.server.sql("SELECT pg_reload_conf()")

    def wait_until_all_settled(self):
        stage.wait_until(lambda: self.session.ask("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL") == "0",
                         "the end of the drain", WAIT_SECONDS)

    def warm_up(self, count):
        _, first_id, last_id = self.enqueue(count)
        self.wait_until_settled(first_id, last_id)

    def empty(self):
        self.server.sql("TRUNCATE pnvs_internal.queue")

    def stop(self):
        self.session.close()
        self.server.stop()


class BareMulti(stage.Bare):
    """The anchor: bare_multi.c, driven as bare.c is."""

    def __init__(self, bench, url, window):		# pylint: disable=super-init-not-called
        command = [bench.programs / "bare_multi", bench.certificates.ca_file, url, url.partition("://")[2], window]
        self.process = stage.start(command, stage.MEASURED_CPU, text=True, bufsize=1, stdin=stage.subprocess.PIPE,
                                   stdout=stage.subprocess.PIPE, stderr=stage.subprocess.STDOUT)
        self.numbers = bench.numbers

    def drain(self, count):
        """(requests a second, CPU of one in nanoseconds)."""
        wall, cpu = self.calls(count, self.numbers.take(count))
        return count * 1e9 / wall, cpu / count


class Wire:
    """A session by PostgreSQL's protocol itself: what psql would add is not in the times.

    tag is what the last statement says that it has done.
    """

    def __init__(self, server):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.sockets / ".s.PGSQL.5432"))
        start = struct.pack("!i", 196608) + b"user\0postgres\0database\0postgres\0\0"
        self.socket.sendall(struct.pack("!i", len(start) + 4) + start)
        self.rest, self.tag = b"", ""
        self.answer()

    def run(self, statement):
        """The first column of the rows, as text."""
        self.send(statement)
        return self.answer()

    def send(self, statement):
        """answer() has what comes of it."""
        query = statement.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)

    def answer(self):
        values, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"D" and body[2:6] != b"\xff\xff\xff\xff":
                values.append(body[6:6 + struct.unpack("!i", body[2:6])[0]].decode())
            elif kind == b"E":
                error = body.replace(b"\0", b" ").decode()
            elif kind == b"C":
                self.tag = body[:-1].decode()
            elif kind == b"Z":
                if error:
                    raise CannotMeasure(f"PostgreSQL: {error}")
                return values

    def _message(self):
        while len(self.rest) < 5 or len(self.rest) < 1 + struct.unpack("!i", self.rest[1:5])[0]:
            read = self.socket.recv(65536)
            if not read:
                raise ConnectionResetError("the session has ended")
            self.rest += read
        length = 1 + struct.unpack("!i", self.rest[1:5])[0]
        kind, body, self.rest = self.rest[:1], self.rest[5:length], self.rest[length:]
        return kind, body

    def close(self):
        self.socket.close()


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


class Disk:
    """What PostgreSQL waits for at a commit: 8 kB and fdatasync, on the same file system."""

    def __init__(self, place):
        self.file = os.open(place / "fdatasync", os.O_RDWR | os.O_CREAT, 0o600)
        self.page, self.at, self.taken_ms = b"x" * 8192, 0, []
        os.write(self.file, b"\0" * 16 * 1024 * 1024)
        os.fsync(self.file)

    def sample(self):
        self.at = (self.at + 8192) % (16 * 1024 * 1024)
        os.pwrite(self.file, self.page, self.at)
        begun = time.monotonic_ns()
        os.fdatasync(self.file)
        self.taken_ms.append((time.monotonic_ns() - begun) / 1e6)
