"""pg_net_figures: the queue beside that of the extension pg_net, where the user
names a built one.

pg_net does not sign: its requests have the same URL, and headers of the same
length, made beforehand.  Its tables are unlogged.  It knows the system's
authorities alone, and each of its new connections reads them all; its server
sees ours in their place.

Its worker takes pg_net.batch_size rows, sends all of them at once, waits for the
last reply, commits, and pauses for a second.  So its rate is measured with the
size that it is shipped with, and with one that was as fast as any here: 2,000
were slower, 5,000 alike, and 10,000, which is no pause at all, slower again, for
libcurl looks for a connection among all of them.  pg_net.ttl is as shipped, and
deletes nothing meanwhile.
"""

import resource
import time
from pathlib import Path

import stage
from queue_figures import ENQUEUE, compare_drains, send_one, send_steadily
from queue_stage import AS_SHIPPED, WAIT_SECONDS, Queue, Slow, Wire, percentile
from stage import CannotMeasure

SCRIPT = Path(__file__).resolve().parent / "scripted_pg_net.sql"
SHIPPED_BATCH, FAST_BATCH = 200, 3400
SHIPPED_DRAINED, FAST_DRAINED = 2000, 10000		# some 10 and 5 seconds
OTHER_FILES = 200		# that the worker has open beside its connections, amply
SETTLING = 5		# statements before a message, so that the processor is not asleep
SERVER = AS_SHIPPED + """
    shared_preload_libraries = 'pg_net'
    track_commit_timestamp = on
"""


class PgNet:
    """A server with pg_net, and a session to look in."""

    def __init__(self, bench, name, url):
        self.bench = bench
        self.server = bench.server(name, ca_file=None, view=bench.system_view(stage.ALONE), preload=False, more=SERVER)
        self.server.sql("-v", f"url={url}", "-f", SCRIPT)
        self.session = self.server.session()
        self.name = "pg_net " + self.session.ask("SELECT extversion FROM pg_extension WHERE extname = 'pg_net'") + ", unsigned"
        self.wait_until_idle()

    def set_batch(self, size):
        self.server.sql(f"ALTER SYSTEM SET pg_net.batch_size = {size}")
        self.server.sql("SELECT pg_reload_conf()")

    def wait_until_idle(self):
        """Until it neither works nor pauses."""
        stage.wait_until(lambda: self.session.ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_net%' "
                                                  "AND state = 'idle'") == "1", "pg_net's worker", WAIT_SECONDS)

    def drain(self, count):
        """(rows a second, the worker's CPU for one, in nanoseconds)."""
        self.wait_until_idle()
        self.server.sql("TRUNCATE net.http_request_queue, net._http_response")
        first = self.bench.numbers.take(count)
        pid = int(self.session.ask("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_net%'"))
        cpu = stage.cpu_clock_ns(pid)
        self.session.ask(f"SELECT count(enqueue_by_pg_net(n)) FROM generate_series({first}, {first + count - 1}) AS n")
        stage.wait_until(lambda: self.session.ask("SELECT NOT EXISTS (SELECT FROM net.http_request_queue)") == "t",
                         "the end of pg_net's drain", WAIT_SECONDS)
        cpu = stage.cpu_clock_ns(pid) - cpu
        return self.rate(count), cpu / count

    def rate(self, count):
        """From the beginning of the first batch's transaction to the last one's commit."""
        answer = self.session.ask("SELECT count(*) FILTER (WHERE status_code = 200), extract(epoch FROM "
                                  "max(pg_xact_commit_timestamp(xmin)) - min(created)) FROM net._http_response")
        answered, seconds = answer.split("|")
        if int(answered) != count:
            raise CannotMeasure(f"pg_net had the reply to {answered} of {count} requests")
        return count / float(seconds)

    def stop(self):
        self.session.close()
        self.server.stop()


def drain(bench):
    """6: against a service that answers at once."""
    if not bench.pg_net:
        bench.left_out("6", "pg_net", "--pg-net")
        return
    queue, peer = Queue(bench, "beside-pg_net", bench.url("kept")), PgNet(bench, "pg_net", bench.url("kept"))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for batch, count in ((SHIPPED_BATCH, SHIPPED_DRAINED), (min(FAST_BATCH, files - OTHER_FILES), FAST_DRAINED)):
        peer.set_batch(batch)
        queue.warm_up(count)
        peer.drain(batch)
        ours, theirs = [], []
        for _ in range(bench.rounds):
            ours.append(queue.drain(count))
            theirs.append(peer.drain(count))
            queue.empty()
        bench.sent["kept"] += batch + count + 2 * bench.rounds * count
        name = f"{peer.name}, batch {batch}" + (" (as shipped)" if batch == SHIPPED_BATCH else "")
        compare_drains(bench, f"drain of {count}, immediate, window 50", ours, theirs, name)
    queue.stop()
    peer.stop()


def send_to_idle(bench, peer, sides):
    """When each was committed, by the number, for each (session, what queues one)."""
    all_times = [{} for _ in sides]
    for _ in range(3 * bench.rounds):
        for (wire, enqueue), times in zip(sides, all_times):
            time.sleep(0.1)
            peer.wait_until_idle()
            for _ in range(SETTLING):
                time.sleep(0.02)
                wire.run("SELECT 1")
            send_one(bench, wire, times, enqueue)
    return all_times


def commit_to_arrival(bench):
    """8: to an idle worker, and at 20 a second, where pg_net's pauses most of the time."""
    if not bench.pg_net:
        bench.left_out("8", "pg_net", "--pg-net")
        return
    slow = Slow(bench, "beside-pg_net", 0)
    queue, peer = Queue(bench, "prompt-beside-pg_net", slow.url), PgNet(bench, "prompt-pg_net", slow.url)
    sides = [(Wire(queue.server), ENQUEUE), (Wire(peer.server), "enqueue_by_pg_net({number})")]
    for wire, enqueue in sides:
        send_one(bench, wire, {}, enqueue)		# opens its connection
    sent = {"idle worker": send_to_idle(bench, peer, sides), "20 a second": [{}, {}]}
    for (wire, enqueue), times in zip(sides, sent["20 a second"]):
        send_steadily(bench, wire, times, enqueue)
    time.sleep(0.1)
    peer.wait_until_idle()
    arrived = dict(slow.accepted())
    for how, all_times in sent.items():
        late = [[(arrived[number] - done) / 1e6 for number, (_, done) in times.items()] for times in all_times]
        for name, share in (("p50", 0.5), ("p99", 0.99))[:1 if how == "idle worker" else 2]:
            ours, theirs = ([percentile(values, share)] for values in late)
            bench.table.compare("8", f"COMMIT to arrival, {how}, {name}", "ms", ours, theirs, peer.name, None)
    queue.stop()
    peer.stop()
    slow.stop()


FIGURES = {
    "6": [drain],
    "8": [commit_to_arrival],
}
