#!/usr/bin/env python3
"""coverage.py: adds up what gcov counted, over the library and the unit tests.

    coverage.py FOLDER MIN_PERCENT

Run where the objects were built. Prints a table, and writes into FOLDER the table,
the lines that were not run, and the sources with their counts. The exit status is 0
where MIN_PERCENT of all lines were run.
"""

import collections
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def gcov(data):
    """gcov's own account of one object, as the files that it was made of."""
    with tempfile.TemporaryDirectory() as folder:
        # gcov looks for the sources where it runs, and writes there
        subprocess.run(["gcov", "--json-format", "--branch-probabilities", str(data.resolve())],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for path in Path(folder).glob("*.gz"):
            yield from json.loads(gzip.decompress(path.read_bytes()))["files"]


def collect(root):
    """Counts by file and line, and the function that a line is in."""
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    functions = collections.defaultdict(dict)
    # by the notes: an object of which nothing was run has no data
    for notes in sorted(root.rglob("*.gcno")):
        data = notes.with_suffix(".gcda")
        for file in gcov(data if data.exists() else notes):
            name = file["file"].removeprefix("./").removeprefix(f"{root}/")
            if not name.startswith("src/"):
                continue
            for line in file["lines"]:
                counts[name][line["line_number"]] += line["count"]
                functions[name][line["line_number"]] = line.get("function_name", "")
    return counts, functions


def row(name, covered, total):
    return f"{name:<32} {covered:>6} {total:>6} {100 * covered / total:>7.1f}"


def make_table(counts):
    """The table's lines, and the total in per cent."""
    table = [f"{'file':<32} {'run':>6} {'lines':>6} {'%':>7}"]
    all_covered = all_lines = 0
    for name in sorted(counts):
        covered = sum(count > 0 for count in counts[name].values())
        table.append(row(name, covered, len(counts[name])))
        all_covered += covered
        all_lines += len(counts[name])
    if not all_lines:
        sys.exit("gcov has counted nothing")
    table.append(row("total", all_covered, all_lines))
    return table, 100 * all_covered / all_lines


def make_uncovered(counts, functions):
    for name in sorted(counts):
        source = Path(name).read_text().splitlines()
        shown = None
        for line in sorted(counts[name]):
            if counts[name][line]:
                continue
            if functions[name][line] != shown:
                shown = functions[name][line]
                yield f"\n{name}: {shown}()"
            yield f"{line:>6}: {source[line - 1]}"


def write_sources(counts, folder):
    for name in counts:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(
            f"{counts[name].get(number, ''):>9}  {text}\n"
            for number, text in enumerate(Path(name).read_text().splitlines(), 1)))


def main():
    folder, minimum = Path(sys.argv[1]), float(sys.argv[2])
    counts, functions = collect(Path.cwd())
    table, percent = make_table(counts)
    print("\n".join(table))
    (folder / "table.txt").write_text("\n".join(table) + "\n")
    (folder / "uncovered.txt").write_text("\n".join(make_uncovered(counts, functions)).lstrip() + "\n")
    write_sources(counts, folder)
    sys.exit(0 if percent >= minimum else 1)


main()
