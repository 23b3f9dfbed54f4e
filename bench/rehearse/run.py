"""PURE: the results of a run: figures, latencies and curves, as one JSON document, and the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from bench.figures import Histogram
from gateway.rehearsal.judge import BrokenGuarantee

LAG_MAX_S = 0.25
"""A load generator that is later than this at p99 measures itself, in s."""
BUSY_MAX = 0.95
"""The same for the part of a core that it uses."""


class Run(msgspec.Struct):
    """One run of a scenario. Times in seconds since its start, latencies in seconds."""

    scenario: str
    about: str
    started_at: str
    environment: dict[str, Any]
    options: dict[str, Any]
    seconds: float = 0.0
    figures: dict[str, float] = {}
    """Single figures, by the name that is used in service levels."""
    latencies: dict[str, dict[str, float]] = {}
    histograms: dict[str, str] = {}
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    """Plot → line → points."""
    marks: list[tuple[float, str]] = []
    outcomes: dict[str, int] = {}
    broken: list[BrokenGuarantee] = []
    invalid: list[str] = []
    """Why the figures are meaningless: for example, a load generator was too slow."""
    verdict: list["Level"] = []

    def add_point(self, plot: str, name: str, at: float, value: float) -> None:
        """Add a point to a curve of a plot."""
        self.curves.setdefault(plot, {}).setdefault(name, []).append((round(at, 2), round(value, 4)))

    @property
    def go(self) -> bool:
        """Whether the run is valid, no guarantee is broken and every service level is kept."""
        return not self.invalid and not self.broken and all(level.kept for level in self.verdict)

    def figure(self, name: str) -> float | None:
        """Return a figure by its name in service levels, such as `lost` or `receipt.p99`."""
        what, _, part = name.partition(".")
        if name in self.figures:
            return self.figures[name]
        return self.latencies.get(what, {}).get(part)


class Level(msgspec.Struct, frozen=True):
    """A service level: the largest allowed value of a figure; `found` is None if the run has no such figure."""

    name: str
    limit: float
    found: float | None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its limit; a figure that was not measured is."""
        return self.found is None or self.found <= self.limit


DEFAULT_LEVELS = {
    "receipt.p99": 1.0,
    "subscriber.p99": 2.0,
    "reader.p99": 2.0,
    "lost": 0.0,
    "unanswered": 0.0,
    "behind": 0.0,
    "differing": 0.0,
}


def read_level(text: str) -> tuple[str, float]:
    """Read `receipt.p99=250ms`, `subscriber.p99=1s` or `lost=0`. Raises ValueError."""
    name, equals, value = text.partition("=")
    for unit, factor in (("ms", 1e-3), ("s", 1.0), ("", 1.0)):
        if value.endswith(unit):
            number = value.removesuffix(unit) if unit else value
            try:
                limit = float(number) * factor
            except ValueError:
                break
            if equals and name and limit >= 0:
                return name, limit
            break
    raise ValueError(f"{text!r} is not a service level; use name=limit, such as receipt.p99=250ms or lost=0")


def judge_levels(run: Run, levels: Mapping[str, float]) -> list[Level]:
    """Compare the figures of a run with service levels."""
    return [Level(name, limit, run.figure(name)) for name, limit in levels.items()]


def over_time(
    points: Iterable[tuple[float, float]], percentiles: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    """Return percentiles of the latencies in each second; `points` are times and latencies, in seconds."""
    seconds: dict[int, Histogram] = {}
    for at, value in points:
        seconds.setdefault(int(at), Histogram()).add(value)
    return {
        f"p{percentile:g}": [
            (float(at), histogram.at(percentile)) for at, histogram in sorted(seconds.items())
        ]
        for percentile in percentiles
    }


def per_second(times: Iterable[float]) -> list[tuple[float, float]]:
    """Return how many times fall into each second, zeros in between included."""
    counts: dict[int, int] = {}
    for at in times:
        counts[int(at)] = counts.get(int(at), 0) + 1
    if not counts:
        return []
    return [(float(second), float(counts.get(second, 0))) for second in range(min(counts), max(counts) + 1)]


def queue_of(exposition: str) -> tuple[float, float]:
    """Read from the metrics of a gateway how many reports wait in all processes, and the age of the oldest in s."""
    found: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(exposition):
        found[family.name] = [sample.value for sample in family.samples]
    oldest_s = max(found.get("valgnatt_waiting_oldest_seconds", ()), default=0.0)
    return sum(found.get("valgnatt_waiting_reports", ())), oldest_s
