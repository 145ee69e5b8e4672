"""measure: every figure beside its anchor, in turn: A B A B ...

    measure.py PROGRAMS JSON [--rounds N] [--only FIGURES] [--http-extension] [--pg-net]

PROGRAMS is the folder of the anchors, JSON a descriptor to write the results to.
A figure is the median of its rounds, a ratio the median of the rounds' ratios,
for the two of a round had the machine in the same mood.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import enqueue_figures
import flatness_figures
import guard_figures
import instruction_figures
import pg_net_figures
import queue_figures
import stage
import verification_figures
from stage import BUNDLE, HASHED, CannotMeasure

ROOT = Path(__file__).resolve().parent
WARM_CALLS = 4000
SCRIPTED_CALLS = 500
NEW_CONNECTIONS = 200
SIGNATURES = 20000
SETTLING_CALLS = 50			# before each run, so that a connection that idled is not in it

# One call a row, with as little of PostgreSQL around it as can be.
CALLS = """SELECT count(*) FILTER (WHERE ({function}('SMS', n::text, 'FA1')).success)
    FROM generate_series({first}, {last}) AS n"""


class Table:
    """The results: one line each, with what it is held against."""

    def __init__(self):
        self.lines = []
        self.notes = []
        self.series = {}		# for the charts

    def compare(self, figure, what, unit, ours, anchor, anchor_name, target, at_least=False):
        """Held against a ratio; target None: for information."""
        ratio = statistics.median(a / b for a, b in zip(ours, anchor))
        self._add(figure, what, unit, ours, target=target, held=ratio, kind="ratio", at_least=at_least,
                  anchor=anchor, anchor_name=anchor_name, ratio=ratio)

    def exceed(self, figure, what, unit, ours, anchor, anchor_name, target):
        """Held against a difference."""
        difference = statistics.median(a - b for a, b in zip(ours, anchor))
        self._add(figure, what, unit, ours, target=target, held=difference, kind="difference", anchor=anchor,
                  anchor_name=anchor_name, ratio=statistics.median(a / b for a, b in zip(ours, anchor)))

    def limit(self, figure, what, unit, ours, anchor, anchor_name, target):
        """Held against a value of its own."""
        self._add(figure, what, unit, ours, target=target, held=statistics.median(ours), kind="value", anchor=anchor,
                  anchor_name=anchor_name, ratio=statistics.median(a / b for a, b in zip(ours, anchor)))

    def _add(self, figure, what, unit, ours, target, held, kind, at_least=False, **more):
        met = target is None or (held >= target if at_least else held <= target)
        verdict = "" if target is None else "ok" if met else "MISSED"
        self.lines.append({"figure": figure, "what": what, "unit": unit, "ours": statistics.median(ours),
                           "ours_rounds": ours, "target": target, "held": held, "held_kind": kind, "at_least": at_least,
                           "verdict": verdict, **more, "anchor_rounds": more["anchor"], "anchor": statistics.median(more["anchor"])})

    def missing(self, figure, reason):
        self.lines.append({"figure": figure, "verdict": "NOT MEASURED", "reason": reason})

    def failed(self):
        return [line for line in self.lines if line["verdict"] in ("MISSED", "NOT MEASURED")]

    def print(self):
        print(f"\n{'figure':<44}{'ours':>10}{'anchor':>10}  {'unit':<6}{'ratio':>6}   {'target':<21}anchor")
        for line in self.lines:
            if "reason" in line:
                print(f"{line['figure']:<44}NOT MEASURED: {line['reason']}")
                continue
            name = f"{line['figure']}. {line['what']}"
            print(f"{name:<44}{line['ours']:>10.2f}{line['anchor']:>10.2f}  {line['unit']:<6}{line['ratio']:>6.2f}   "
                  f"{self._target(line):<21}{line['anchor_name']}")
        for note in self.notes:
            print(note)

    @staticmethod
    def _target(line):
        if line["target"] is None:
            return "-"
        form = {"ratio": "{:.2f} x", "difference": "+{:.2f} " + line["unit"], "value": "{:.2f} " + line["unit"]}
        return (">= " if line["at_least"] else "<= ") + form[line["held_kind"]].format(line["target"]) + " " + line["verdict"]


class Numbers:
    """Telephone numbers that no call had before: a statement sends a repeat once."""

    def __init__(self):
        self.next = 6281000000000

    def take(self, count):
        first = self.next
        self.next += count
        return first


class Bench:
    """The place, the service and what has been called so far."""

    def __init__(self, arguments, place):
        self.programs, self.rounds, self.place = Path(arguments.programs), arguments.rounds, place
        self.http_extension, self.pg_net = arguments.http_extension, arguments.pg_net
        self.drained, self.steady = arguments.drained, arguments.steady
        self.table, self.numbers = Table(), Numbers()
        self.certificates = stage.Certificates(place)
        self.service = stage.Service(place, self.certificates)
        self.awake = stage.keep_awake(stage.OTHER_CPU)
        self.sent = {"kept": 0, "closing": 0}
        self.views = {}

    def left_out(self, figure, anchor, option):
        """An anchor that the user brings, and has not brought."""
        self.table.notes.append(f"{figure}. left out: {anchor} (see {option})")

    def url(self, name, host="127.0.0.1"):
        return f"https://{host}:{getattr(self.service, name)}"

    def server(self, name, **options):
        return stage.Server(self.place, **{"name": f"server-{name}", "endpoint": self.url("kept"),
                                           "ca_file": self.certificates.ca_file, **options})

    def system_view(self, kind):
        """The system's certificates as of this kind; laid out once."""
        if kind not in self.views:
            ca_path, ca_file, _ = stage.run(self.programs / "bare", "system").splitlines()
            self.views[kind] = stage.SystemView(self.place, kind, self.certificates, ca_path, ca_file)
        return self.views[kind]

    def bare(self, name):
        return stage.Bare(self.programs / "bare", "file", self.certificates.ca_file, self.url(name))

    def sql_calls(self, session, count, name, function="start_verification"):
        """(wall, CPU) of one call, in nanoseconds."""
        first = self.numbers.take(count)
        answer, wall, cpu = session.timed(CALLS.format(first=first, last=first + count - 1, function=function)
                                          .replace("\n", " "))
        self.sent[name] += count
        if answer != str(count):
            raise CannotMeasure(f"{answer} of {count} calls of {function} succeeded")
        return wall / count, cpu / count

    def bare_calls(self, bare, count, name):
        self.sent[name] += count
        return tuple(spent / count for spent in bare.calls(count, self.numbers.take(count)))

    def side_by_side(self, runners, count):
        """For each runner, its (wall, CPU) of each round."""
        results = [[] for _ in runners]
        for _ in range(self.rounds):
            for runner, result in zip(runners, results):
                runner(SETTLING_CALLS)
                result.append(runner(count))
        return results

    def check_log(self, name):
        """The service must have had every call once, or what was measured is something else."""
        log = self.service.log(name)
        if len(log) != self.sent[name]:
            raise CannotMeasure(f"the service had {len(log)} requests in place of {self.sent[name]}")
        if len({line[3] for line in log}) != len(log):
            raise CannotMeasure("the service had a request twice")
        if any(line[2] != "200" for line in log):
            raise CannotMeasure("the service answered with something else than 200")
        return log


def microseconds(results, part):
    return [result[part] / 1000 for result in results]


def compare_times(table, figure, what, ours, anchor, anchor_name, wall_target, cpu_target):
    for part, name, target in ((0, "wall", wall_target), (1, "CPU", cpu_target)):
        table.compare(figure, f"{what}, {name}", "us", microseconds(ours, part), microseconds(anchor, part),
                      anchor_name, target)


# --- the figures


def warm_calls(bench):
    """1: one call on a connection that is open."""
    session, bare = bench.server("warm").session(), bench.bare("kept")
    ours, anchor = bench.side_by_side([lambda count: bench.sql_calls(session, count, "kept"),
                                       lambda count: bench.bare_calls(bare, count, "kept")], WARM_CALLS)
    compare_times(bench.table, "1", "warm call", ours, anchor, "bare libcurl", 1.15, 1.10)


def scripted_calls(bench):
    """2: the same against what one would write without pnvs."""
    server = bench.server("scripted")
    for script in ["scripted.sql"] + (["scripted_http.sql"] if bench.http_extension else []):
        server.sql("-v", "host=127.0.0.1", "-v", f"port={bench.service.kept}",
                   "-v", f"ca_file={bench.certificates.ca_file}", "-f", ROOT / script)
    session, runners = server.session(), []
    names = ["start_verification", "start_by_python"] + (["start_by_http"] if bench.http_extension else [])
    if not bench.http_extension:
        bench.left_out("2", 'the extension "http"', "--http-extension")
    else:
        session.ask(f"SET http.curlopt_cainfo = '{bench.certificates.ca_file}' \\; SET http.keepalive = on \\; SELECT 1")
    for name in names:
        runners.append(lambda count, name=name: bench.sql_calls(session, count, "kept", name))
    ours, *others = bench.side_by_side(runners, SCRIPTED_CALLS)
    for other, name in zip(others, ("PL/pgSQL, pgcrypto, plpython3u", "PL/pgSQL, pgcrypto, http")):
        compare_times(bench.table, "2", "warm call", ours, other, name, 0.5, 0.5)


def new_connections(bench):
    """3: one call on a new connection, within a session that has called before."""
    session, bare = bench.server("closing", endpoint=bench.url("closing")).session(), bench.bare("closing")
    ours, anchor = bench.side_by_side([lambda count: bench.sql_calls(session, count, "closing"),
                                       lambda count: bench.bare_calls(bare, count, "closing")], NEW_CONNECTIONS)
    compare_times(bench.table, "3", "new connection", ours, anchor, "bare libcurl, TLS resumed", 1.2, 1.2)


def first_calls(bench, kind, target):
    """4: the first call of a session, with the system's own certificates.

    The service is called by its name, as in life: looking it up is a part of
    the first call.  By its address is what remains of it without.
    """
    view = bench.system_view(kind)
    ca = ("path", view.ca_path) if kind == HASHED else ("file", view.ca_file)
    by_name, by_address = bench.url("kept", stage.HOST_NAME), bench.url("kept")
    what = f"first call, {kind} of {view.count}, CPU"
    first_call_lines(bench, view, ca, [(what, by_name, True, target)] + ([] if kind == BUNDLE else [
        ("  by address", by_address, True, None), ("  the library loaded by the call", by_name, False, None)]))


def first_call_lines(bench, view, ca, variants):
    """One line for each (what, URL, whether the session has loaded the library before, target)."""
    servers = [bench.server(f"first-{len(view.kind)}-{n}", endpoint=url, ca_file=None, view=view, preload=preload)
               for n, (_, url, preload, _) in enumerate(variants)]
    ours, anchors = [[] for _ in variants], [[] for _ in variants]
    for _ in range(2 * bench.rounds):
        for server, (_, url, _, _), our, anchor in zip(servers, variants, ours, anchors):
            our.append(first_call(bench, server))
            bare = stage.Bare(bench.programs / "bare", *ca, url, view)
            anchor.append(bench.bare_calls(bare, 1, "kept")[1] / 1e6)
            bare.close()
    for (what, _, _, target), our, anchor in zip(variants, ours, anchors):
        bench.table.limit("4", what, "ms", our, anchor, "bare libcurl, first call", target)
    for server in servers:
        server.stop()


def first_call(bench, server):
    """CPU of the backend, in milliseconds."""
    session = server.session()
    cpu = bench.sql_calls(session, 1, "kept")[1] / 1e6
    session.close()
    return cpu


def signatures(bench):
    """5: a signature beside OpenSSL's part of it."""
    process = stage.start([bench.programs / "signing", 4 * bench.rounds, SIGNATURES], stage.MEASURED_CPU,
                          text=True, stdout=stage.subprocess.PIPE)
    rounds = [tuple(float(value) / 1000 for value in line.split()) for line in process.communicate()[0].splitlines()]
    if process.returncode != 0:
        raise CannotMeasure("signing failed")
    bench.table.exceed("5", "signature, CPU", "us", [ours for ours, _ in rounds], [openssl for _, openssl in rounds],
                       "OpenSSL: two digests, one HMAC", 1.0)


FIGURES = {
    "1": [warm_calls],
    "2": [scripted_calls],
    "3": [new_connections],
    "4": [lambda bench: first_calls(bench, HASHED, 3.0), lambda bench: first_calls(bench, BUNDLE, None)],
    "5": [signatures],
    **queue_figures.FIGURES,
    **enqueue_figures.FIGURES,
    **flatness_figures.FIGURES,
    **instruction_figures.FIGURES,
    **guard_figures.FIGURES,
    **verification_figures.FIGURES,
}
for _figure, _measures in pg_net_figures.FIGURES.items():
    FIGURES[_figure] = FIGURES[_figure] + _measures


def check_service(bench):
    """Looks, once everything has been measured, whether the service had what was meant."""
    bench.service.stop()
    stage.end(bench.awake)
    kept = bench.check_log("kept")
    opened = sum(line[0] == "1" for line in kept)
    bench.table.notes.append(f"kept connections: {len(kept)} requests on {opened}")
    closing = bench.check_log("closing")
    resumed = sum(line[1] == "r" for line in closing)
    if closing:
        bench.table.notes.append(f"new connections: {len(closing)}, of which {resumed} resumed their TLS session")
        if resumed < len(closing) - 2:
            raise CannotMeasure(f"only {resumed} of {len(closing)} new connections resumed their TLS session")


def attempt(table, name, measure, *arguments):
    try:
        measure(*arguments)
    except CannotMeasure as reason:
        table.missing(name, str(reason))


def machine(bench):
    """What the figures were measured on."""
    libraries = stage.run(bench.programs / "bare", "system").splitlines()[2]
    return {"processors": len(stage.CPUS), "system": "Linux " + ".".join(platform.release().split(".")[:2]), "load": os.getloadavg()[0],
            "postgresql": stage.run("pg_config", "--version").strip(), "libcurl": libraries,
            "nginx": stage.subprocess.run(["nginx", "-v"], text=True, capture_output=True, check=False)
                          .stderr.partition("/")[2].strip()}


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("json", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="".join(FIGURES))
    parser.add_argument("--drained", type=int, default=100000)
    parser.add_argument("--steady", type=int, default=600)
    parser.add_argument("--http-extension", action="store_true")
    parser.add_argument("--pg-net", action="store_true")
    arguments = parser.parse_args()
    if not set(arguments.only) <= set(FIGURES) or not arguments.only or arguments.rounds < 1:
        parser.error("there are the figures " + " ".join(FIGURES) + ", and one round at least")
    return arguments


def main():
    arguments = parse_arguments()
    os.sched_setaffinity(0, stage.OTHER_CPU)
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(arguments, Path(place))
        facts = machine(bench)
        print(", ".join(f"{name} {value}" for name, value in facts.items()))
        for figure in arguments.only:
            for measure in FIGURES[figure]:
                attempt(bench.table, figure, measure, bench)
        attempt(bench.table, "service", check_service, bench)
    bench.table.print()
    with open(arguments.json, "w", encoding="ascii") as out:
        json.dump({"machine": facts, "rounds": arguments.rounds, "figures": bench.table.lines,
                   "notes": bench.table.notes, "series": bench.table.series}, out, indent=1)
        out.write("\n")
    sys.exit(1 if bench.table.failed() else 0)


main()
