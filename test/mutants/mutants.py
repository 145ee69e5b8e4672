"""mutants: reads the ways of breaking the code that test/mutants/run tries.

Each file TOPIC.txt of this folder holds mutants, separated by empty lines:

    host-unchecked: the certificate may be another host's
    run: tap PROVE_TESTS=test/t/003_faults.pl
    noticed: start, port tls_wronghost: SQLSTATE
    - CURLOPT_SSL_VERIFYHOST, 2L
    + CURLOPT_SSL_VERIFYHOST, 0L

These are its name and the sentence that says what is broken; the arguments of test/run that
must fail; the assertion that must fail, because others may fail by chance; a text of the code,
and the text that replaces it.  Further "noticed" lines are alternatives, if the contents of
memory decide which assertion fails.  A text may have several lines; without a "+" it is removed;
and a mutant may replace several texts.

A text must occur exactly once in the sources, wherever that is.  White space and comments
between its words do not count.  So code can be moved and laid out again at no cost.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("src/**/*.[ch]", "pnvs--*.sql", "test/vectors/*")
MUTANT = re.compile(r"(?P<name>[a-z0-9-]+): (?P<what>.+)\n"
                    r"run: (?P<run>(?:unit|simulator|regress|tap)(?: [A-Z_]+=\S+)*)\n"
                    r"(?P<noticed>(?:noticed: .+\n)+)"
                    r"(?P<pieces>(?:(?:- .+\n)+(?:\+ .+\n)*)+)")
PIECE = re.compile(r"((?:- .+\n)+)((?:\+ .+\n)*)")
GAP = r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/)+"


class Fault(Exception):
    pass


@dataclass
class Mutant:
    place: str
    topic: str
    name: str
    what: str
    run: list
    noticed: list
    pieces: list


def texts(lines):
    """The lines without their first word."""
    return [line.partition(" ")[2] for line in lines.splitlines()]


def read_mutant(path, text, line):
    place = f"{path.relative_to(ROOT)}:{line}"
    match = MUTANT.fullmatch(text)
    if not match:
        raise Fault(f"{place}: not a mutant: a name and a sentence, run, noticed and texts")
    pieces = [("\n".join(texts(old)), "\n".join(texts(new))) for old, new in PIECE.findall(match["pieces"])]
    return Mutant(place, path.stem, match["name"], match["what"], match["run"].split(), texts(match["noticed"]), pieces)


def read_all():
    """(mutants, faults)"""
    mutants, faults = {}, []
    for path in sorted(ROOT.glob("test/mutants/*.txt")):
        content = path.read_text().rstrip("\n") + "\n"
        for block in re.finditer(r"(?:.+\n)+", content):
            if block[0].startswith("#"):
                continue
            try:
                mutant = read_mutant(path, block[0], content.count("\n", 0, block.start()) + 1)
                if mutant.name in mutants:
                    raise Fault(f"{mutant.place}: another mutant has the name {mutant.name}")
                mutants[mutant.name] = mutant
            except Fault as fault:
                faults.append(str(fault))
    return list(mutants.values()), faults


def read_sources():
    return {path: path.read_text() for pattern in SOURCES for path in sorted(ROOT.glob(pattern))}


def broken(mutant, sources):
    """The files that the mutant changes, with their new text."""
    changed = {}
    for old, new in mutant.pieces:
        pattern = re.compile(GAP.join(map(re.escape, old.split())))
        found = [(path, text, match) for path, text in {**sources, **changed}.items() for match in pattern.finditer(text)]
        if len(found) != 1:
            raise Fault(f"{mutant.place}: {mutant.name}: found {len(found)} times in the sources: {old}")
        path, text, match = found[0]
        changed[path] = text[:match.start()] + new + text[match.end():]
    return changed
