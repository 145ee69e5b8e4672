"""verification_figures: what a verification costs, from its begin to its use.

Each beside what it does the work of: begin_verification() beside enqueue_verification(),
confirm_verification() beside check_verification(), the constraint beside a foreign key; the
two in turns, in one server.  Each confirm needs a verification of its own, whose message was
sent, and each row of the constraint an approval.
"""

import stage
from enqueue_figures import pgbench
from instruction_figures import ROUNDS, Counted
from queue_stage import AS_SHIPPED, Slow

PUT_IN = 5000
CONFIRMED = 500
COUNTED = 200
# A begin splits a page of an index once in so many calls that fewer would count now more of them, now less.
COUNTED_BEGINS = 1000
AT_ONCE = 10
SETTLE_SECONDS = 60
SERVER = """
    shared_preload_libraries = 'pnvs'
    pnvs.service_sid = 'FA1'
    pnvs.worker = {worker}
    pnvs.connect_timeout = 30000
    pnvs.request_timeout = 60000
"""


def loops(name, variable, one):
    """A function that does something for each number i, and a procedure that commits each time."""
    return "".join(f"""
CREATE {kind} LANGUAGE plpgsql AS $$
DECLARE
    i bigint;
    {variable}
BEGIN
    FOR n IN 0 .. count - 1 LOOP
        i := first + n;
        {one};
        {commit}
    END LOOP;
    {end};
END
$$;
""" for kind, commit, end in (
        (f"FUNCTION {name}_many(first bigint, count integer) RETURNS integer", "", "RETURN count"),
        (f"PROCEDURE {name}_commit(first bigint, count integer, INOUT done integer)", "COMMIT;", "done := count")))


# Both sides a few calls at a time, for what a machine does beside differs from one second to the next by more than the two do.
ALTERNATING = """
CREATE FUNCTION {ours}_and_{anchor}(first_of_ours bigint, first_of_anchor bigint, count integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ours interval = 0;
    anchor interval = 0;
    begun timestamptz;
BEGIN
    FOR n IN 0 .. count - 1 BY {at_once} LOOP
        begun := clock_timestamp();
        PERFORM {ours}_many(first_of_ours + n, {at_once});
        ours := ours + (clock_timestamp() - begun);
        begun := clock_timestamp();
        PERFORM {anchor}_many(first_of_anchor + n, {at_once});
        anchor := anchor + (clock_timestamp() - begun);
    END LOOP;
    RETURN extract(epoch FROM ours) || ' ' || extract(epoch FROM anchor);
END
$$;
"""

# As each is called at its simplest, and so that a repeat, such as a double click, sends no second message.
WAYS_TO_BEGIN = (
    ("begin", "enqueue_verification()", "", ""),
    ("begin of a session", "the same, dedup_key", ", session_key => 'the key of a session ' || {number}", ", dedup_key => 'the key of a session ' || {number}"))
BEGIN = "begin_verification({number}{more})"
ENQUEUE = "enqueue_verification('SMS', {number}, 'FA1'{more})"
ONE_NUMBER = "(6281000000000 + :n)::text"


def call(template, number, more):
    """One of these calls."""
    return template.format(number=number, more=more.format(number=number))


# The code is that of a number's first message (see service_checks.c).
CODES = """
CREATE TABLE asked (number bigint PRIMARY KEY, id uuid, verification_id text, code text);
CREATE FUNCTION code_of(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lpad(((number * 7919 + 104729) % 1000000)::text, 6, '0')
$$;
"""
PREPARE_CONFIRM = """INSERT INTO asked SELECT n, b.id, NULL, code_of(n)
    FROM generate_series({first}::bigint, {last}) AS n, begin_verification(n::text) AS b"""
PREPARE_CHECK = """SELECT count(enqueue_verification('SMS', n::text, 'FA1')) FROM generate_series({first}::bigint, {last}) AS n"""
KEEP_CHECK = """INSERT INTO asked SELECT n, NULL, verification_id, code_of(n)
    FROM pnvs_internal.queue, substring(verification_id FROM '^V([0-9]+)-') AS s, CAST(s AS bigint) AS n
    WHERE phone_verification IS NULL AND n BETWEEN {first} AND {last}"""
WAYS_TO_CONFIRM = (("a.code", "true", ""), ("'0'", "false", " of a wrong code"))
CONFIRM_AND_CHECK = """SELECT * INTO a FROM asked WHERE number = i;
        got := {call};
        IF got.approved IS DISTINCT FROM {approved} THEN RAISE 'not as it should be: %', got; END IF"""

# The same columns and the same index; the foreign key's row is locked, the verification used up.
MEMBERS = """
CREATE TABLE approval (number bigint PRIMARY KEY, id uuid);
CREATE TABLE person (id uuid PRIMARY KEY);
CREATE TABLE plain (phone text, verification uuid REFERENCES person);
CREATE INDEX ON plain (verification);
CREATE TABLE member (phone text, verification uuid);
CREATE INDEX ON member (verification);
CREATE CONSTRAINT TRIGGER verified AFTER INSERT OR UPDATE ON member FOR EACH ROW
    EXECUTE FUNCTION require_verification('phone', 'verification');
""" + "".join(loops(name, "", f"INSERT INTO {name} SELECT '+' || number, id FROM approval WHERE number = i") for name in ("member", "plain"))
APPROVE = """WITH approved AS (
    INSERT INTO pnvs_internal.phone_verification (id, requested_by, state, recipient, service_sid, channels, channel_position, channel,
        messages, is_decoy, trusted, begun_at, expires_at, resend_at, refused_count, tries, approved_at, origin_system,
        origin_database)
    SELECT gen_random_uuid(), CURRENT_USER::regrole, 'approved', n::text, 'FA1', '{{SMS}}', 0, 'SMS', 1, false, false,
        clock_timestamp(), clock_timestamp() + interval '10 min', clock_timestamp(), 0, 0, clock_timestamp(), system_identifier,
        d.oid
    FROM generate_series({first}::bigint, {last}) AS n, pg_control_system(), pg_database d WHERE datname = current_database()
    RETURNING id, recipient), people AS (INSERT INTO person SELECT id FROM approved)
    INSERT INTO approval SELECT recipient::bigint, id FROM approved"""


class Sides:
    """Two ways of doing something, in turns, in one server."""

    def __init__(self, bench, server, ours, anchor, prepare=None):
        server.sql(ALTERNATING.format(ours=ours, anchor=anchor, at_once=AT_ONCE))
        self.bench, self.session, self.names = bench, server.session(), (ours, anchor)
        self.prepare = prepare or (lambda name, first, last: None)

    def _prepared(self, name, count):
        """The first of new numbers."""
        first = self.bench.numbers.take(count)
        self.prepare(name, first, first + count - 1)
        return first

    def _in_turns(self, way, count, rounds, measure):
        results = ([], [])
        for turn in range(rounds + 1):
            for name, result in zip(self.names, results):
                first = self._prepared(name, count)
                value = measure(f"SELECT {name}_many({first}, {count})" if way == "many"
                                else f"CALL {name}_commit({first}, {count}, 0)") / count / 1000
                if turn > 0:		# what is done once is not in it
                    result.append(value)
        return results

    def alternating(self, count):
        """Microseconds of each round among many; their COMMIT is not in it, for not every side writes."""
        ours, anchor = self.names
        results = ([], [])
        for turn in range(2 * self.bench.rounds + 1):
            first_ones = [self._prepared(name, count) for name in self.names]
            answer = self.session.ask(f"SELECT {ours}_and_{anchor}({first_ones[0]}, {first_ones[1]}, {count})")
            if turn > 0:		# what is done once is not in it
                for seconds, result in zip(answer.split(), results):
                    result.append(float(seconds) / count * 1e6)
        return results

    def committing(self, count):
        """Microseconds of each round, each call with its COMMIT."""
        return self._in_turns("commit", count, 2 * self.bench.rounds, lambda statement: self.session.timed(statement)[1])

    def by_instructions(self, counted, way, count=COUNTED):
        """Thousands of each round."""
        return self._in_turns(way, count, ROUNDS, lambda statement: counted.count(
            self.session.pid, lambda: self.session.ask(statement)))


def compare(bench, what, results, unit, anchor_name, target):
    bench.table.compare("v", what, unit, *results, anchor_name, target)


def begins(bench):
    """v: beside an enqueue."""
    server = bench.server("begins", endpoint=bench.url("kept"), more=AS_SHIPPED + SERVER.format(worker="off"))
    for what, anchor, more_of_begin, more_of_enqueue in WAYS_TO_BEGIN:
        sides = begin_sides(bench, server, more_of_begin, more_of_enqueue)
        compare(bench, f"{what} among many", sides.alternating(PUT_IN), "us", anchor, 1.5)
        results = ([], [])
        for _ in range(bench.rounds):
            for script, result in zip((f"SELECT id FROM {call(BEGIN, ONE_NUMBER, more_of_begin)};\n",
                                       f"SELECT {call(ENQUEUE, ONE_NUMBER, more_of_enqueue)};\n"), results):
                result.append(1e6 / pgbench(bench, server, script))
        compare(bench, f"{what} alone, and its COMMIT", results, "us", anchor + ", pgbench", 1.5)
        sides.session.close()
    server.stop()
    server, counted = counted_server(bench, "counted-begins", bench.url("kept"), "off")
    for what, anchor, more_of_begin, more_of_enqueue in WAYS_TO_BEGIN:
        sides = begin_sides(bench, server, more_of_begin, more_of_enqueue)
        compare(bench, f"{what} among many, instructions", sides.by_instructions(counted, "many", COUNTED_BEGINS), "k", anchor, 1.5)
        compare(bench, f"{what} and its COMMIT, instructions", sides.by_instructions(counted, "commit", COUNTED_BEGINS), "k", anchor, 1.5)
        sides.session.close()
    server.stop()


def begin_sides(bench, server, more_of_begin, more_of_enqueue):
    """Both in functions and procedures of a loop."""
    server.sql("DROP ROUTINE IF EXISTS begin_many, begin_commit, enqueue_many, enqueue_commit, begin_and_enqueue")
    server.sql(loops("begin", "got begin_verification_result;", "got := " + call(BEGIN, "i::text", more_of_begin)))
    server.sql(loops("enqueue", "got bigint;", "got := " + call(ENQUEUE, "i::text", more_of_enqueue)))
    return Sides(bench, server, "begin", "enqueue")


def confirms(bench):
    """v: beside a check."""
    anchor, service = "check_verification()", Slow(bench, "checked", 0)
    server = bench.server("confirms", endpoint=service.url, more=AS_SHIPPED + SERVER.format(worker="on"))
    for code, approved, what in WAYS_TO_CONFIRM:
        sides = confirm_sides(bench, server, code, approved)
        compare(bench, f"confirm{what}", sides.alternating(CONFIRMED), "us", anchor, 1.15)
        sides.session.close()
    server.stop()
    server, counted = counted_server(bench, "counted-confirms", service.url, "on")
    for code, approved, what in WAYS_TO_CONFIRM:
        sides = confirm_sides(bench, server, code, approved)
        compare(bench, f"confirm{what}, instructions", sides.by_instructions(counted, "many"), "k", anchor, 1.15)
        compare(bench, f"confirm{what} and its COMMIT, instructions", sides.by_instructions(counted, "commit"), "k", anchor, None)
    server.stop()
    service.stop()


def confirm_sides(bench, server, code, approved):
    """The messages are sent before the clock runs."""
    def prepare(name, first, last):
        server.sql((PREPARE_CONFIRM if name == "confirm" else PREPARE_CHECK).format(first=first, last=last))
        stage.wait_until(lambda: server.sql("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL").strip() == "0",
                         "the end of the drain", SETTLE_SECONDS)
        if name == "check":
            server.sql(KEEP_CHECK.format(first=first, last=last))
        # no code is judged before its verification is a second old; and after a pause all goes slower
        server.sql("SELECT pg_sleep(1)")
    server.sql("DROP TABLE IF EXISTS asked; "
               "DROP ROUTINE IF EXISTS code_of, confirm_many, confirm_commit, check_many, check_commit, confirm_and_check")
    server.sql(CODES)
    for name, call in (("confirm", f"confirm_verification(a.id, {code})"),
                       ("check", f"check_verification({code}, a.verification_id, a.number::text, 'FA1')")):
        server.sql(loops(name, f"got {name}_verification_result; a asked;", CONFIRM_AND_CHECK.format(call=call, approved=approved)))
    return Sides(bench, server, "confirm", "check", prepare)


def constraints(bench):
    """v: beside a foreign key."""
    def prepare(_, first, last):
        server.sql(APPROVE.format(first=first, last=last))
    anchor = "INSERT, index, foreign key"
    server = bench.server("constraints", endpoint=bench.url("kept"), more=AS_SHIPPED + SERVER.format(worker="off"))
    server.sql(MEMBERS)
    sides = Sides(bench, server, "member", "plain", prepare)
    compare(bench, "INSERT under the constraint", sides.alternating(PUT_IN), "us", anchor, 1.25)
    compare(bench, "the same and its COMMIT", sides.committing(PUT_IN // 5), "us", anchor, 1.25)
    sides.session.close()
    server.stop()
    server, counted = counted_server(bench, "counted-constraints", bench.url("kept"), "off")
    server.sql(MEMBERS)
    sides = Sides(bench, server, "member", "plain", prepare)
    compare(bench, "INSERT under the constraint, instructions", sides.by_instructions(counted, "many"), "k", anchor, 1.25)
    compare(bench, "the same and its COMMIT, instructions", sides.by_instructions(counted, "commit"), "k", anchor, 1.25)
    server.stop()


def counted_server(bench, name, url, worker):
    """A server whose instructions are counted."""
    place = bench.place / name
    place.mkdir()
    counted = Counted(place)
    return bench.server(name, endpoint=url, view=counted, more=SERVER.format(worker=worker)), counted


FIGURES = {"v": [begins, confirms, constraints]}
