#!/usr/bin/env python3
"""charts: draws the charts of doc/measured from what test/bench/run and test/bench/soak wrote.

    charts.py FOLDER        reads FOLDER/bench.json and FOLDER/soak.json, writes FOLDER/*.svg

Nothing but what is in the files goes into the charts; the same files give the
same charts.
"""

import json
import math
import sys
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 76, 50
COLOURS = ("#1f5fa8", "#b3541e", "#4a7d3a", "#777777")
TEXT = 'font-family="sans-serif" font-size="12" fill="#222222"'


class Axis:
    """Where a value stands between two edges of the chart."""

    def __init__(self, low, high, begin, end, logarithmic=False):
        self.logarithmic = logarithmic
        self.low, self.high = self._scaled(low), self._scaled(high)
        self.begin, self.end = begin, end

    def _scaled(self, value):
        return math.log10(value) if self.logarithmic else value

    def at(self, value):
        share = (self._scaled(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def nice_ticks(high, about=5):
    """Round values from 0 up to what is just above high."""
    step = 10 ** math.floor(math.log10(high / about))
    step *= next(factor for factor in (1, 2, 5, 10) if high / (step * factor) <= about)
    count = math.ceil(high / step)
    return [n * step for n in range(count + 1)]


class Chart:
    """Lines over two axes, with a legend."""

    def __init__(self, title, x_title, y_title, x_ticks, y_ticks, logarithmic=False):
        self.x = Axis(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT, logarithmic)
        self.y = Axis(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
        self.parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
                      f'<text x="{LEFT}" y="20" {TEXT} font-weight="bold">{escape(title)}</text>']
        for tick in x_ticks:
            self._text(self.x.at(tick), HEIGHT - BOTTOM + 18, f"{tick:,g}", "middle")
        for tick in y_ticks:
            self._rule(LEFT, self.y.at(tick), WIDTH - RIGHT, self.y.at(tick), "#dddddd")
            self._text(LEFT - 8, self.y.at(tick) + 4, f"{tick:,g}", "end")
        self._text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_title, "middle")
        self._text(8, TOP - 12, y_title, "start")
        self.legends = 0

    def line(self, name, points, dashed=False):
        colour = COLOURS[self.legends % len(COLOURS)]
        path = " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in points)
        dashes = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        at = LEFT + 190 * self.legends
        self.parts.append(f'<line x1="{at}" y1="38" x2="{at + 24}" y2="38" stroke="{colour}" stroke-width="2"{dashes}/>')
        self._text(at + 30, 42, name, "start")
        self.legends += 1

    def mark(self, x, name):
        """A moment at which something happened."""
        self.parts.append(f'<line x1="{self.x.at(x):.1f}" y1="{TOP}" x2="{self.x.at(x):.1f}" y2="{HEIGHT - BOTTOM}" '
                          f'stroke="#cc3333"><title>{escape(name)}</title></line>')

    def _rule(self, x1, y1, x2, y2, colour):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>')

    def _text(self, x, y, text, anchor):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {TEXT} text-anchor="{anchor}">{escape(text)}</text>')

    def write(self, file):
        file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                        f'height="{HEIGHT}">\n' + "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def throughput(bench, name, title, file):
    """Rows a second by window: ours, the bare loop, and what can be at all."""
    rows = bench["series"][name]
    windows = [row[0] for row in rows]
    chart = Chart(title, "window: requests under way at most", "rows a second", windows,
                  nice_ticks(max(max(row[1:]) for row in rows)), logarithmic=True)
    for column, line in enumerate(("the queue", "bare libcurl multi loop", "window by latency")[:len(rows[0]) - 1], 1):
        chart.line(line, [(row[0], row[column]) for row in rows], dashed=column == 3)
    chart.write(file)


def latency(bench, file):
    """Milliseconds from COMMIT to arrival, by the share that is as fast."""
    series = bench["series"]["latency_ms"]
    chart = Chart("From the end of COMMIT to the request at the service", "percentile", "milliseconds",
                  [0, 25, 50, 75, 100], nice_ticks(max(max(values) for values in series.values())))
    for name, values in series.items():
        chart.line(name, list(enumerate(values)))
    chart.write(file)


def faults(soak, file):
    """What went in and came out by the second, and what was done to the servers meanwhile."""
    series = soak["series"]
    seconds = max(len(counts) for counts in series.values())
    chart = Chart(f"The soak, seed {soak['seed']} (red: kills, restarts, promotions)", "seconds", "messages a second",
                  nice_ticks(seconds), nice_ticks(max(max(counts) for counts in series.values())))
    for mark in soak["marks"]:
        chart.mark(mark["at"], mark["kind"])
    for name in ("enqueued", "accepted", "settled"):
        chart.line(name, list(enumerate(series[name])))
    chart.write(file)


def main():
    folder = Path(sys.argv[1])
    bench = json.loads((folder / "bench.json").read_text(encoding="ascii"))
    soak = json.loads((folder / "soak.json").read_text(encoding="ascii"))
    throughput(bench, "immediate", "Drain against a service that answers at once", folder / "drain-immediate.svg")
    throughput(bench, "slow", "Drain against a service that takes 100 ms", folder / "drain-100ms.svg")
    latency(bench, folder / "latency.svg")
    faults(soak, folder / "drain-under-faults.svg")


main()
