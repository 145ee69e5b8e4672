"""instruction_figures: what a call costs whatever the machine's mood: instructions.

A processor's time for the same call differs by a tenth from one minute to the
next on a machine that is shared, its instructions by a thousandth.  valgrind
counts those of the process, the kernel's not.
"""

from pathlib import Path

import stage

COUNTED_CALLS = 200
ROUNDS = 3


class Counted:
    """A view of nothing in particular, in which a process's instructions can be counted."""

    def __init__(self, place):
        self.place = place

    def wrap(self, command):
        return ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes",
                f"--log-file={self.place}/valgrind.log",
                f"--callgrind-out-file={self.place}/instructions.%p", *command]

    def count(self, pid, run):
        """The instructions of a process within run()."""
        self._tell(pid, "-i", "on")
        run()
        self._tell(pid, "-i", "off")
        known = self._counts(pid)
        self._tell(pid, "-d")
        stage.wait_until(lambda: len(self._counts(pid)) > len(known), "valgrind's count")
        return next(count for file, count in self._counts(pid).items() if file not in known)

    @staticmethod
    def _tell(pid, *what):
        stage.run("callgrind_control", *what, pid)

    def _counts(self, pid):
        """By file; each begins with what was not in the one before."""
        counts = {}
        for file in Path(self.place).glob(f"instructions.{pid}.*"):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith("totals: "):
                    counts[file.name] = int(line.split()[1])
        return counts


def warm_call_instructions(bench):
    """d: those of one call on a connection that is open."""
    place = bench.place / "counted"
    place.mkdir()
    counted = Counted(place)
    server = bench.server("counted", view=counted)
    session, bare = server.session(), stage.Bare(bench.programs / "bare", "file", bench.certificates.ca_file,
                                                 bench.url("kept"), counted)
    results = {session.pid: [], bare.process.pid: []}
    for pid, run in ((session.pid, lambda count: bench.sql_calls(session, count, "kept")),
                     (bare.process.pid, lambda count: bench.bare_calls(bare, count, "kept"))):
        run(COUNTED_CALLS)		# what is done once is not in it
        for _ in range(ROUNDS):
            results[pid].append(counted.count(pid, lambda run=run: run(COUNTED_CALLS)) / COUNTED_CALLS / 1000)
    bench.table.compare("d", "warm call, instructions", "k", *results.values(), "bare libcurl", 1.10)
    bare.close()
    server.stop()


FIGURES = {"d": [warm_call_instructions]}
