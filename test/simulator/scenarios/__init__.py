"""Scenarios: what the service does is asked for in the ServiceSid, so that a test needs no other channel.

    sim:<name>[:<argument>…]             on every operation
    sim-start:… sim-check:… sim-search:… on this operation alone
    sim:first:<n>:<name>[:<argument>…]   on the first n calls alone with this ServiceSid and To or VerificationId
"""

import re
import threading
from collections import Counter
from dataclasses import dataclass

from gateway import Refusal
from scenarios import body, check, outcome, search, wire
from scenarios.table import Entry

ALL = outcome.TABLE | wire.TABLE | body.TABLE | check.TABLE | search.TABLE
ACTIONS = {"start": "StartVerification", "check": "CheckVerification", "search": "SearchVerification"}


@dataclass(frozen=True)
class Scenario:
    entry: Entry
    arguments: list

    @property
    def name(self):
        return self.entry.name

    @property
    def skew_seconds(self):
        """How far the service's clock is ahead: the one thing that must be known before the scenario's turn."""
        return self.arguments[0] if self.name == "skew" else 0

    def run(self, call):
        if self.entry.action not in (None, call.action):
            return call.reply()
        if self.entry.sends:
            call.carry_out()
        return self.entry.run(call, *self.arguments)


class Scenarios:
    def __init__(self):
        self._calls = Counter()
        self._lock = threading.Lock()

    def find(self, call):
        """None is the normal service. A misspelt scenario is refused, lest a test pass for the wrong reason."""
        syntax = re.fullmatch("sim(?:-(start|check|search))?:(?:first:([0-9]+):)?(.*)", call.service_sid, re.DOTALL)
        if not syntax:
            return None
        only, times, rest = syntax.groups()
        if only and ACTIONS[only] != call.action:
            return None
        if times and self._count(call) > int(times):
            return None
        return parse(rest)

    def _count(self, call):
        subject = call.params.get("VerificationId") or call.params.get("To")
        key = (call.service_sid, call.action, subject)
        with self._lock:
            self._calls[key] += 1
            return self._calls[key]


def parse(text):
    name, *arguments = text.split(":")
    try:
        return Scenario(ALL[name], ALL[name].parse(arguments))
    except KeyError:
        raise Refusal(400, "Simulator.UnknownScenario", "The simulator knows no scenario of this name.") from None
    except ValueError as error:
        raise Refusal(400, "Simulator.BadScenario", str(error)) from None
