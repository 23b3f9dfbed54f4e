"""PURE: the series of a soak, each with its unit, its slope, and what it is expected to do.

A series is one point per cycle of the load, the median of its samples. A process that the soak restarts has one point
per life instead, at equal age, as far as memory and descriptors are concerned.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench.soak.samples import Notes, Sample
from bench.soak.trend import (
    Limit,
    Point,
    Slope,
    Verdict,
    at_equal_age,
    interpolated,
    judge,
    medians,
    theil_sen,
    without_warm_up,
)

AGES = (0.35, 0.8)
"""Ages at which lives of a process are compared, as parts of the mean length of a cycle, which is that of a life."""
BY_AGE = ("rss", "private", "descriptors", "threads")
"""Kinds that start anew with a process."""
EXCESS = (("feed-1", "feed-0"), ("push-1", "push-0"))
"""Processes that run throughout, and those of the same kind that are started anew in each cycle."""
MB, KB = 1e6, 1e3


class Kind(msgspec.Struct, frozen=True):
    """A kind of series, and how it is shown."""

    title: str
    unit: str
    scale: float
    """By which values are multiplied for display."""
    limit: Limit
    special: Mapping[str, Limit] = {}
    """Limits of series whose names match a pattern."""

    def limit_of(self, name: str) -> Limit:
        """Return the limit of a series."""
        return next(
            (limit for pattern, limit in self.special.items() if re.fullmatch(pattern, name)), self.limit
        )


KINDS: Mapping[str, Kind] = {}


class Trend(msgspec.Struct, frozen=True):
    """One series, and what was found about it."""

    kind: str
    name: str
    points: list[Point]
    """Hours since the start, and values: those that the slope was computed from."""
    first: float
    last: float
    slope: Slope | None
    """Per hour."""
    verdict: Verdict
    by_age: bool
    """Whether its points are lives of a process at equal age."""

    @property
    def is_fine(self) -> bool:
        """Whether it is flat or explained, or too short to tell."""
        return self.verdict.word != "NOT flat"


def trends(samples: Iterable[Sample], notes: Notes) -> list[Trend]:
    """Return every series that has a kind, in the order of KINDS."""
    values: dict[str, list[tuple[float, float, float]]] = {}
    drivers: dict[str, list[Point]] = {}
    for sample in samples:
        for name, value in sample.values.items():
            started_at = sample.started.get(name.partition("/")[2], 0.0)
            values.setdefault(name, []).append((sample.at, round(started_at, 1), value))
        for name, count in sample.counts.items():
            drivers.setdefault(name, []).append((sample.at / 3600, count))
    found = {}
    for kind in KINDS:
        for full in sorted(name for name in values if name.partition("/")[0] == kind):
            found[full] = _trend(kind, full.partition("/")[2], values[full], drivers, notes.boundaries)
        if kind == "excess":
            for old, young in EXCESS:
                one, other = found.get(f"private/{old}"), found.get(f"private/{young}")
                if one is not None and other is not None and other.by_age:
                    found[f"excess/{old}"] = _excess(one, other, drivers)
    return list(found.values())


def _excess(old: Trend, young: Trend, drivers: Mapping[str, Sequence[Point]]) -> Trend:
    """Return by how much a process exceeds another one that does the same and is started anew in each cycle.

    What both have is state of the gateway; what only the older one has is remembered from its past, or lost.
    """
    begins = young.points[0][0] if young.points else 0.0
    points = [(at, value - interpolated(young.points, at)) for at, value in old.points if at >= begins]
    return _judged("excess", f"{old.name}, of {young.name}", points, points, drivers, by_age=False)


def _trend(
    kind: str,
    name: str,
    samples: Sequence[tuple[float, float, float]],
    drivers: Mapping[str, Sequence[Point]],
    boundaries: Sequence[float],
) -> Trend:
    lives = len({started_at for _, started_at, _ in samples})
    by_age = kind in BY_AGE and lives > 2 and not name.startswith("load")
    if by_age:
        cycle_s = (boundaries[-1] - boundaries[0]) / max(1, len(boundaries) - 1) if boundaries else 0.0
        points = at_equal_age(samples, AGES[0] * cycle_s, AGES[1] * cycle_s)
    else:
        points = medians([(at, value) for at, _, value in samples], boundaries)
    points = [(at / 3600, value) for at, value in points]
    return _judged(kind, name, points, without_warm_up(points), drivers, by_age=by_age)


def _judged(
    kind: str,
    name: str,
    points: Sequence[Point],
    considered: Sequence[Point],
    drivers: Mapping[str, Sequence[Point]],
    *,
    by_age: bool,
) -> Trend:
    slope = theil_sen(considered)
    verdict = judge(considered, slope, KINDS[kind].limit_of(name), drivers)
    first, last = (points[0][1], points[-1][1]) if points else (0.0, 0.0)
    return Trend(kind, name, list(considered), first, last, slope, verdict, by_age)


def boundaries_of(begins: Sequence[float], ends: float) -> list[float]:
    """Return the boundaries of cycles that begin at these times, the last of which ends with the run."""
    return [*begins, *([ends] if begins and ends > begins[-1] else [])]


SPARE = 8 * KB
"""A page of a table or an index."""


def _per(driver: str, most: float, absolute: float = 64 * KB) -> Limit:
    return Limit(absolute, drivers={driver: most})


_MEMORY = {
    # A feed process keeps every election that it serves: 6.2 kB for each area (docs/scaling.md), and its record.
    r"feed-.*": Limit(2 * MB, 0.02, {"elections": 30 * MB}),
    # A push process keeps the registry, the tokens and, for the rules, the current report of each unit.
    r"push-.*": Limit(2 * MB, 0.02, {"elections": 10 * MB}),
    # The tree of each log has 32 bytes for each entry.
    r"signer-.*": Limit(2 * MB, 0.02, {"reports": 100.0, "elections": MB}),
    # Buffers fill up to shared_buffers, and each connection remembers the tables that it has used.
    r"postgres": Limit(2 * MB, 0.02, {"reports": 2000.0, "elections": 5 * MB}),
}
_OF_ELECTIONS = _per("elections", 200 * KB)
"""A partition for each election, or rows that do not depend on its reports."""
_TABLES = {
    r"report": _per("reports", 800.0),
    r"hold|hold_line": _per("reports", 200.0),
    r"checkpoint": _per("hours", MB),
    r"system catalog": _per("elections", 500 * KB),
    r"election|token|contact|head|confirmation|refusal|waiting|opening|log|rules|act|embargo": _OF_ELECTIONS,
}
KINDS = {
    "rss": Kind("Resident memory", "MB", 1 / MB, Limit(2 * MB, 0.02), _MEMORY),
    "private": Kind("Private memory", "MB", 1 / MB, Limit(2 * MB, 0.02), _MEMORY),
    "excess": Kind(
        "Private memory at any age, beyond a process started anew",
        "MB",
        1 / MB,
        Limit(4 * MB),
        {
            # Bodies of documents and tables, cached for all elections together: up to 120 MB in each feed process.
            r"feed-.*": Limit(4 * MB, drivers={"elections": 10 * MB}),
            # The boards of up to 32 elections that were open, and what each token that was used may report.
            r"push-.*": Limit(4 * MB, drivers={"elections": 4 * MB}),
        },
    ),
    "descriptors": Kind(
        "Open descriptors",
        "",
        1.0,
        Limit(3.0, 0.05),
        # Each connection keeps the files of tables that it has used open, up to max_files_per_process (1000).
        {r"postgres": Limit(50.0, 0.05, {"elections": 300.0})},
    ),
    "threads": Kind("Threads, and processes of Postgres", "", 1.0, Limit(1.0)),
    "cpu": Kind(
        "CPU",
        "cores",
        1.0,
        Limit(0.02, 0.1),
        # Every process asks several times per second for the heads of all elections, each in a partition.
        {r"postgres": Limit(0.02, 0.1, {"elections": 0.02})},
    ),
    "latency": Kind("Latency", "ms", 1000.0, Limit(0.005, 0.2)),
    "table": Kind("Tables", "MB", 1 / MB, Limit(64 * KB), _TABLES),
    "index": Kind("Indexes of tables", "MB", 1 / MB, Limit(64 * KB), _TABLES),
    "dead": Kind("Dead rows", "rows", 1.0, Limit(2000.0, 0.2)),
    "relations": Kind("Tables of the schema", "", 1.0, Limit(0.0, drivers={"elections": 10.0})),
    "disk": Kind(
        "Disk",
        "MB",
        1 / MB,
        Limit(MB),
        {
            r"keys": _per("elections", 2 * SPARE),
            r"database": _per("reports", 1500.0),
            # Segments of the log are kept and reused between min_wal_size and max_wal_size.
            r"write-ahead log directory": _per("reports", 2000.0),
            r"data directory": _per("reports", 3500.0),
        },
    ),
    "written": Kind("Written", "MB", 1 / MB, Limit(MB, drivers={"reports": 2000.0})),
    "log": Kind(
        "Logs",
        "kB",
        1 / KB,
        Limit(10 * KB),
        {
            r"gateway": Limit(10 * KB, drivers={"restarts": 2 * KB}),
            # Each new connection of a push or feed process asks for statements that it must not find.
            r"postgres": Limit(10 * KB, drivers={"restarts": 20 * KB}),
        },
    ),
    "connections": Kind("Connections of the database", "", 1.0, Limit(1.0)),
    "snapshot": Kind("Age of the oldest snapshot", "transactions", 1.0, Limit(1000.0, 0.5)),
    # Each feed process has six gauges for each election, and the signer nine.
    "metrics": Kind(
        "Answer of /metrics",
        "",
        1.0,
        Limit(200.0, 0.02, {"elections": 4 * KB}),
        {r"lines": Limit(2.0, 0.02, {"elections": 30.0})},
    ),
    "readers": Kind("Readers", "", 1.0, Limit(5.0, 0.05)),
}
