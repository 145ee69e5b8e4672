"""soak_people: people who verify their numbers: they begin, click twice, ask for another
message, type codes, right and wrong, some of them together or in transactions that are
rolled back, and use the approval, by a call or by a constraint.

What they know is written in the transactions themselves, so that the tables say what was
committed, whoever was lost on the way.  Each has another number.
"""

import random
import threading
import time

from soak_checks import code_of
from soak_clients import Caller
from soak_servers import SESSION_ERRORS
from stage import CannotMeasure

FIRST_PERSON = 6291000000000
NUMBERS_OF_A_CLIENT = 10 ** 8
MAX_TRIES = 5
PURPOSE = "sign-up"
AT_ONCE = 8					# verifications that are begun before the first is confirmed
MAIL_SECONDS = 3

SCHEMA = """
CREATE TABLE begun (id uuid, number bigint, key text, channels integer);
CREATE TABLE resent (id uuid);
CREATE TABLE taken_back (id uuid);
CREATE TABLE confirmed (id uuid, code integer, approved boolean, state text);
CREATE TABLE used (id uuid, number text);
CREATE TABLE member (phone text, verification uuid);
CREATE CONSTRAINT TRIGGER verified AFTER INSERT OR UPDATE ON member FOR EACH ROW
    EXECUTE FUNCTION require_verification('phone', 'verification', '1 hour', 'sign-up');
"""

BEGIN = """INSERT INTO begun SELECT id, {number}, '{key}', cardinality('{channels}'::text[])
    FROM begin_verification('{number}', '{channels}', 'sign-up', {session_key}) WHERE id IS NOT NULL RETURNING id"""
# As if the time had come for another message.
LET_RESEND = """UPDATE pnvs_internal.phone_verification SET resend_at = clock_timestamp() - interval '1 second'
    WHERE id = '{id}'"""
RESEND = "INSERT INTO resent SELECT id FROM resend_verification('{id}') WHERE refused IS NULL RETURNING id"
CONFIRM = """INSERT INTO confirmed SELECT '{id}', '{code}', approved, state FROM confirm_verification('{id}', '{code}')
    RETURNING CASE WHEN approved THEN 'approved' ELSE state END"""
USE = "INSERT INTO used SELECT '{id}', n FROM use_verification('{id}', 'sign-up') AS n WHERE n IS NOT NULL RETURNING id"
JOIN = "INSERT INTO member VALUES ('{number}', '{id}') RETURNING verification"
# Refused, its answer lost, and no approval.
EXPECTED = ("C38V01", "C38V02", "C23514")


class Visit:
    """One person's verification."""

    def __init__(self, number, id_=None):
        self.number, self.id = number, id_

    def sql(self, statement, **more):
        return statement.format(id=self.id, number=self.number, **more)

    def confirm(self, code):
        return self.sql(CONFIRM, code=f"{code:06}")


class Person(Caller):
    """One person after the other."""

    def __init__(self, people, index):
        super().__init__(people.servers, f"{people.seed}-person-{index}")
        self.people, self.next = people, FIRST_PERSON + index * NUMBERS_OF_A_CLIENT
        self.rolled_back = []

    def play(self):
        while self.people.wants_more():
            visits = [visit for visit in (self._begin() for _ in range(AT_ONCE)) if visit]
            self._wait_for_mail(visits)
            self.random.shuffle(visits)
            for visit in visits:
                self._confirm(visit)

    # --- statements

    def _do(self, *statements, end="COMMIT"):
        """What the last of a transaction's statements says; None if it failed."""
        answer = None
        try:
            self.connect()
            self.wire.run("BEGIN")
            for statement in statements:
                answer = self.wire.run(statement)
            self.wire.run(end)
            return answer
        except SESSION_ERRORS as error:
            self._lose(error)
            return None

    def _lose(self, error):
        if not (isinstance(error, CannotMeasure) and any(expected in str(error) for expected in EXPECTED)):
            self.note_error(error)
        self.hang_up()

    def _together(self, *statements):
        """Each in a session of its own, at the same time."""
        wires = []
        try:
            wires += [self.servers.wire() for _ in statements]
            for wire, statement in zip(wires, statements):
                wire.send(statement)
        except SESSION_ERRORS as error:
            self._lose(error)
        for wire in wires:
            try:
                wire.answer()
            except SESSION_ERRORS as error:
                self._lose(error)
            wire.close()

    # --- what people do

    def _begin(self):
        """The visit; None if there is none, or nobody knows."""
        self.next += 1
        visit = Visit(self.next)
        key = f"{self.random.getrandbits(64):016x}"
        channels = self.random.choice(("{SMS}", "{SMS}", "{SMS}", "{SMS,VOICE}"))
        begin = visit.sql(BEGIN, key=key, session_key=f"'{key}'", channels=channels)
        drawn = self.random.random()
        if drawn < 0.06:
            self._do(begin, end="ROLLBACK")
            self.rolled_back.append(visit.number)
            return None
        if drawn < 0.16:
            self._together(begin, begin)
        answer = self._do(begin)
        if not answer:
            return None
        visit.id = answer[0]
        self.people.count()
        if drawn > 0.9:
            self._do(begin)
        return visit

    def _wait_for_mail(self, visits):
        deadline = time.monotonic() + MAIL_SECONDS
        while any(self.people.mail.messages(visit.number) == 0 for visit in visits) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _confirm(self, visit):
        if self.people.mail.messages(visit.number) == 0:
            self._resend(visit)
            return
        way, share = self.random.random(), 0
        for weight, do in ((0.40, self._type), (0.10, self._type_twice), (0.08, self._type_together), (0.12, self._guess),
                           (0.12, self._type_after_resend), (0.06, self._resend_and_type), (0.06, lambda visit: None)):
            share += weight
            if way < share:
                do(visit)
                return
        self._type(visit)
        self._use(visit)

    def _code(self, visit, nth=None):
        return code_of(visit.number, nth or self.people.mail.messages(visit.number))

    def _wrong_codes(self, visit, count):
        """Different ones, none of which is that of a message."""
        right = {code_of(visit.number, nth) for nth in range(1, 20)}
        return [code for code in self.random.sample(range(10 ** 6), count + len(right)) if code not in right][:count]

    def _type(self, visit):
        for code in self._wrong_codes(visit, self.random.choice((0, 0, 1, 2))):
            self._do(visit.confirm(code))
        self._do(visit.confirm(self._code(visit)))
        self._use(visit)

    def _type_twice(self, visit):
        """The first time it is rolled back."""
        self._do(visit.confirm(self._code(visit)), end="ROLLBACK")
        if self.random.random() < 0.5:
            self._do(visit.confirm(self._code(visit)))
            self._use(visit)

    def _type_together(self, visit):
        self._together(*[visit.confirm(self._code(visit))] * 2)
        self._use(visit)

    def _guess(self, visit):
        """Somebody else, who does not know the code; some of them roll back."""
        codes = self._wrong_codes(visit, 2 * MAX_TRIES)
        rolls_back = self.random.random() < 0.6
        if self.random.random() < 0.3:
            self._together(*[visit.confirm(code) for code in codes])
            return
        for code in codes:
            self._do(visit.confirm(code), end="ROLLBACK" if rolls_back else "COMMIT")

    def _resend(self, visit):
        return self._do(visit.sql(LET_RESEND), visit.sql(RESEND))

    def _type_after_resend(self, visit):
        before = self.people.mail.messages(visit.number)
        self._resend(visit)
        if self.random.random() < 0.5:
            deadline = time.monotonic() + 1
            while self.people.mail.messages(visit.number) == before and time.monotonic() < deadline:
                time.sleep(0.01)
        self._do(visit.confirm(self._code(visit, None if self.random.random() < 0.5 else before)))
        self._use(visit)

    def _resend_and_type(self, visit):
        """The approval takes back what is queued in the same transaction."""
        self._do(visit.sql(LET_RESEND), visit.sql(RESEND), visit.confirm(self._code(visit)),
                 visit.sql("INSERT INTO taken_back SELECT id FROM pnvs_internal.phone_verification "
                           "WHERE id = '{id}' AND state = 'approved'"))
        self._use(visit)

    def _use(self, visit):
        use, join, drawn = visit.sql(USE), visit.sql(JOIN), self.random.random()
        if drawn < 0.25:
            self._do(use)
        elif drawn < 0.45:
            self._do(join)
        elif drawn < 0.6:
            self._do(self.random.choice((use, join)), end="ROLLBACK")
            self._do(join)
        elif drawn < 0.7:
            self._do("SAVEPOINT s", join, "ROLLBACK TO s", join)
        elif drawn < 0.8:
            self._together(join, self.random.choice((use, join)))
        elif drawn < 0.9:
            self._contend(self.random.choice((use, join)), self.random.choice((use, join)))

    def _contend(self, first, second):
        """The second begins while the first is neither committed nor rolled back."""
        try:
            self.connect()
            other = self.servers.wire()
            self.wire.run("BEGIN")
            self.wire.run(first)
            other.send(second)
            time.sleep(0.005)
            self.wire.run(self.random.choice(("COMMIT", "ROLLBACK")))
            other.answer()
            other.close()
        except SESSION_ERRORS as error:
            self._lose(error)


class People:
    """All of them, until enough has begun."""

    def __init__(self, servers, mail, options):
        self.servers, self.mail, self.seed, self.wanted = servers, mail, options.seed, options.verifications
        self.begun, self.lock = 0, threading.Lock()
        self.list = [Person(self, index) for index in range(options.people)]

    def start(self):
        for thread in self.list:
            thread.start()

    def wants_more(self):
        return self.begun < self.wanted

    def count(self):
        with self.lock:
            self.begun += 1

    def busy(self):
        for person in self.list:
            if person.failure:
                raise person.failure
        return any(person.is_alive() for person in self.list)

    def all(self, what):
        return [item for person in self.list for item in getattr(person, what)]

    def lost_sessions(self):
        return sum(person.lost_sessions for person in self.list)
