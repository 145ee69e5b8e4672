"""tap.py: assertions as lines of TAP, for the clients in Python."""

import sys
import time

DEADLINE_S = 20

count = 0
failed = 0


def ok(condition, sentence, details=""):
    global count, failed
    count += 1
    print(f"{'ok' if condition else 'not ok'} {count} - {sentence}", flush=True)
    if not condition:
        failed += 1
        print(f"# {details}", flush=True)


def equal(got, expected, sentence):
    ok(got == expected, sentence, f"got {got!r}, expected {expected!r}")


def begins(got, expected, sentence):
    ok(str(got).startswith(expected), sentence, f"got {got!r}, expected {expected!r} ...")


def until(what, condition):
    """Waits until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


def wrong(code):
    """Another code of the same length."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def finish():
    """The plan comes last: without it, the script did not come to its end."""
    print(f"1..{count}")
    sys.exit(1 if failed else 0)
