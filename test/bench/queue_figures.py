"""queue_figures: what the queue gets through, how soon, and at what cost.

Drains begin with a worker that is there, connections that are open, and rows
that one transaction commits at once; the rate is the number of rows by the time
from the first dispatch to the last settling, as the rows themselves have it.
"""

import statistics
import time

import stage
from queue_stage import BareMulti, Disk, Queue, Slow, Wire, percentile
from stage import CannotMeasure

DRAINED = 10000
SLOW_MS = 100
MESSAGES = 300
ENQUEUE = "enqueue_verification('SMS', '{number}', 'FA1')"


def compare_drains(bench, what, ours, anchor, anchor_name, rate_target=None, cpu_target=None):
    """Each a list of (rows a second, CPU of one in nanoseconds)."""
    bench.table.compare("6", what, "rows/s", [rate for rate, _ in ours], [rate for rate, _ in anchor], anchor_name,
                        rate_target, at_least=True)
    bench.table.compare("6", "  CPU of a request", "us", [cpu / 1000 for _, cpu in ours],
                        [cpu / 1000 for _, cpu in anchor], anchor_name, cpu_target)


def drain_immediate(bench):
    """6: against a service that answers at once; the target is for 50 and 200."""
    for window in (10, 50, 100, 200, 500, 1000):
        queue = Queue(bench, f"queue-{window}", bench.url("kept"), window)
        bare = BareMulti(bench, bench.url("kept"), window)
        queue.warm_up(2 * window)
        bare.drain(2 * window)
        ours, anchor = [], []
        for _ in range(bench.rounds):
            ours.append(queue.drain(DRAINED))
            anchor.append(bare.drain(DRAINED))
            queue.empty()
        bench.sent["kept"] += 2 * (2 * window + bench.rounds * DRAINED)
        bare.close()
        queue.stop()
        target = 0.55 if window in (50, 200) else None
        compare_drains(bench, f"drain, immediate, window {window}", ours, anchor, "bare multi loop", target,
                       2.0 if target else None)
        bench.table.series.setdefault("immediate", []).append(
            [window, statistics.median(rate for rate, _ in ours), statistics.median(rate for rate, _ in anchor)])


def drain_slow(bench):
    """7: against a service that takes 100 ms; what it can be is the window by that."""
    slow = Slow(bench, "slow", SLOW_MS)
    for window in (10, 50, 100, 200, 500, 1000):
        queue = Queue(bench, f"slow-{window}", slow.url, window)
        bare = BareMulti(bench, slow.url, window)
        queue.warm_up(2 * window)
        bare.drain(2 * window)
        ours, anchor = [], []
        for _ in range(max(bench.rounds // 2, 1)):
            ours.append(queue.drain(20 * window)[0])
            anchor.append(bare.drain(20 * window)[0])
            queue.empty()
        bare.close()
        queue.stop()
        ideal = window * 1000 / SLOW_MS
        target = {50: 0.95, 100: 0.95, 200: 0.95, 1000: 0.8}.get(window)
        bench.table.compare("7", f"drain, {SLOW_MS} ms, window {window}", "rows/s", ours, [ideal] * len(ours),
                            f"window/latency; bare loop: {statistics.median(anchor):.0f}", target, at_least=True)
        bench.table.series.setdefault("slow", []).append(
            [window, statistics.median(ours), statistics.median(anchor), ideal])
    slow.stop()


def send_one(bench, wire, times, enqueue=ENQUEUE):
    """Notes when COMMIT was sent and when it was done, by the number."""
    number = bench.numbers.take(1)
    wire.run("BEGIN")
    wire.run("SELECT " + enqueue.format(number=number))
    begun = time.time_ns()
    wire.run("COMMIT")
    times[number] = (begun, time.time_ns())


def send_steadily(bench, wire, times, enqueue=ENQUEUE, between=lambda: None):
    """The same of many, at 20 a second."""
    begun = time.monotonic()
    for i in range(MESSAGES):
        time.sleep(max(begun + i / 20 - time.monotonic(), 0))
        send_one(bench, wire, times, enqueue)
        time.sleep(0.025)   # the message has gone by then, and shares its disk with nothing
        between()


def commit_to_arrival(bench):
    """8: from the end of COMMIT, as the session sees it, to the service having read the request."""
    slow = Slow(bench, "prompt", 0)
    queue = Queue(bench, "prompt", slow.url)
    wire, disk = Wire(queue.server), Disk(bench.place)
    queue.warm_up(10)
    sent = {"alone": {}, "20 a second": {}}
    for _ in range(MESSAGES):
        send_one(bench, wire, sent["alone"])
        time.sleep(0.01)
        disk.sample()
        time.sleep(0.01)
    send_steadily(bench, wire, sent["20 a second"], between=disk.sample)
    time.sleep(0.5)
    arrived = dict(slow.accepted())
    disk_p50, disk_p99 = percentile(disk.taken_ms, 0.5), percentile(disk.taken_ms, 0.99)
    bench.table.notes.append(f"fdatasync of 8 kB: p50 {disk_p50:.3f} ms, p99 {disk_p99:.3f} ms")
    for how, times in sent.items():
        late = [(arrived[number] - done) / 1e6 for number, (_, done) in times.items()]
        whole = [(arrived[number] - begun) / 1e6 for number, (begun, _) in times.items()]
        for name, share, allowed, disk_ms in (("p50", 0.5, 0.5, disk_p50), ("p99", 0.99, 5.0, disk_p99)):
            bench.table.exceed("8", f"COMMIT to arrival, {how}, {name}", "ms", [percentile(late, share)], [disk_ms],
                               "fdatasync", allowed)
            bench.table.exceed("8", f"  COMMIT included, {name}", "ms", [percentile(whole, share)], [disk_ms],
                               "fdatasync", None)
        bench.table.series.setdefault("latency_ms", {})[how] = [percentile(late, n / 100) for n in range(100)]
    queue.stop()
    cold_start(bench, slow)
    slow.stop()


def cold_start(bench, slow):
    """A worker that leaves at once is started for each message."""
    queue = Queue(bench, "cold", slow.url, more="pnvs.worker_idle_timeout = 0")
    wire, times = Wire(queue.server), {}
    disk = Disk(bench.place)
    for _ in range(3 * bench.rounds):
        send_one(bench, wire, times)
        stage.wait_until(lambda: wire.run("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pnvs worker'") == ["0"]
                         and wire.run("SELECT count(*) FROM verification_queue WHERE settled_at IS NULL") == ["0"],
                         "the queue's worker ends")
        disk.sample()
    arrived = dict(slow.accepted())
    late = [(arrived[number] - done) / 1e6 for number, (_, done) in times.items()]
    bench.table.exceed("8", "cold start: a new worker, p50", "ms", [percentile(late, 0.5)],
                       [percentile(disk.taken_ms, 0.5)], "fdatasync", None)
    queue.stop()


def behind_a_hanging_one(bench):
    """9: one that is never answered, and 50 more, committed together."""
    slow = Slow(bench, "hanging", 0)
    queue = Queue(bench, "hanging", slow.url)
    wire = Wire(queue.server)
    queue.warm_up(100)
    taken = []
    for _ in range(bench.rounds):
        first = bench.numbers.take(51)
        wire.run("BEGIN")
        wire.run(f"SELECT enqueue_verification('SMS', '{first}', 'hang')")
        ids = wire.run("SELECT enqueue_verification('SMS', n::text, 'FA1') FROM "
                       f"generate_series({first + 1}, {first + 50}) AS n")
        wire.run("COMMIT")
        committed = time.time()
        queue.wait_until_settled(ids[0], ids[-1])
        settled, sent = wire.run("SELECT extract(epoch FROM max(settled_at)) FROM verification_queue WHERE id BETWEEN "
                                 f"{ids[0]} AND {ids[-1]}") + wire.run("SELECT count(*) FROM verification_queue WHERE state "
                                                                     f"= 'sent' AND id BETWEEN {ids[0]} AND {ids[-1]}")
        if sent != "50":
            raise CannotMeasure(f"{sent} of 50 were sent")
        taken.append((float(settled) - committed) * 1000)
    hanging = wire.run("SELECT count(*) FROM verification_queue WHERE state = 'sending'")[0]
    bench.table.limit("9", f"50 settled, {hanging} hanging", "ms", taken, [50.0] * len(taken), "-", 50.0)
    wire.close()
    queue.stop()
    slow.stop()


FIGURES = {
    "6": [drain_immediate],
    "7": [drain_slow],
    "8": [commit_to_arrival],
    "9": [behind_a_hanging_one],
}
