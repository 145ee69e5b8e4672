"""soak_checks: what the phones of people have got, and what the service was asked about it.

service_checks.c says what its log has.
"""

import array
import threading
import time
from collections import Counter, namedtuple

WRONG, APPROVED, SPENT, NOT_JUDGED, UNKNOWN = range(5)
Check = namedtuple("Check", "number serial code verdict at_s")


def code_of(number, nth):
    """The code of a number's message, from 1; the same as in service_checks.c."""
    return (number * 7919 + nth * 104729) % 10 ** 6


def checks(service):
    """In the order in which they came."""
    flat = array.array("q", service.log_file.with_name(service.log_file.name + ".checks").read_bytes())
    return [Check(*flat[at:at + 4], flat[at + 4] / 1e9) for at in range(0, len(flat), 5)]


class Mail(threading.Thread):
    """How many messages each phone has got, by the service's log."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.file, self.counts, self.stopping = open(service.log_file, "rb"), Counter(), threading.Event()		# pylint: disable=consider-using-with

    def run(self):
        while not self.stopping.is_set():
            self.read()
            time.sleep(0.01)

    def read(self):
        more = self.file.read()
        self.file.seek(-(len(more) % 16), 1)
        for number in array.array("q", more[:len(more) // 16 * 16])[0::2]:
            self.counts[number] += 1

    def messages(self, number):
        return self.counts[number]
