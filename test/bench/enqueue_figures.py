"""enqueue_figures: what it costs to put a message into the queue.

Beside an INSERT into a table with the same columns and indexes.
"""

import stage
from queue_stage import Queue

PUT_IN = 10000
COMMITS = 60000
PLAIN = """
CREATE SEQUENCE plain_id_seq;
CREATE TABLE plain (LIKE pnvs_internal.queue INCLUDING INDEXES);
ALTER TABLE plain ALTER id SET DEFAULT nextval('plain_id_seq'), ALTER state SET DEFAULT 'queued', ALTER attempts SET DEFAULT 0;
CREATE FUNCTION enqueue_many(first bigint, count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    got bigint;
BEGIN
    FOR n IN 0 .. count - 1 LOOP
        got := enqueue_verification('SMS', (first + n)::text, 'FA1');
    END LOOP;
    RETURN count;
END
$$;
CREATE FUNCTION perform_many(first bigint, count integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 0 .. count - 1 LOOP
        PERFORM enqueue_verification('SMS', (first + n)::text, 'FA1');
    END LOOP;
    RETURN count;
END
$$;
CREATE FUNCTION insert_many(first bigint, count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    got bigint;
BEGIN
    FOR n IN 0 .. count - 1 LOOP
        INSERT INTO plain (channel, recipient, service_sid, not_before, send_before, created_at, retain_from,
                requested_by, origin_system, origin_database, origin_timeline)
            VALUES ('SMS', (first + n)::text, 'FA1', clock_timestamp(), clock_timestamp() + interval '5 minutes', clock_timestamp(),
                clock_timestamp(), 10, 1, 5, 1) RETURNING id INTO got;
    END LOOP;
    RETURN count;
END
$$;
CREATE PROCEDURE commit_many(first bigint, count integer, INOUT early double precision, INOUT late double precision)
LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
BEGIN
    FOR n IN 1 .. count LOOP
        IF n = 501 OR n = count - 999 THEN
            begun := clock_timestamp();
        END IF;
        PERFORM enqueue_verification('SMS', (first + n)::text, 'FA1');
        COMMIT;
        IF n = 1500 THEN
            early := extract(epoch FROM clock_timestamp() - begun) * 1e3;
        END IF;
    END LOOP;
    late := extract(epoch FROM clock_timestamp() - begun) * 1e3;
END
$$;
"""
INSERT_ONE = """INSERT INTO plain (channel, recipient, service_sid, not_before, send_before, created_at, retain_from, requested_by,
    origin_system, origin_database, origin_timeline)
    VALUES ('SMS', (6281000000000 + :n)::text, 'FA1', clock_timestamp(), clock_timestamp() + interval '5 minutes',
    clock_timestamp(), clock_timestamp(), 10, 1, 5, 1) RETURNING id;
"""
ENQUEUE_ONE = "SELECT enqueue_verification('SMS', (6281000000000 + :n)::text, 'FA1');\n"


def putting_in(bench):
    """a: beside an INSERT into a table with the same columns and indexes."""
    queue = Queue(bench, "putting-in", bench.url("kept"), more="pnvs.worker = off")
    queue.server.sql(PLAIN)
    ours, performed, anchor = [], [], []
    for _ in range(2 * bench.rounds):
        for name, times in (("enqueue_many", ours), ("perform_many", performed), ("insert_many", anchor)):
            _, wall, _ = queue.session.timed(f"SELECT {name}({bench.numbers.take(PUT_IN)}, {PUT_IN})")
            times.append(wall / 1000 / PUT_IN)
        queue.server.sql("TRUNCATE pnvs_internal.queue, plain")
    bench.table.compare("a", "enqueue in a transaction", "us", ours[1:], anchor[1:], "INSERT, PL/pgSQL", 1.3)
    bench.table.compare("a", "  by PERFORM", "us", performed[1:], anchor[1:], "INSERT, PL/pgSQL", None)
    ours, anchor = [], []
    for _ in range(bench.rounds):
        ours.append(pgbench(bench, queue.server, ENQUEUE_ONE))
        anchor.append(pgbench(bench, queue.server, INSERT_ONE))
    bench.table.compare("a", "enqueue alone", "tps", ours, anchor, "INSERT, pgbench", 0.9, at_least=True)
    queue.server.sql("TRUNCATE pnvs_internal.queue, plain")
    early, late = [], []
    for _ in range(3):
        session = queue.server.session()
        session.ask("SET synchronous_commit = off \\; SELECT 1")
        answer = session.ask(f"CALL commit_many({bench.numbers.take(COMMITS)}, {COMMITS}, 0, 0)").split("|")
        early.append(float(answer[0]))
        late.append(float(answer[1]))
        session.close()
        queue.server.sql("TRUNCATE pnvs_internal.queue")
    bench.table.compare("a", f"commits up to {COMMITS}, each of 1,000", "us", late, early, "commits 501 to 1,500", 1.1)
    queue.stop()


def pgbench(bench, server, script, clients=1):
    """Transactions a second."""
    file = bench.place / "pgbench.sql"
    file.write_text("\\set n random(1, 900000000)\n" + script)
    output = stage.run("pgbench", "-n", "-M", "prepared", "-T", "2", "-c", clients, "-f", file, "-h", server.sockets, "-U", "postgres", "postgres")
    return float(output.partition("tps = ")[2].split()[0])


FIGURES = {"a": [putting_in]}
