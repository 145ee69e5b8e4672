#!/usr/bin/env python3
"""to_c.py: the known answers of signing as a C header for the unit tests.

    test/vectors/to_c.py test/vectors/sign_v3.json [MORE.json ...] build/unit/vectors.h

The canonical request's text and the list of signed headers, which the vectors
do not spell out, are written here from the published description, by code that
shares nothing with the extension's.  Each case's answers must follow from them:
a fault in the vectors stops the build.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"
REQUIRED = {"name", "source", "access_key_id", "access_key_secret", "method", "host", "action", "version",
            "date", "nonce", "query", "canonical_query", "hashed_canonical_request", "signature"}
OPTIONAL = {"security_token"}
TEXTS = ("name", "access_key_id", "access_key_secret", "method", "host", "action", "version", "date", "nonce",
         "security_token", "canonical_query", "canonical_request", "hashed_canonical_request", "signed_headers",
         "signature")

HEAD = """\
/* Made from {source} by test/vectors/to_c.py: do not edit. */
#ifndef VECTORS_H
#define VECTORS_H

#include "core/signature.h"

struct signature_vector
{{
{fields}
	int			nparameters;
	PnvsQueryParameter parameters[{nparameters}];
}};

static const struct signature_vector signature_vectors[] = {{
"""


def c_string(text):
    """Bytes outside of ASCII as three octal digits, which nothing that follows can lengthen."""
    if text is None:
        return "0"
    plain = {*range(0x20, 0x7F)} - {*b'"\\?'}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def canonical_request(case):
    headers = {
        "host": case["host"],
        "x-acs-action": case["action"],
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-acs-date": case["date"],
        "x-acs-signature-nonce": case["nonce"],
        "x-acs-version": case["version"],
    }
    if case.get("security_token") is not None:
        headers["x-acs-security-token"] = case["security_token"]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(case["query"].items()))
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    text = "\n".join((case["method"], "/", query, lines, names, headers["x-acs-content-sha256"]))
    return query, text, names


def completed(case):
    """The case with what the vectors do not spell out; its answers are proved on the way."""
    keys = set(case)
    if not REQUIRED <= keys <= REQUIRED | OPTIONAL:
        raise ValueError(f"{case.get('name')}: missing {sorted(REQUIRED - keys)}, "
                         f"not known {sorted(keys - REQUIRED - OPTIONAL)}")
    query, request, names = canonical_request(case)
    request_hash = hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(case["access_key_secret"].encode(), f"{ALGORITHM}\n{request_hash}".encode(), "sha256").hexdigest()
    for what, found in (("canonical_query", query), ("hashed_canonical_request", request_hash), ("signature", signature)):
        if found != case[what]:
            raise ValueError(f"{case['name']}: {what} is {case[what]!r}, but follows as {found!r}")
    return {**case, "canonical_request": request, "signed_headers": names,
            "security_token": case.get("security_token")}


def rows(case):
    yield "\t{"
    for text in TEXTS:
        yield f"\t\t.{text} = {c_string(case[text])},"
    yield f"\t\t.nparameters = {len(case['query'])},"
    yield "\t\t.parameters = {"
    for name, value in case["query"].items():
        yield f"\t\t\t{{{c_string(name)}, {c_string(value)}}},"
    yield "\t\t},"
    yield "\t},"


def read(source):
    try:
        cases = [completed(case) for case in json.loads(source.read_text())["cases"]]
    except ValueError as error:
        sys.exit(f"{source}: {error}")
    if not cases:
        sys.exit(f"{source}: no cases")
    return cases


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: to_c.py VECTORS.json [...] HEADER.h")
    *sources, target = map(Path, sys.argv[1:])
    cases = [case for source in sources for case in read(source)]
    head = HEAD.format(source=", ".join(source.name for source in sources),
                       nparameters=max(1, *(len(case["query"]) for case in cases)),
                       fields="\n".join(f"\tconst char *{text};" for text in TEXTS))
    body = "\n".join(line for case in cases for line in rows(case))
    target.write_text(f"{head}{body}\n}};\n\n#endif\t\t\t\t\t\t\t/* VECTORS_H */\n")


main()
