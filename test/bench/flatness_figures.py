"""flatness_figures: what stays as it was when there is much, or for long."""

import os
import statistics
import time

import stage
from queue_figures import DRAINED, SLOW_MS
from queue_stage import Queue, Slow, Wire

QUEUED = 1000000
TURN_S = 2
FIRST_STEADY_NUMBER = 6289000000000  # no other figure has these
STEADY_RATE = 200


def memory_kb(pid):
    """What a process has of its own."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("RssAnon")).split()[1])


def sockets_of(pid):
    """How many sockets a process has open."""
    return sum(os.path.realpath(link).startswith(f"/proc/{pid}/fd/socket:") for link in os.scandir(f"/proc/{pid}/fd"))


def memory_when_full(bench, worker, window):
    """With as many requests under way as the window takes: the service stands still until they are."""
    with stage.frozen(bench.service.process):
        stage.wait_until(lambda: sockets_of(worker) >= window, f"{window} connections")
        return memory_kb(worker)


def many_queued(bench):
    """b: with a million rows queued, beside few, in turns; and the worker's memory meanwhile.

    While one's turn is, all processes of the other's server are stopped: both have the
    machine as it is then, for itself.  Memory goes by the connections: it is
    looked at when all that there can be are open.
    """
    many, few = (Queue(bench, name, bench.url("kept"), 200) for name in ("many", "few"))
    many.warm_up(400)
    few.warm_up(400)
    many.enqueue(QUEUED)
    worker = many.worker()
    turns, fast, memory, sent = [], [], {}, 0
    while sent < bench.drained:
        with stage.frozen(few.server.process):
            begun = time.time()
            time.sleep(TURN_S)
            turns.append((begun, time.time()))
            sent, queued = many.progress()
            memory[sent] = memory_when_full(bench, worker, 200)
            if sent < bench.drained and queued - sent < QUEUED / 5:
                many.enqueue(QUEUED)
        with stage.frozen(many.server.process):
            fast.append(few.drain(DRAINED)[0])
            few.empty()
    many.switch_worker("off")
    stage.wait_until(lambda: not many.workers(), "the end of the worker")
    slow = [many.settled_between(*turn) / (turn[1] - turn[0]) for turn in turns]
    bench.sent["kept"] += 400 + len(fast) * DRAINED + many.settled_between(0, time.time())
    bench.table.compare("b", f"drain with {QUEUED:,} queued", "rows/s", slow, fast, f"with {DRAINED:,}", 0.9, at_least=True)
    bench.table.exceed("b", f"memory after {bench.drained:,} requests", "kB", [memory[max(memory)]],
                       [memory[min(memory, key=lambda at: abs(at - bench.drained / 2))]], "after half of them", 1024)
    bench.table.series["memory"] = sorted(memory.items())
    many.stop()
    few.stop()


def snapshot_held(bench):
    """b: beside a transaction that keeps its snapshot, so that nothing dead is cleaned up."""
    rates = {}
    for held in (False, True, False, True):
        queue = Queue(bench, f"snapshot-{len(rates)}-{held}-{time.monotonic_ns()}", bench.url("kept"), 200)
        queue.warm_up(400)
        if held:
            holder = Wire(queue.server)
            holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            holder.run("SELECT 1 FROM verification_queue LIMIT 1")
        rates.setdefault(held, []).extend(queue.drain(DRAINED)[0] for _ in range(10))
        bench.sent["kept"] += 400 + 10 * DRAINED
        if held:
            holder.run("COMMIT")
            holder.close()
        queue.stop()
    bench.table.compare("b", "drain beside an open snapshot", "rows/s", rates[True], rates[False], "with none", 0.9, at_least=True)
    bench.table.series["snapshot"] = [rates[True], rates[False]]


def memory_of_a_connection(bench):
    """b: what a worker has more with 1,000 requests under way than with one."""
    slow = Slow(bench, "memory", SLOW_MS)
    queue = Queue(bench, "memory", slow.url, 1000)
    queue.warm_up(1)
    pid = queue.worker()
    one = memory_kb(pid)
    _, first_id, last_id = queue.enqueue(20000)
    most = 0
    while queue.session.ask(f"SELECT coalesce(settled_at, 'infinity') = 'infinity' FROM verification_queue WHERE id = {last_id}") == "t":
        most = max(most, memory_kb(pid))
        time.sleep(0.02)
    queue.wait_until_settled(first_id, last_id)
    bench.table.limit("b", "memory of a connection in flight", "kB", [(most - one) / 1000], [1.0], "-", 100.0)
    queue.stop()
    slow.stop()


def steady_load(bench):
    """c: the table's size under a load that does not end, a tenth of the time being kept."""
    kept_s = max(bench.steady // 10, 60)
    queue = Queue(bench, "steady", bench.url("kept"), more=f"pnvs.retention = '{kept_s}s'")
    script = bench.place / "steady.sql"
    queue.server.sql("CREATE SEQUENCE steady")
    script.write_text(f"SELECT enqueue_verification('SMS', ({FIRST_STEADY_NUMBER} + nextval('steady'))::text, 'FA1');\n")
    script.chmod(0o644)
    load = stage.start(["pgbench", "-n", "-R", STEADY_RATE, "-c", 2, "-T", bench.steady, "-f", script, "-h",
                        queue.server.sockets, "-U", "postgres", "postgres"], stage.OTHER_CPU,
                       stdout=stage.subprocess.PIPE, stderr=stage.subprocess.STDOUT, text=True)
    sizes = []
    while load.poll() is None:
        sizes.append(int(queue.session.ask("SELECT pg_total_relation_size('pnvs_internal.queue')")) / 1024)
        time.sleep(5)
    done = int(load.stdout.read().partition("actually processed: ")[2].split()[0].partition("/")[0])
    queue.wait_until_all_settled()
    sent = queue.session.ask("SELECT nextval('pnvs_internal.queue_id_seq') - 1")
    if int(sent) != done:
        raise stage.CannotMeasure(f"{sent} of {done} rows were queued")
    bench.sent["kept"] += done
    third = len(sizes) // 3
    bench.table.compare("c", f"table after {bench.steady} s of {STEADY_RATE}/s, {kept_s} s kept", "kB",
                        [max(sizes[2 * third:])], [max(sizes[third:2 * third])], "its size in the middle third", 1.1)
    bench.table.series["steady"] = sizes
    queue.stop()


FIGURES = {
    "b": [many_queued, snapshot_held, memory_of_a_connection],
    "c": [steady_load],
}
