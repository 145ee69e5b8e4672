"""soak_verifications: what became of each verification, beside what the service was asked.

First every person who is still there comes once more, without disturbances: whoever has an
approval uses it, and whoever waits types the code.  So "pending" is no excuse.
"""

import time
from collections import Counter, defaultdict

from soak_checks import APPROVED, WRONG, checks, code_of
from soak_people import FIRST_PERSON, MAX_TRIES, Visit, USE

# A crash may forget what shared memory has taken in this long, a promotion all of it.
FORGOTTEN_S = 12
# An answer that is lost is noted as late as that.
ANSWER_S = 10
CUTS = ("kill_worker", "kill_client", "restart", "promote")
MAX_ASKED = 3
PATIENCE = 5

USES = "(SELECT id, number FROM used UNION ALL SELECT verification, '+' || phone FROM member) u"
VERIFICATIONS = "(SELECT DISTINCT id, number FROM begun) b JOIN pnvs_internal.phone_verification v USING (id)"
OF_VERIFICATIONS = """(SELECT phone_verification AS id, count(*) AS messages, (array_agg(state ORDER BY id DESC))[1] AS last_state
    FROM pnvs_internal.queue WHERE phone_verification IS NOT NULL GROUP BY 1) q"""
# What must not be, as a count.
QUERIES = {
    "verifications missing": """SELECT count(DISTINCT id) FROM begun b WHERE NOT EXISTS
        (SELECT FROM pnvs_internal.phone_verification v WHERE v.id = b.id)""",
    "verifications that nobody began": """SELECT count(*) FROM pnvs_internal.phone_verification v WHERE NOT EXISTS
        (SELECT FROM begun b WHERE b.id = v.id)""",
    "clicked twice, begun twice": """SELECT count(*) FROM (SELECT key FROM begun b
        WHERE (phone_verification_status(b.id)).state <> 'failed' GROUP BY key HAVING count(DISTINCT id) > 1) k""",
    "approvals used twice": f"SELECT count(*) FROM (SELECT id FROM {USES} GROUP BY id HAVING count(*) > 1) t",
    "uses without an approval": f"""SELECT count(*) FROM {USES} WHERE NOT EXISTS (SELECT FROM pnvs_internal.phone_verification v
        WHERE v.id = u.id AND state = 'used' AND approved_at IS NOT NULL)""",
    "used up for nobody": f"SELECT count(*) FROM {VERIFICATIONS} WHERE state = 'used' AND NOT EXISTS (SELECT FROM {USES} WHERE u.id = b.id)",
    "used for another number": f"""SELECT count(*) FROM {USES} WHERE NOT EXISTS
        (SELECT FROM begun b WHERE b.id = u.id AND '+' || b.number = u.number)""",
    "approvals lost after COMMIT": f"""SELECT count(*) FROM {VERIFICATIONS} WHERE state NOT IN ('approved', 'used')
        AND EXISTS (SELECT FROM confirmed c WHERE c.id = b.id AND c.approved)""",
    "messages beyond begin and resends": f"""SELECT count(*) FROM (SELECT id, max(channels) AS channels FROM begun GROUP BY id) b
        JOIN {OF_VERIFICATIONS} USING (id) LEFT JOIN (SELECT id, count(*) AS times FROM resent GROUP BY id) r USING (id)
        WHERE messages > channels * (1 + coalesce(times, 0))""",
    "messages sent though taken back": f"""SELECT count(*) FROM taken_back JOIN {OF_VERIFICATIONS} USING (id)
        WHERE last_state NOT IN ('canceled', 'failed') AND id IN (SELECT id FROM resent)""",
    "pending without an end": """SELECT count(*) FROM pnvs_internal.phone_verification v WHERE state = 'pending'
        AND (expires_at > begun_at + interval '1 hour' OR last_message IS NULL)""",
}
MESSAGES = """SELECT b.number, count(*) FILTER (WHERE q.state = 'sent'), count(*) FILTER (WHERE q.state = 'unknown')
    FROM (SELECT DISTINCT id, number FROM begun) b JOIN pnvs_internal.queue q ON q.phone_verification = b.id GROUP BY 1"""
LOST, GUESSED = "approvals lost by a crash before COMMIT", "guesses beyond max_tries that a crash forgot"
ALLOWED = "  allowed: guesses that were not committed before one"
FAULTS = (*QUERIES, "messages doubled", "messages sent without acceptance", "messages of a begin that was rolled back",
          "approvals lost without a crash", "approvals that nobody can use", "right codes that nobody approves",
          "failed though sent", "guesses beyond max_tries")
TABLE = ("verifications begun", "begins rolled back", "codes checked", "approved by the service", "used by a call",
         "used by the constraint", "resends", "max_tries", LOST, GUESSED, ALLOWED, *FAULTS)


class Verifications:
    """counts: the table; notes: what is known of verifications that should have ended."""

    def __init__(self, servers, service, people, marks, began):
        self.servers, self.people, self.counts, self.notes = servers, people, Counter(), []
        self.log = checks(service)
        self.cuts = [(mark["kind"], began + mark["at"], began + mark["at"] + mark["seconds"])
                     for mark in marks if mark["kind"] in CUTS]
        self.approved = {}
        for check in self.log:
            if check.verdict == APPROVED:
                self.approved.setdefault(check.number, []).append(check)
        self.people.mail.read()
        self._come_once_more()
        self._read_tables()
        self._count_messages(service)
        self.log = checks(service)		# those of once more are in it
        self._count_guesses(self.log)

    def faults(self):
        return [name for name in FAULTS if self.counts[name] != 0]

    def _forgotten(self, at_s, later_s=0):
        """Whether a crash can have made shared memory forget something of that time."""
        return any(ended >= at_s and (kind == "promote" or at_s + later_s >= begun - FORGOTTEN_S)
                   for kind, begun, ended in self.cuts)

    def _rows(self, query):
        return [line.split("|") for line in self.servers.sql(query).splitlines()]

    # --- once more

    def _come_once_more(self):
        wire = self.servers.wire()
        for id_, number, state in self._rows(
                "SELECT id, number, (phone_verification_status(id)).state FROM (SELECT DISTINCT id, number FROM begun) b"):
            visit = Visit(int(number), id_)
            if state in ("pending", "max_tries"):
                state = self._type_all(wire, visit, state)
            if state == "approved" and not wire.run(visit.sql(USE)):
                self.counts["approvals that nobody can use"] += 1
            if state == "failed" and self.people.mail.messages(visit.number) > 0:
                self.counts["failed though sent"] += 1
            self.counts["max_tries"] += state == "max_tries"
        wire.close()

    def _type_all(self, wire, visit, state):
        """The state after that; what was approved is typed first."""
        was_approved = self.approved.get(visit.number, [])
        count = self.people.mail.messages(visit.number)
        codes = [check.code for check in reversed(was_approved)]
        if state == "pending":
            codes += [code_of(visit.number, nth) for nth in range(count, max(count - MAX_ASKED, 0), -1)]
        for code in dict.fromkeys(codes):
            state = self._type(wire, visit, code)
            if state == "approved":
                return state
        if was_approved and self._forgotten(was_approved[-1].at_s, ANSWER_S):
            self.counts[LOST] += 1
        elif was_approved or (count > 0 and state == "pending"):
            self.counts["approvals lost without a crash" if was_approved else "right codes that nobody approves"] += 1
            self._note(visit, state)
        return state

    def _note(self, visit, state):
        """Verdicts of the service, and rows: for whoever looks for the reason."""
        self.notes.append({"id": visit.id, "state": state, "messages": self.people.mail.messages(visit.number),
                           "checks": [(check.serial, check.code, check.verdict) for check in self.log if check.number == visit.number],
                           "rows": self._rows(f"SELECT id, channel, state, code, verification_id FROM pnvs_internal.queue "
                                              f"WHERE phone_verification = '{visit.id}' ORDER BY id")})

    @staticmethod
    def _type(wire, visit, code):
        """Again, if it is asked to wait: the message may have to be searched for."""
        for _ in range(PATIENCE):
            state, wait = wire.run(f"SELECT CASE WHEN approved THEN 'approved' ELSE state END || '|' || coalesce(retry_after, 0) "
                                   f"FROM confirm_verification('{visit.id}', '{code:06}')")[0].split("|")
            if wait == "0":
                break
            time.sleep(min(int(wait), 1))
        return state

    # --- the account

    def _read_tables(self):
        for name, query in QUERIES.items():
            self.counts[name] = int(self.servers.sql(query))
        for name, query in (("verifications begun", "SELECT count(DISTINCT id) FROM begun"), ("resends", "SELECT count(*) FROM resent"),
                            ("used by a call", "SELECT count(*) FROM used"), ("used by the constraint", "SELECT count(*) FROM member")):
            self.counts[name] = int(self.servers.sql(query))

    def _count_messages(self, service):
        accepted = Counter(number for number, _ in service.accepted() if number >= FIRST_PERSON)
        known = Counter()
        for number, sent, unknown in self._rows(MESSAGES):
            known[int(number)] = 1
            self.counts["messages doubled"] += max(accepted[int(number)] - int(sent) - int(unknown), 0)
            self.counts["messages sent without acceptance"] += max(int(sent) - accepted[int(number)], 0)
        self.counts["begins rolled back"] = len(self.people.all("rolled_back"))
        self.counts["messages of a begin that was rolled back"] = sum(
            count for number, count in accepted.items() if known[number] == 0)

    def _count_guesses(self, log):
        """Each wrong code is a guess, however often it was checked."""
        committed = {(int(number), int(code)) for number, code in self._rows(
            "SELECT DISTINCT b.number, c.code FROM confirmed c JOIN begun b USING (id) WHERE NOT c.approved")}
        guesses = defaultdict(dict)
        for check in log:
            if check.verdict == WRONG and not self._is_right(check):
                guesses[check.number].setdefault(check.code, check.at_s)
        self.counts["codes checked"] = len({(check.number, check.code) for check in log})
        self.counts["approved by the service"] = sum(check.verdict == APPROVED for check in log)
        for number, codes in guesses.items():
            beyond = max(len(codes) - MAX_TRIES, 0)
            allowed = sum((number, code) not in committed and self._forgotten(at_s) for code, at_s in codes.items())
            self.counts[GUESSED] += min(beyond, allowed)
            self.counts[ALLOWED] += allowed
            self.counts["guesses beyond max_tries"] += max(beyond - allowed, 0)

    def _is_right(self, check):
        """Of another message to the same number."""
        return any(check.code == code_of(check.number, nth) for nth in range(1, self.people.mail.messages(check.number) + 1))
