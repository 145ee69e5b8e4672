"""soak_account: what became of each row, beside what the service has accepted.

A number may have two rows, which only the service's verification IDs tell apart;
so the sums are made number by number.
"""

from collections import Counter, defaultdict

STATES = ("sent", "failed", "expired", "canceled", "unknown")
ROWS = """SELECT k.id, k.recipient, coalesce(q.state, 'missing'), q.settled_at IS NOT NULL, q.code, q.message = 'found by a search'
    FROM (SELECT id, recipient FROM kept
        UNION ALL SELECT id, reference::bigint FROM verification_queue WHERE reference IS NOT NULL) k
    LEFT JOIN verification_queue q USING (id)"""
SETTLED = """SELECT extract(epoch FROM date_trunc('second', settled_at))::bigint, count(*)
    FROM verification_queue WHERE settled_at IS NOT NULL GROUP BY 1"""
CREATED = SETTLED.replace("settled_at", "created_at")

# What must not be.
FAULTS = ("lost", "committed and missing", "not settled", "doubled", "sent without acceptance", "unknown though accepted",
          "accepted though called unsent", "rolled back and yet there", "rolled back and yet accepted",
          "transactions torn", "cancels undone", "rows that nobody put in", "crashes that nobody caused", "errors of sessions")


class Number:
    """What there is of one number."""

    __slots__ = ("committed", "rows", "accepted", "dropped", "missing", "open", *STATES)

    def __init__(self):
        for name in self.__slots__:
            setattr(self, name, 0)


class Account:
    """counts: the table; faults: what of it must be zero; codes: of the unknown."""

    def __init__(self, servers, clients, log):
        self.numbers, self.counts, self.codes = defaultdict(Number), Counter(), Counter()
        self.states = {}
        # autovacuum may not have come to it yet, and a plan for few rows takes hours
        servers.sql("ANALYZE kept")
        self._read_rows(servers)
        for number, _ in log:
            if number > 0:
                self.numbers[number].accepted += 1
            else:
                self.numbers[-number].dropped += 1
        self._settle_doubts(clients)
        for number in self.numbers.values():
            self._count(number)
        self._count_cancels(clients)
        self.counts["rows that nobody put in"] = int(servers.sql(
            "SELECT count(*) FROM verification_queue q WHERE reference IS NULL AND phone_verification IS NULL "
            "AND NOT EXISTS (SELECT FROM kept k WHERE k.id = q.id)"))
        self.counts["crashes that nobody caused"] = len(servers.crashes())
        self.counts["errors of sessions"] = len(clients.all("errors"))
        self.counts["lost sessions"] = clients.lost_sessions()

    def _read_rows(self, servers):
        for line in servers.sql(ROWS).splitlines():
            id_, recipient, state, settled, code, found = line.split("|")
            number = self.numbers[int(recipient)]
            number.rows += 1
            what = state if settled == "t" or state == "missing" else "open"
            setattr(number, what, getattr(number, what) + 1)
            self.states[int(id_)] = state
            self.counts["  of these found by a search"] += found == "t"
            if state == "unknown":
                self.codes[code] += 1

    def _settle_doubts(self, clients):
        """What was in doubt is known by its rows: all of a transaction, or none."""
        for number in clients.all("committed"):
            self.numbers[number].committed += 1
        for numbers in clients.all("doubtful"):
            self.counts["in doubt"] += len(numbers)
            self.counts["transactions in doubt"] += 1
            wanted = Counter(numbers)
            found = {number: min(self.numbers[number].rows, count) for number, count in wanted.items()}
            if sum(found.values()) == len(numbers):
                self.counts["in doubt and there"] += len(numbers)
                for number, count in wanted.items():
                    self.numbers[number].committed += count
            elif sum(found.values()) > 0:
                self.counts["transactions torn"] += 1
        self.counts["rolled back"] = len(clients.all("rolled_back")) + self.counts["in doubt"] - self.counts["in doubt and there"]

    def _count(self, number):
        counts, sent, unknown = self.counts, number.sent, number.unknown
        counts["enqueued"] += number.committed
        counts["accepted"] += number.accepted
        for state in STATES:
            counts[state] += getattr(number, state)
        counts["lost"] += max(number.committed - sum(getattr(number, state) for state in STATES), 0)
        counts["committed and missing"] += max(number.committed - number.rows + number.missing, 0)
        counts["not settled"] += number.open
        counts["rolled back and yet there"] += max(number.rows - number.committed, 0)
        if number.committed == 0:
            counts["rolled back and yet accepted"] += number.accepted
            return
        counts["doubled"] += max(number.accepted - number.committed, 0)
        counts["sent without acceptance"] += max(sent - number.accepted, 0)
        counts["unknown though accepted"] += min(max(number.accepted - sent, 0), unknown)
        counts["accepted though called unsent"] += max(min(number.accepted, number.committed) - sent - unknown, 0)
        unheard = max(unknown - max(number.accepted - sent, 0), 0)
        counts["unknown, read by the service and dropped"] += min(unheard, number.dropped)
        counts["unknown, never seen by the service"] += max(unheard - number.dropped, 0)

    def _count_cancels(self, clients):
        canceled = clients.all("canceled")
        self.counts["cancels that were confirmed"] = len(canceled)
        self.counts["cancels undone"] = sum(self.states.get(id_) != "canceled" for id_ in canceled)

    def faults(self, allowed_unseen):
        """The names of what must not be and is."""
        found = [name for name in FAULTS if self.counts[name] != 0]
        return found + (["unknown, never seen by the service"]
                        if self.counts["unknown, never seen by the service"] > allowed_unseen else [])


def series(servers, log, began):
    """By the second, from the beginning: what was put in, accepted and settled."""
    lines = {"accepted": Counter(at_ns // 10 ** 9 for number, at_ns in log if number > 0)}
    for name, query in (("enqueued", CREATED), ("settled", SETTLED)):
        lines[name] = {int(second): int(count) for second, count in
                       (line.split("|") for line in servers.sql(query).splitlines())}
    last = max((second for line in lines.values() for second in line), default=began)
    return {name: [line.get(second, 0) for second in range(began, last + 1)] for name, line in lines.items()}
