#!/usr/bin/env python3
"""spellings_to_c.py: the spellings of phone numbers as a C header for the unit tests.

    test/vectors/spellings_to_c.py test/vectors/spellings.json build/unit/spellings.h

test/t/025_numbers.pl reads the same file.
"""

import json
import sys
from pathlib import Path

HEAD = """\
/* Made from {source} by test/vectors/spellings_to_c.py: do not edit. */
#ifndef SPELLINGS_H
#define SPELLINGS_H

#include "core/phone_number.h"

static const struct
{{
	const char *what;
	const char *text;
	const char *digits;
	PnvsPhoneNumberFault fault;
}}			spellings[] = {{
"""


def c_string(text):
    """Bytes outside of ASCII as three octal digits, which nothing that follows can lengthen."""
    plain = {*range(0x20, 0x7F)} - {*b'"\\?'}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def rows(spellings):
    for what, text, result in spellings:
        taken = result.isdigit()
        yield (f"\t{{{c_string(what)}, {c_string(text)}, {c_string(result if taken else '')}, "
               f"PNVS_PHONE_NUMBER_{'OK' if taken else result}}},")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: spellings_to_c.py SPELLINGS.json HEADER.h")
    source, target = map(Path, sys.argv[1:])
    body = "\n".join(rows(json.loads(source.read_text())["spellings"]))
    target.write_text(f"{HEAD.format(source=source.name)}{body}\n}};\n\n#endif\t\t\t\t\t\t\t/* SPELLINGS_H */\n")


main()
