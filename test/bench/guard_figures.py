"""guard_figures: what the limits cost a call, and a message that is queued.

Beside the same without limits and breaker, on the same server in turns: the
settings are changed by a reload.  The rules are those of the default, with room for all
messages; each number has another prefix, and so new lists.
"""

import stage
from enqueue_figures import pgbench
from instruction_figures import ROUNDS, Counted

PUT_IN = 5000
CALLS = 1000
COUNTED = 200
SESSIONS = 8
RULES = ("number 1/30s, number unapproved 5/10min 10/1d, number VOICE 1/2min 3/1d, prefix unapproved 20/1h 60/1d, "
         "key unapproved 10/10min, key 100/1h, total 1000000/1h 1000000/1d, tries 10/1h 20/1d")
BREAKER = "country 50/1h 20% 1h"
SERVER = """
    shared_preload_libraries = 'pnvs'
    pnvs.worker = off
    pnvs.guard_memory = '256MB'
    max_wal_size = '8GB'
"""
# 10,000 apart: no two in a prefix.
SCRIPT = """
CREATE SEQUENCE apart START {first};
CREATE FUNCTION enqueue_apart(count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    got bigint;
BEGIN
    FOR n IN 1 .. count LOOP
        got := enqueue_verification('SMS', (628500000000000 + 10000 * nextval('apart'))::text, 'FA1');
    END LOOP;
    RETURN count;
END
$$;
CREATE PROCEDURE commit_apart(count integer, INOUT done integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. count LOOP
        PERFORM enqueue_verification('SMS', (628500000000000 + 10000 * nextval('apart'))::text, 'FA1');
        COMMIT;
    END LOOP;
    done := count;
END
$$;
CREATE FUNCTION call_apart(count integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT start_verification('SMS', (628500000000000 + 10000 * nextval('apart'))::text, 'FA1')
                          FROM generate_series(1, count) OFFSET 0) AS calls
$$;
"""
ENQUEUE_ONE = "SELECT enqueue_verification('SMS', (628500000000000 + 10000 * nextval('apart'))::text, 'FA1');\n"


class Guarded:
    """A server whose limits are switched on and off."""

    def __init__(self, bench, name, first, **options):
        self.server = bench.server(name, endpoint=bench.url("kept"), more=SERVER + options.pop("more", ""), **options)
        self.server.sql(SCRIPT.replace("{first}", str(first)))
        self.session = self.server.session()

    def limit(self, on):
        """Everything is forgotten, and the queue empty."""
        self.server.sql(f"ALTER SYSTEM SET pnvs.limits = '{RULES if on else ''}'")
        self.server.sql(f"ALTER SYSTEM SET pnvs.breaker = '{BREAKER if on else ''}'")
        self.server.sql("SELECT pg_reload_conf()")
        stage.wait_until(lambda: self.session.ask("SELECT current_setting('pnvs.limits') <> ''") == ("t" if on else "f"),
                         "the reload")
        self.session.ask("SELECT pnvs_guard_reset() IS NOT NULL")
        self.server.sql("TRUNCATE pnvs_internal.queue")

    def run(self, statement, count):
        answer, wall, cpu = self.session.timed(statement.format(count))
        if answer != str(count):
            raise stage.CannotMeasure(f"{answer} of {count} messages were admitted")
        return wall / count / 1000, cpu / count / 1000

    def stop(self):
        self.session.close()
        self.server.stop()


def in_turns(guarded, run, rounds):
    """What run() returns with limits, and without."""
    results = {True: [], False: []}
    for _ in range(rounds):
        for on in (False, True):
            guarded.limit(on)
            run()				# what is done once
            results[on].append(run())
    return results[True], results[False]


def limits(bench):
    """e: by the clock."""
    guarded = Guarded(bench, "guarded", 1, more="fsync = on")
    calls, bare = in_turns(guarded, lambda: guarded.run("SELECT call_apart({})", CALLS), 2 * bench.rounds)
    bench.sent["kept"] += 8 * bench.rounds * CALLS
    bench.table.exceed("e", "limits in a warm call, CPU", "us", [cpu for _, cpu in calls], [cpu for _, cpu in bare],
                       "the same without limits", 2.0)
    queued, bare = in_turns(guarded, lambda: guarded.run("SELECT enqueue_apart({})", PUT_IN), 2 * bench.rounds)
    bench.table.compare("e", "limits in an enqueue among many, CPU", "us", [cpu for _, cpu in queued], [cpu for _, cpu in bare],
                        "the same without limits", None)
    many, bare = in_turns(guarded, lambda: pgbench(bench, guarded.server, ENQUEUE_ONE, SESSIONS), bench.rounds)
    bench.table.compare("e", f"limits in enqueues by {SESSIONS} sessions", "tps", many, bare,
                        "the same without limits", 0.97, at_least=True)
    guarded.stop()


def limits_by_instructions(bench):
    """e: by instructions of the process."""
    place = bench.place / "counted-guard"
    place.mkdir()
    counted = Counted(place)
    guarded = Guarded(bench, "counted-guard", 5000000, view=counted)
    pid = guarded.session.pid
    for what, statement, target, sent in (("a warm call", "SELECT call_apart({})", None, True),
                                          ("an enqueue and its COMMIT", "CALL commit_apart({}, 0)", 1.03, False),
                                          ("an enqueue among many", "SELECT enqueue_apart({})", None, False)):
        def run(statement=statement):
            return counted.count(pid, lambda: guarded.run(statement, COUNTED)) / COUNTED / 1000
        with_limits, without = in_turns(guarded, run, ROUNDS)
        if sent:
            bench.sent["kept"] += 4 * ROUNDS * COUNTED
        bench.table.compare("e", f"limits in {what}, instructions", "k", with_limits, without, "the same without limits", target)
    guarded.stop()


FIGURES = {"e": [limits, limits_by_instructions]}
