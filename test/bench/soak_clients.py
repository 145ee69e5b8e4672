"""soak_clients: sessions that enqueue in transactions of many kinds, and remember
what they know of each: committed, rolled back, or in doubt, where the session
was lost while it waited for COMMIT's end.
"""

import random
import threading
import time

from soak_servers import SESSION_ERRORS
from stage import CannotMeasure

FIRST_NUMBER = 6281000000000
NUMBERS_OF_A_CLIENT = 10 ** 8
MAX_OPEN = 2000
RETRY_SECONDS = 0.05
JOIN_SECONDS = 30

# A row's number is masked once it is settled.  What tells it then is kept in the same
# transaction: here, or as the row's reference.
SCHEMA = """
CREATE TABLE kept (id bigint, recipient bigint);
CREATE TABLE signup (phone text);
CREATE TRIGGER verify AFTER INSERT ON signup FOR EACH ROW EXECUTE FUNCTION enqueue_verification_trigger('SMS', 'phone', 'FA1', 'phone');
"""

ENQUEUE = """INSERT INTO kept SELECT enqueue_verification('SMS', n::text, 'FA1', {how}), n
    FROM unnest('{{{numbers}}}'::bigint[]) AS n RETURNING id"""
SIGN_UP = "INSERT INTO signup SELECT n::text FROM unnest('{{{numbers}}}'::bigint[]) AS n"
AT_LEISURE = "send_within => '1 hour'"
IN_HASTE = "send_within => '0.2 seconds'"
FOR_LATER = "not_before => clock_timestamp() + '4 seconds', send_within => '1 hour'"
CANCEL = "SELECT id FROM unnest('{{{ids}}}'::bigint[]) AS id WHERE cancel_verification(id)"


class Transaction:
    """What is sent, and the numbers that are there if it commits or, whatever happens, are not."""

    def __init__(self):
        self.statements, self.kept, self.dropped = [], [], []

    def add(self, statement):
        self.statements.append(statement)


class Caller(threading.Thread):
    """One session after the other with the primary of the moment."""

    def __init__(self, servers, name):
        super().__init__(daemon=True)
        self.servers, self.random, self.wire = servers, random.Random(name), None
        self.errors, self.lost_sessions, self.failure = [], 0, None

    def run(self):
        try:
            self.play()
            self.hang_up()
        except Exception as failure:		# pylint: disable=broad-exception-caught
            self.failure = failure

    def play(self):
        """What it is there for."""
        raise NotImplementedError

    def note_error(self, error, *expected):
        """A server that refuses, or goes down, is no news."""
        self.lost_sessions += 1
        if isinstance(error, CannotMeasure) and not any(known in str(error) for known in (
                "starting up", "shutting down", "in recovery mode", "not yet accepting", "terminating connection", *expected)):
            self.errors.append(str(error))

    def connect(self):
        while self.wire is None:
            try:
                self.wire = self.servers.wire()
            except SESSION_ERRORS:
                time.sleep(RETRY_SECONDS)

    def hang_up(self):
        if self.wire:
            self.wire.close()
        self.wire = None


class Client(Caller):
    """It enqueues."""

    def __init__(self, clients, index):
        super().__init__(clients.servers, f"{clients.seed}-client-{index}")
        self.clients, self.next = clients, FIRST_NUMBER + index * NUMBERS_OF_A_CLIENT
        self.committed, self.rolled_back, self.doubtful, self.canceled = [], [], [], []

    def play(self):
        while self.clients.wants_more():
            self._play(self._draw())

    def _take(self, count):
        self.next += count
        return list(range(self.next - count, self.next))

    def _size(self):
        most = self.random.choice((1, 1, 12, 12, 100))
        return self.random.randint(1, most)

    def _draw(self):
        """(transaction, whether some of it is to be canceled)."""
        drawn, plan = self.random.random(), Transaction()
        numbers, others = self._take(self._size()), self._take(self._size())
        if drawn < 0.10:
            self._enqueue(plan, numbers, plan.dropped, AT_LEISURE)
            plan.add("ROLLBACK")
            return plan, False
        if drawn < 0.25:
            first, second = (numbers, others) if self.random.random() < 0.5 else ([], others)
            self._enqueue(plan, first, plan.kept)
            plan.add("SAVEPOINT s")
            self._enqueue(plan, second, plan.dropped)
            plan.add("ROLLBACK TO s")
            if not first:
                plan.add("RELEASE s")
                self._enqueue(plan, numbers, plan.kept)
        elif drawn < 0.30:
            self._enqueue(plan, numbers, plan.kept, FOR_LATER)
        elif drawn < 0.35:
            self._enqueue(plan, numbers, plan.kept, IN_HASTE)
        elif drawn < 0.38:
            # two messages to one number, which only the time of their sending tells apart
            self._enqueue(plan, numbers, plan.kept)
            self._enqueue(plan, numbers[:3], plan.kept)
        elif drawn < 0.60:
            plan.add(SIGN_UP.format(numbers=",".join(map(str, numbers))))
            plan.kept += numbers
        else:
            self._enqueue(plan, numbers, plan.kept)
        plan.add("COMMIT")
        return plan, 0.25 <= drawn < 0.30

    @staticmethod
    def _enqueue(plan, numbers, kind, how=AT_LEISURE):
        if numbers:
            plan.add(ENQUEUE.format(how=how, numbers=",".join(map(str, numbers))))
            kind += numbers

    def _play(self, drawn):
        plan, cancel = drawn
        self.rolled_back += plan.dropped
        ids = self._do(plan)
        if cancel and ids:
            self._cancel(self.random.sample(ids, (len(ids) + 1) // 2))

    def _do(self, plan):
        """The IDs of a transaction that was committed."""
        ids, statement = [], "BEGIN"
        try:
            self.connect()
            self.wire.run("BEGIN")
            for statement in plan.statements:
                ids += self.wire.run(statement)
        except SESSION_ERRORS as error:
            self.note_error(error)
            if statement == "COMMIT":
                self.doubtful.append(plan.kept)
            else:
                self.rolled_back += plan.kept
            self.hang_up()
            return []
        if plan.statements[-1] == "ROLLBACK":
            return []
        if self.wire.tag != "COMMIT":
            raise CannotMeasure(f"a COMMIT ended as {self.wire.tag}")
        self.committed += plan.kept
        self.clients.count(len(plan.kept))
        return ids

    def _cancel(self, ids):
        try:
            self.canceled += [int(id_) for id_ in self.wire.run(CANCEL.format(ids=",".join(ids)))]
        except SESSION_ERRORS as error:
            self.note_error(error)
            self.hang_up()


class Clients:
    """All of them, until enough is committed; and the eye on how much is open."""

    def __init__(self, servers, options):
        self.servers, self.seed, self.wanted = servers, options.seed, options.rows
        self.committed, self.lock = 0, threading.Lock()
        self.open, self.max_open, self.stopping = 0, min(MAX_OPEN, options.rows // 20), threading.Event()
        self.list = [Client(self, index) for index in range(options.sessions)]
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self):
        for thread in [self.watcher, *self.list]:
            thread.start()

    def wants_more(self):
        """Waits where there is more open than there need be."""
        while self.open > self.max_open and not self.stopping.is_set():
            time.sleep(0.02)
        return self.committed < self.wanted and not self.stopping.is_set()

    def count(self, rows):
        with self.lock:
            self.committed += rows
            self.open += rows

    def busy(self):
        for client in self.list:
            if client.failure:
                raise client.failure
        if not self.watcher.is_alive():
            raise CannotMeasure("nobody sees any more how much is open")
        return any(client.is_alive() for client in self.list)

    def stop(self):
        self.stopping.set()
        for thread in [self.watcher, *self.list]:
            thread.join(JOIN_SECONDS)

    def all(self, what):
        return [item for client in self.list for item in getattr(client, what)]

    def lost_sessions(self):
        return sum(client.lost_sessions for client in self.list)

    def _watch(self):
        while not self.stopping.is_set():
            self.open = int(self.servers.primary_says("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL")[0])
            time.sleep(0.05)
