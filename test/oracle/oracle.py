#!/usr/bin/env python3
"""oracle.py: pnvs and Alibaba Cloud's own client compared. Started by run, which installs and builds what it needs.

    oracle.py --core PROGRAM [--seed N] [--cases 5000] [--write]

    --seed   of the random requests; without it, another one each time
    --cases  how many random requests
    --write  write test/vectors/oracle_v3.json anew
"""

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
sys.path.insert(0, str(HERE.parent / "simulator"))

import exchange  # noqa: E402
import signature  # noqa: E402
from cases import Maker, epoch, fixed  # noqa: E402
from peers import STAGES, Alibaba, Core  # noqa: E402
from report import Report  # noqa: E402

SHOWN_DIFFERENCES = 3
AWKWARD_CHARACTERS = " *~+/%&=?#\U0001f600"
# Random requests, for each of those characters to be certain to occur.
ENOUGH = 1000
ABOUT = (
    "More known answers for ACS3-HMAC-SHA256, in the form of sign_v3.json, made and checked by make test-oracle. The "
    "signature is from getAuthorization() of Alibaba Cloud's JavaScript client (@alicloud/openapi-util {version}); the "
    "canonical request that is hashed here is the text that it hashes, and test/simulator/signature.py, written "
    "independently, gives the same. body is empty in all."
)
SOURCE = "Alibaba Cloud's JavaScript client"


# --- one request, signed three times

def signed_by_simulator(request, date):
    """The stages by the simulator's code; the client of its self-test composes the header."""
    headers = {
        "host": request["host"],
        "x-acs-action": request["action"],
        "x-acs-version": request["version"],
        "x-acs-date": date,
        "x-acs-signature-nonce": request["nonce"],
    }
    if request["security_token"] is not None:
        headers["x-acs-security-token"] = request["security_token"]
    body_hash = signature.sha256_hex(b"")
    headers["x-acs-content-sha256"] = body_hash
    pairs = [(name, value) for name, value in request["query"].items() if value is not None]
    canonical = signature.canonical_request(request["method"], "/", pairs, headers, body_hash)
    text = signature.string_to_sign(canonical)
    return {
        "date": date,
        "canonical_query": signature.canonical_query(pairs),
        "canonical_request": canonical,
        "string_to_sign": text,
        "authorization": f"{signature.ALGORITHM} Credential={request['access_key_id']},"
                         f"SignedHeaders={';'.join(sorted(headers))},"
                         f"Signature={signature.sign(request['access_key_secret'], text)}",
    }


class Comparison:
    """Counts where two signers differ from the client, stage by stage."""

    def __init__(self, alibaba, core):
        self._alibaba, self._core = alibaba, core
        self._differing = {(who, stage): 0 for who in ("src/core", "the simulator") for stage in STAGES}
        self._shown = []

    def add(self, label, request):
        """The client's stages."""
        theirs = self._alibaba.sign(request)
        self._compare("src/core", label, request, self._core.sign(request), theirs)
        self._compare("the simulator", label, request, signed_by_simulator(request, theirs["date"]), theirs)
        return theirs

    def _compare(self, who, label, request, stages, theirs):
        differing = [stage for stage in STAGES if stages[stage] != theirs[stage]]
        for stage in differing:
            self._differing[who, stage] += 1
        if differing and len(self._shown) < SHOWN_DIFFERENCES:
            first = differing[0]
            self._shown.append((f"{label}, {first} of {who}: {json.dumps(request)}",
                                f"     found: {stages[first]!r}", f"  client's: {theirs[first]!r}"))

    def report(self, report, what):
        for (who, stage), count in self._differing.items():
            if (who, stage) != ("the simulator", "date"):  # it was given the client's
                report.ok(count == 0, f"{what}: {stage.replace('_', ' ')} of {who} equals the client's",
                          f"{count} differ")
        for lines in self._shown:
            report.note(*lines)


# --- the parts

def compare_random(report, alibaba, core, seed, count):
    report.note(f"seed {seed}, {count} cases")
    comparison = Comparison(alibaba, core)
    characters, tokens, ports = set(), 0, 0
    for n in range(count):
        request = Maker(seed, n).request()
        comparison.add(f"request {n} of seed {seed}", request)
        characters.update(*filter(None, request["query"].values()))
        tokens += request["security_token"] is not None
        ports += request["host"].rpartition(":")[2].isdigit()
    comparison.report(report, f"{count} random requests")
    report.note(f"{tokens} with a security token, {ports} with a port; {len(characters)} different characters")
    if count >= ENOUGH:
        report.equal(set(AWKWARD_CHARACTERS) - characters, set(), "every awkward character occurred in their values")


def detects_differences(report, alibaba, core):
    """That the comparison would notice: each field, bent for one side only, changes the signature."""
    request = dict(fixed())["token-awkward-value"]
    theirs = alibaba.sign(request)["authorization"]
    for field, bent in (("access_key_secret", "testsecreT"), ("security_token", "tok/en+1="), ("method", "GET"),
                        ("host", "localhost"), ("action", "StartVerificatioN"), ("version", "2017-07-26"),
                        ("epoch", request["epoch"] + 1), ("nonce", "0"), ("query", {"Channel": "SMS"})):
        report.ok(core.sign({**request, field: bent})["authorization"] != theirs,
                  f"another {field.replace('_', ' ')} gives another signature")


def known_answers(report, alibaba):
    """The vectors that were there before: the client must give them too."""
    for case in json.loads((VECTORS / "sign_v3.json").read_text())["cases"]:
        request = {"security_token": None, **case, "epoch": epoch(case["date"])}
        theirs = alibaba.sign(request)
        report.ok(vector(case["name"], case["source"], request, theirs) == case,
                  f"the client gives the known answer {case['name']}")


def vector(name, source, request, stages):
    """One case in the form of sign_v3.json."""
    case = {
        "name": name,
        "source": source,
        "access_key_id": request["access_key_id"],
        "access_key_secret": request["access_key_secret"],
        "security_token": request["security_token"],
        "method": request["method"],
        "host": request["host"],
        "action": request["action"],
        "version": request["version"],
        "date": stages["date"],
        "nonce": request["nonce"],
        "query": request["query"],
        "canonical_query": stages["canonical_query"],
        "hashed_canonical_request": stages["string_to_sign"].split("\n")[1],
        "signature": stages["authorization"].rpartition("=")[2],
    }
    return {key: value for key, value in case.items() if value is not None}


def check_vectors(report, alibaba, core, write):
    comparison = Comparison(alibaba, core)
    cases = [vector(name, SOURCE, request, comparison.add(name, request)) for name, request in fixed()]
    comparison.report(report, f"{len(cases)} fixed requests")
    version = json.loads((HERE / "package.json").read_text())["dependencies"]["@alicloud/openapi-util"]
    made = json.dumps({"about": ABOUT.format(version=version), "cases": cases}, indent=2) + "\n"
    path = VECTORS / "oracle_v3.json"
    if write:
        path.write_text(made)
        report.note(f"written: test/vectors/{path.name}, {len(cases)} cases")
    report.ok(path.exists() and path.read_text() == made,
              f"test/vectors/{path.name} is what the client computes (--write renews it)")


def check_lock_file(report):
    """Mirrors are everybody's own choice: the lock file pins versions and hashes, not hosts."""
    lock = json.loads((HERE / "package-lock.json").read_text())
    installed = {name: package for name, package in lock["packages"].items() if name}
    report.ok(not any("resolved" in package for package in installed.values()), "the lock file names no host")
    report.ok(all("integrity" in package for package in installed.values()), "the lock file hashes every package")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Compares pnvs with Alibaba Cloud's own client.")
    parser.add_argument("--core", required=True, help="sign.c, built")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10 ** 9))
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def main():
    options = parse_arguments()
    report, alibaba, core = Report(), Alibaba(), Core(options.core)
    check_lock_file(report)
    known_answers(report, alibaba)
    check_vectors(report, alibaba, core, options.write)
    detects_differences(report, alibaba, core)
    compare_random(report, alibaba, core, options.seed, options.cases)
    with tempfile.TemporaryDirectory() as folder:
        exchange.run(report, Path(folder), alibaba, core)
    for name, peer in (("client.js", alibaba), ("sign.c", core)):
        report.ok(peer.close() == 0, f"{name} ended well")
    sys.exit(report.close())


if __name__ == "__main__":
    main()
