"""soak: many messages, from many sessions, with every kind of disturbance: exactly
those that were committed arrive, at most once each, and the rows say what became
of them.  Beside them people verify their numbers (see soak_people.py).

    soak.py PROGRAMS JSON [--rows N] [--seed N] [--disturbances N] [--no-standby] ...

PROGRAMS is the folder of the service, JSON a descriptor to write the results to.
The seed repeats what the sessions do, which disturbances there are and in which
order, and the service's moods; not the moments, which depend on the machine.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import soak_account
import soak_people
import soak_verifications
import stage
from queue_stage import Slow
from soak_checks import Mail
from soak_clients import SCHEMA, Clients
from soak_servers import Servers

DRAIN_SECONDS = 600
# What a search has found; what it has not is looked for as long as is set.
SLOWEST_SEARCH = """SELECT coalesce(max(extract(epoch FROM settled_at - unknown_since)), 0) FROM pnvs_internal.queue
    WHERE state = 'sent'"""
UNSEEN = "unknown, never seen by the service"
TABLE = ("enqueued", "accepted", "sent", "  of these found by a search", "failed", "expired", "canceled", "unknown",
         "unknown, read by the service and dropped", UNSEEN, "rolled back", "transactions in doubt", "in doubt",
         "in doubt and there", "cancels that were confirmed", "lost sessions", *soak_account.FAULTS, *soak_verifications.TABLE)


class Stage:
    """Where the soak plays, in the way that the measurements' stage is made."""

    def __init__(self, programs, place):
        self.programs, self.place = Path(programs), place
        self.certificates = stage.Certificates(place)


class Soak:
    """One run."""

    def __init__(self, options, place):
        self.options, self.random = options, random.Random(f"{options.seed}-soak")
        bench = Stage(options.programs, place)
        self.service = Slow(bench, "service", options.delay, options.seed)
        self.servers = Servers(place, self.service, bench.certificates, options)
        self.servers.sql(SCHEMA + soak_people.SCHEMA)
        self.mail = Mail(self.service)
        self.clients, self.people = Clients(self.servers, options), soak_people.People(self.servers, self.mail, options)
        self.began, self.marks = time.time(), []

    def play(self):
        self.mail.start()
        self.clients.start()
        self.people.start()
        for moment, kind in self._plan():
            while self.clients.busy() and self.clients.committed < moment:
                time.sleep(0.02)
            time.sleep(self.random.uniform(0, 0.3))
            self._disturb(kind)
        while self.clients.busy() or self.people.busy():
            time.sleep(0.1)
        enqueued = time.time() - self.began
        print(f"{enqueued:7.1f} s  all is queued, {self.clients.open} open, {self.people.begun} verifications", flush=True)
        self.service.calm_down()
        stage.wait_until(lambda: self.servers.primary_says(
            "SELECT count(*) FROM verification_queue WHERE settled_at IS NULL") == ["0"], "an empty queue", DRAIN_SECONDS)
        self.clients.stop()
        self.mail.stopping.set()
        self.mail.join()
        return {"enqueued": enqueued, "drained": time.time() - self.began}

    def _plan(self):
        """[(when so many are committed, what happens)], each kind as often as the others."""
        kinds = []
        while len(kinds) < self.options.disturbances:
            some = list(self.servers.kinds())
            self.random.shuffle(some)
            kinds += some
        kinds = kinds[:self.options.disturbances]
        moments = sorted(self.random.uniform(0.03, 0.97) * self.options.rows for _ in kinds)
        return list(zip(moments, kinds))

    def _disturb(self, kind):
        at = time.time() - self.began
        mark = {"at": at, "kind": kind, "committed": self.clients.committed, "open": self.clients.open}
        getattr(self.servers, kind)()
        mark["seconds"] = time.time() - self.began - at
        self.marks.append(mark)
        print(f"{at:7.1f} s  {kind} ({mark['seconds']:.1f} s), {mark['committed']} committed, {mark['open']} open", flush=True)

    def judge(self, seconds):
        """The results; "faults" is empty where all is well."""
        verifications = soak_verifications.Verifications(self.servers, self.service, self.people, self.marks, self.began)
        log = self.service.accepted()
        account = soak_account.Account(self.servers, self.clients, [entry for entry in log if abs(entry[0]) < soak_people.FIRST_PERSON])
        account.counts["errors of sessions"] += len(self.people.all("errors"))
        account.counts["lost sessions"] += self.people.lost_sessions()
        disturbances = Counter(mark["kind"] for mark in self.marks)
        cuts = sum(count for kind, count in disturbances.items() if self.servers.kinds()[kind])
        allowed = cuts * self.options.window
        return {"seed": self.options.seed, "rows": self.options.rows, "window": self.options.window, "seconds": seconds,
                "slowest_search_s": float(self.servers.sql(SLOWEST_SEARCH)),
                "counts": {name: account.counts[name] + verifications.counts[name] for name in TABLE}, "codes of the unknown": dict(account.codes),
                "unknown and never seen, allowed": allowed, "disturbances": dict(disturbances), "marks": self.marks,
                "notes": verifications.notes[:20], "errors": (self.clients.all("errors") + self.people.all("errors"))[:20], "crashes": self.servers.crashes()[:20],
                "faults": account.faults(allowed) + verifications.faults(), "series": soak_account.series(self.servers, log, int(self.began))}


def show(results):
    print()
    for name in TABLE:
        print(f"{name:<44}{results['counts'][name]:>9}" + ("   A FAULT" if name in results["faults"] else ""))
        if name == UNSEEN:
            print(f"{'  allowed: window x kills':<44}{results['unknown and never seen, allowed']:>9}")
    for kind, count in sorted(results["disturbances"].items()):
        print(f"{kind:<44}{count:>9}")
    print("codes of the unknown: " + (", ".join(f"{code} {count}" for code, count in results["codes of the unknown"].items()) or "none"))
    print(f"the slowest search that found something: {results['slowest_search_s']:.1f} s")
    for line in results["notes"] + results["errors"] + results["crashes"]:
        print(line)
    print(f"seed {results['seed']}: queued in {results['seconds']['enqueued']:.0f} s, drained after "
          f"{results['seconds']['drained']:.0f} s: " + ("FAULTS: " + ", ".join(results["faults"]) if results["faults"] else "no fault"))


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("json", type=int)
    parser.add_argument("--rows", type=int, default=50000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10 ** 6)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--verifications", type=int)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--delay", type=int, default=10)
    parser.add_argument("--disturbances", type=int)
    parser.add_argument("--reconcile-for", type=int, default=30)
    parser.add_argument("--standby", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.disturbances is None:
        options.disturbances = min(max(options.rows // 4000, 6), 60)
    if options.verifications is None:
        options.verifications = options.rows // 80
    return options


def main():
    options = parse_arguments()
    print(f"seed {options.seed}, {options.rows} rows by {options.sessions} sessions, {options.verifications} verifications by "
          f"{options.people}, {options.disturbances} disturbances, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        soak = Soak(options, Path(place))
        results = soak.judge(soak.play())
        soak.servers.stop()
        soak.service.stop()
    show(results)
    with open(options.json, "w", encoding="ascii") as out:
        json.dump(results, out, indent=1)
        out.write("\n")
    sys.exit(1 if results["faults"] else 0)


main()
