#!/usr/bin/env python3
"""reports.py: what the sanitizers or valgrind reported, each report once.

    reports.py FOLDER [--expect TEXT]

Reads every file in FOLDER. A report is ours where one of its frames lies in
pnvs.so, other than a hook that only hands on. Ours count, and so do those of the
sanitizers that are no leaks, whosever they are: nothing else is built with them.
Prints the reports that count, and how many others there were; the exit status is
1 where one counts.

With --expect: prints nothing, and the exit status is 0 where a report of ours
has the text.
"""

import argparse
import collections
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# The hooks that every statement runs through make nothing ours, unless it happens right in them.
OURS = re.compile(r"^ +#?\d+ (?!(?:follow_(?:run|finish|utility)|on_utility) ).*\bpnvs\.so\b|^ +#?0 .*\bpnvs\.so\b", re.MULTILINE)
SANITIZER_START = re.compile(r"^(==\d+==ERROR: |(Direct|Indirect) leak of |\S+: runtime error: )", re.MULTILINE)
LEAK = re.compile(r"(Direct|Indirect) leak of ")
VALGRIND_ERROR = re.compile(r"<error>.*?</error>", re.DOTALL)
VOLATILE = re.compile(r"0x[0-9a-f]+|==\d+==|\bpid \d+|\bT\d+\b")


def sanitizer_reports(text):
    """(report, whether it counts)"""
    starts = [match.start() for match in SANITIZER_START.finditer(text)]
    for start, end in zip(starts, starts[1:] + [len(text)]):
        report = text[start:end]
        if "ERROR: LeakSanitizer: detected memory leaks" in report:
            continue                # the leaks follow, each by itself
        ours = OURS.search(report) is not None
        if LEAK.match(report):
            yield report.split("\n\n")[0], ours
        else:
            yield report.split("\nShadow bytes")[0], True


def frame_text(number, frame):
    obj, function = frame.findtext("obj", "?"), frame.findtext("fn", "?")
    source = frame.findtext("file")
    where = f"{source}:{frame.findtext('line')}" if source else ""
    return f"    {number} {function} {where} ({obj})"


def valgrind_reports(text):
    for match in VALGRIND_ERROR.finditer(text):
        error = ElementTree.fromstring(match.group())
        lines = []
        for part in error:
            if part.tag in ("what", "auxwhat"):
                lines.append(part.text)
            elif part.tag in ("xwhat", "xauxwhat"):
                lines.append(part.findtext("text"))
            elif part.tag == "stack":
                lines += [frame_text(number, frame) for number, frame in enumerate(part.iter("frame"))]
        report = "\n".join(lines)
        # what still has a pointer into its middle is mostly no leak
        maybe = error.findtext("kind") in ("Leak_PossiblyLost", "Leak_StillReachable")
        yield report, not maybe and OURS.search(report) is not None


def read(folder):
    """Counts of the reports that count, and of the others."""
    counting, others = collections.Counter(), collections.Counter()
    shown = {}
    for path in sorted(Path(folder).iterdir()):
        text = path.read_text(errors="replace")
        reports = valgrind_reports(text) if text.startswith("<?xml") else sanitizer_reports(text)
        for report, counts in reports:
            key = VOLATILE.sub("?", report)
            shown.setdefault(key, report)
            (counting if counts else others)[key] += 1
    return ([(shown[key], number) for key, number in counting.most_common()], sum(others.values()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--expect")
    arguments = parser.parse_args()
    reports, others = read(arguments.folder)

    if arguments.expect:
        found = any(arguments.expect in report and OURS.search(report) for report, _ in reports)
        sys.exit(0 if found else 1)
    for report, number in reports:
        print(f"--- {number} times:\n{report.rstrip()}\n")
    files = sum(1 for _ in Path(arguments.folder).iterdir())
    print(f"{len(reports)} different reports that count; {others} of others' code; {files} files")
    sys.exit(1 if reports else 0)


main()
