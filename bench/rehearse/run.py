"""PURE: what a run found: figures, latencies and curves, as one JSON document, and whether that is good enough."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram
from prometheus_client.parser import text_string_to_metric_families

from gateway.client.judge import Broken

HISTOGRAM_US = (1, 600_000_000, 3)
"""Range in microseconds and significant digits."""
LAG_MAX_S = 0.25
"""A load generator that is later than this, at p99, measures itself."""
BUSY_MAX = 0.95
"""The same for the part of a core that it took."""


class Histogram:
    """Latencies that can be merged over processes. Source: HdrHistogram, G. Tene."""

    def __init__(self) -> None:
        self._held = HdrHistogram(*HISTOGRAM_US)

    def add(self, seconds: float, count: int = 1) -> None:
        """Note a latency."""
        self._held.record_value(min(HISTOGRAM_US[1], max(1, round(seconds * 1e6))), count)

    def add_all(self, values: Iterable[float]) -> "Histogram":
        """Note some."""
        for value in values:
            self.add(value)
        return self

    def add_counts(self, counts: Mapping[int, int]) -> None:
        """Note what another process counted, by microseconds."""
        for value, count in counts.items():
            self._held.record_value(min(HISTOGRAM_US[1], max(1, value)), count)

    def __len__(self) -> int:
        return int(self._held.get_total_count())

    def at(self, percentile: float) -> float:
        """Return a percentile in seconds."""
        return float(self._held.get_value_at_percentile(percentile)) / 1e6

    def summary(self) -> dict[str, float]:
        """Return what one wants to know, in seconds."""
        if not len(self):
            return {}
        return {
            "count": len(self), "p50": self.at(50), "p90": self.at(90), "p99": self.at(99), "p999": self.at(99.9),
            "max": float(self._held.get_max_value()) / 1e6,
        }  # fmt: skip

    def encoded(self) -> str:
        """Return it whole, in HdrHistogram's own compressed form."""
        return bytes(self._held.encode()).decode()


class Run(msgspec.Struct):
    """One scenario, played once. Times in seconds since its start, latencies in seconds."""

    scenario: str
    about: str
    started_at: str
    environment: dict[str, Any]
    options: dict[str, Any]
    seconds: float = 0.0
    figures: dict[str, float] = {}
    """Single figures, by the name that a service level has."""
    latencies: dict[str, dict[str, float]] = {}
    histograms: dict[str, str] = {}
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    """Plot → line → points."""
    marks: list[tuple[float, str]] = []
    outcomes: dict[str, int] = {}
    broken: list[Broken] = []
    invalid: list[str] = []
    """Why the figures say nothing about the gateway."""
    verdict: list["Level"] = []

    @property
    def go(self) -> bool:
        """Whether every service level was held, by a run that says something."""
        return not self.invalid and not self.broken and all(level.held for level in self.verdict)

    def figure(self, name: str) -> float | None:
        """Return a figure by the name of a service level: `lost`, `receipt.p99`."""
        what, _, part = name.partition(".")
        if name in self.figures:
            return self.figures[name]
        return self.latencies.get(what, {}).get(part)


class Level(msgspec.Struct, frozen=True):
    """A service level: a figure that may not be larger; None where the run has no such figure."""

    name: str
    limit: float
    found: float | None

    @property
    def held(self) -> bool:
        """Whether it was held; what was not measured was."""
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
    raise ValueError(f"{text!r} is no service level; write name=limit, as receipt.p99=250ms or lost=0")


def judge_levels(run: Run, levels: Mapping[str, float]) -> list[Level]:
    """Hold the figures of a run against service levels."""
    return [Level(name, limit, run.figure(name)) for name, limit in levels.items()]


def over_time(
    points: Iterable[tuple[float, float]], percentiles: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    """Return percentiles of the latencies of each second; `points` are times and latencies."""
    seconds: dict[int, list[float]] = {}
    for at, value in points:
        seconds.setdefault(int(at), []).append(value)
    lines: dict[str, list[tuple[float, float]]] = {f"p{percentile:g}": [] for percentile in percentiles}
    for second, values in sorted(seconds.items()):
        values.sort()
        for percentile in percentiles:
            place = min(len(values) - 1, int(len(values) * percentile / 100))
            lines[f"p{percentile:g}"].append((float(second), values[place]))
    return lines


def per_second(times: Iterable[float]) -> list[tuple[float, float]]:
    """Return how many there were in each second, also where there were none in between."""
    counts: dict[int, int] = {}
    for at in times:
        counts[int(at)] = counts.get(int(at), 0) + 1
    if not counts:
        return []
    return [(float(second), float(counts.get(second, 0))) for second in range(min(counts), max(counts) + 1)]


def queue_of(exposition: str) -> tuple[float, float]:
    """Return from a gateway's metrics how many reports wait in all its processes, and the oldest one's age in s."""
    found: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(exposition):
        found[family.name] = [sample.value for sample in family.samples]
    oldest_s = max(found.get("valgnatt_waiting_oldest_seconds", ()), default=0.0)
    return sum(found.get("valgnatt_waiting_reports", ())), oldest_s
