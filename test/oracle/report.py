"""Assertions that print lines of TAP and, at the end, "N passed, N failed"."""


class Report:
    def __init__(self):
        self._passed = self._failed = 0

    def ok(self, holds, sentence, *details):
        """The details are shown where it does not hold."""
        number = self._passed + self._failed + 1
        print(f"{'ok' if holds else 'not ok'} {number} - {sentence}", flush=True)
        if holds:
            self._passed += 1
        else:
            self._failed += 1
            self.note(*details)
        return holds

    def equal(self, found, expected, sentence):
        return self.ok(found == expected, sentence, f"     found: {found!r}", f"  expected: {expected!r}")

    def note(self, *lines):
        for line in lines:
            print(f"# {line}", flush=True)

    def close(self):
        """The exit status."""
        print(f"1..{self._passed + self._failed}")
        print(f"{self._passed} passed, {self._failed} failed", flush=True)
        return 1 if self._failed or not self._passed else 0
