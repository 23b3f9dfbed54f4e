"""PURE: figures with their targets, the ceiling or peer measured in the same run, percentiles, tables and documents.

A measurement returns a `Result`; its rows are shown by `measured_table` or, beside peers, by `compared_table`. Goals of
the project are shown by `goals_table` too.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Self

import msgspec
from hdrh.histogram import HdrHistogram

HISTOGRAM_US = (1, 600_000_000, 3)
"""Range in microseconds, and significant digits."""


class Histogram:
    """Latencies that can be merged over processes. Source: HdrHistogram, G. Tene."""

    def __init__(self) -> None:
        self._counts = HdrHistogram(*HISTOGRAM_US)

    def add(self, seconds: float) -> None:
        """Add one latency; values outside HISTOGRAM_US count as its nearest end."""
        self.add_us(round(seconds * 1e6), 1)

    def add_all(self, values: Iterable[float]) -> Self:
        """Add latencies in seconds."""
        for value in values:
            self.add(value)
        return self

    def add_counts(self, counts: Mapping[int, int]) -> Self:
        """Add what another process counted: microseconds → number of latencies."""
        for value, count in counts.items():
            self.add_us(value, count)
        return self

    def add_us(self, value: int, count: int) -> None:
        """Add a latency in microseconds, `count` times."""
        lowest, highest, _ = HISTOGRAM_US
        self._counts.record_value(min(highest, max(lowest, value)), count)

    def __len__(self) -> int:
        return int(self._counts.get_total_count())

    def at(self, percentile: float) -> float:
        """Return a percentile in seconds; 0.0 if the histogram is empty."""
        return float(self._counts.get_value_at_percentile(percentile)) / 1e6

    def summary(self) -> dict[str, float]:
        """Return the count, percentiles and the maximum, in seconds; nothing if the histogram is empty."""
        if not len(self):
            return {}
        return {
            "count": len(self), "p50": self.at(50), "p90": self.at(90), "p99": self.at(99), "p999": self.at(99.9),
            "max": float(self._counts.get_max_value()) / 1e6,
        }  # fmt: skip

    def encoded(self) -> str:
        """Return the histogram in HdrHistogram's compressed format, base64."""
        return bytes(self._counts.encode()).decode()


class Unavailable(Exception):
    """A program or peer that this machine does not have: its name, the reason, and how to install it."""

    def __init__(self, name: str, why: str, how: str) -> None:
        super().__init__(f"{name}: {why}; {how}")
        self.name, self.why, self.how = name, why, how


class Skipped(msgspec.Struct, frozen=True):
    """What a measurement left out, because it was unavailable."""

    name: str
    why: str
    how: str

    @classmethod
    def of(cls, error: Unavailable) -> Self:
        """Return what to report for an unavailable peer."""
        return cls(error.name, error.why, error.how)


class Series(msgspec.Struct, frozen=True):
    """One value per round."""

    name: str
    unit: str
    rounds: Sequence[float]

    @classmethod
    def single(cls, name: str, value: float, unit: str) -> Self:
        """Return the series of a figure that is measured once."""
        return cls(name, unit, (value,))

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rounds)

    def text(self) -> str:
        """Return median, spread over the rounds, and unit."""
        spread = f" ({number(min(self.rounds))}-{number(max(self.rounds))})" if len(self.rounds) > 1 else ""
        return f"{number(self.median)}{spread} {self.unit}"


class Ratio(msgspec.Struct, frozen=True):
    """Ratio of two series: of the medians, and the least and the largest of any round."""

    times: float
    least: float
    most: float


def ratio(one: Series, other: Series) -> Ratio:
    """Compare two series whose rounds alternated."""
    of_rounds = [_quotient(a, b) for a, b in zip(one.rounds, other.rounds, strict=False)]
    return Ratio(_quotient(one.median, other.median), min(of_rounds), max(of_rounds))


def _quotient(one: float, other: float) -> float:
    return one / other if other else float("inf")


class Target(msgspec.Struct, frozen=True):
    """A limit for a figure: the least that is required, or with `most` the largest that is allowed."""

    limit: float
    aim: float | None = None
    most: bool = False

    def text(self, *, as_ratio: bool) -> str:
        """Return the target for display."""
        sign = "≤" if self.most else "≥"
        aim = "" if self.aim is None else f", aim {_limit(self.aim, as_ratio)}"
        return f"{sign} {_limit(self.limit, as_ratio)}{aim}"

    def is_reached(self, value: float) -> bool:
        """Return whether a value is within the limit."""
        return value <= self.limit if self.most else value >= self.limit


class Row(msgspec.Struct, frozen=True):
    """One figure, what did the same work in the same run, and a target."""

    what: str
    ours: Series
    beside: Series | None = None
    """A ceiling, a peer, or the same thing under other conditions."""
    target: Target | None = None
    """None: the figure is printed only."""
    of_ratio: bool = False
    """Whether the target applies to the ratio to `beside`, not to the figure."""
    command: str = ""
    """What measures this row alone, if that is not the command of the whole result."""
    goal: int = 0
    """Its number in the table of goals; 0: it is not in that table."""

    @classmethod
    def single(
        cls,
        what: str,
        value: float,
        unit: str,
        target: Target | None = None,
        beside: Series | None = None,
        *,
        of_ratio: bool = False,
        goal: int = 0,
    ) -> Self:
        """Return the row of a figure that is measured once."""
        return cls(what, Series.single(what, value, unit), beside, target, of_ratio, goal=goal)

    @classmethod
    def compared(
        cls,
        what: str,
        ours: Series,
        peer: Series | None = None,
        target: Target | None = None,
        *,
        goal: int = 0,
    ) -> Self:
        """Return a row whose target applies to the ratio if there is a peer, else to the figure."""
        return cls(what, ours, peer, target, peer is not None, goal=goal)

    @property
    def ratio(self) -> Ratio | None:
        """Ratio to what is beside it."""
        return ratio(self.ours, self.beside) if self.beside is not None else None

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without a target. A ratio to zero reaches none."""
        if self.target is None:
            return None
        found = self.ratio
        if not self.of_ratio or found is None:
            return self.target.is_reached(self.ours.median)
        return isfinite(found.times) and self.target.is_reached(found.times)


class Result(msgspec.Struct):
    """Everything that one measurement found."""

    name: str
    rows: list[Row] = []
    figures: list[Series] = []
    """Further figures, without targets."""
    notes: list[str] = []
    skipped: list[Skipped] = []
    invalid: list[str] = []
    """Why the figures are meaningless, for example because a report was lost."""
    seconds: float = 0.0
    """Duration of the measurement."""
    command: str = ""
    """What measures this alone."""


def measured_document(result: Result) -> dict[str, object]:
    """Return a result as it is stored in `measured.json`."""
    rows = [
        {
            "what": row.what,
            "value": row.ours.median,
            "unit": row.ours.unit,
            "target": msgspec.to_builtins(row.target),
            "beside": _single(row.beside),
            "of_ratio": row.of_ratio,
            "command": row.command,
            "ratio": row.ratio.times if row.ratio is not None else None,
            "spread": [row.ratio.least, row.ratio.most] if row.ratio is not None else None,
            "reached": row.reached,
            "goal": row.goal or None,
        }
        for row in result.rows
    ]
    return {
        "name": result.name,
        "rows": rows,
        "notes": result.notes,
        "skipped": msgspec.to_builtins(result.skipped),
        "invalid": result.invalid,
        "seconds": result.seconds,
        "command": result.command,
    }


def _single(series: Series | None) -> dict[str, object] | None:
    if series is None:
        return None
    return {"name": series.name, "value": series.median, "unit": series.unit}


def compared_document(result: Result) -> dict[str, object]:
    """Return a result as it is stored in `peers.json`."""
    findings = [
        {
            "what": row.what,
            "ours": msgspec.to_builtins(row.ours),
            "peer": msgspec.to_builtins(row.beside),
            "target": msgspec.to_builtins(row.target),
            "medians": [row.ours.median, row.beside.median if row.beside is not None else None],
            "ratio": msgspec.to_builtins(row.ratio),
            "reached": row.reached,
            "goal": row.goal or None,
        }
        for row in result.rows
    ]
    return {
        "name": result.name,
        "findings": findings,
        "figures": msgspec.to_builtins(result.figures),
        "skipped": msgspec.to_builtins(result.skipped),
        "notes": result.notes,
        "invalid": result.invalid,
    }


Columns = Mapping[str, Callable[[Row, str], str]]
"""Heading → the cell of a row, given the command of its result."""


def measured_table(results: Sequence[Result]) -> str:
    """Return what was measured as Markdown, with notes and durations below the table."""
    took = ", ".join(f"{each.name} {each.seconds:.0f} s" for each in results)
    total = sum(each.seconds for each in results)
    return f"{_table(results, _MEASURED)}\n\nMeasuring took {total:.0f} s: {took}."


def compared_table(results: Sequence[Result]) -> str:
    """Return comparisons with peers as Markdown, with notes and further figures below the table."""
    return _table(results, _COMPARED)


def goal_rows(results: Iterable[Result]) -> list[tuple[Row, str]]:
    """Return the rows that are goals, in the order of the goals, each with the command that measures it."""
    rows = [(row, row.command or each.command) for each in results for row in each.rows if row.goal]
    return sorted(rows, key=lambda found: found[0].goal)


def unreached_goals(results: Iterable[Result], expected: Iterable[int]) -> list[int]:
    """Return the goals of which a row was not reached, and those of the expected ones that have no row."""
    rows = [row for each in results for row in each.rows if row.goal]
    missed = {row.goal for row in rows if row.reached is False}
    return sorted(missed | ({*expected} - {row.goal for row in rows}))


def goals_table(results: Iterable[Result], names: Mapping[int, str]) -> str:
    """Return the goals as Markdown; goals of `names` without a row are shown as not measured."""
    rows = goal_rows(results)
    lines = [_line(["goal", *_GOALS]), _line("---" for _ in range(len(_GOALS) + 1))]
    for number in sorted({*names, *(row.goal for row, _ in rows)}):
        found = [(row, command) for row, command in rows if row.goal == number]
        lines += [
            _line([str(number), *(cell(row, command) for cell in _GOALS.values())]) for row, command in found
        ]
        if not found:
            lines.append(_line([str(number), names[number], "not measured", *[""] * (len(_GOALS) - 2)]))
    return "\n".join(lines)


def _table(results: Sequence[Result], columns: Columns) -> str:
    lines = [_line(columns), _line("---" for _ in columns)]
    lines += [
        _line(cell(row, each.command) for cell in columns.values()) for each in results for row in each.rows
    ]
    for each in results:
        lines += [f"\n{each.name}: INVALID: {reason}" for reason in each.invalid]
        lines += [f"\n{each.name}: without {left.name}: {left.why}; {left.how}" for left in each.skipped]
    below = [f"- {each.name}: {note}" for each in results for note in each.notes]
    below += [f"- {each.name}: {series.name}: {series.text()}" for each in results for series in each.figures]
    return "\n".join([*lines, *(["", *below] if below else [])])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measured_target(row: Row, _: str) -> str:
    reached = {None: "printed only", True: "yes", False: "**NO**"}[row.reached]
    return f"{row.target.text(as_ratio=row.of_ratio)}: {reached}" if row.target is not None else reached


def _measured_beside(row: Row, _: str) -> str:
    if row.beside is None or row.ratio is None:
        return ""
    return f"{row.beside.name}: {row.beside.text()} ({_compared_ratio(row, _)})"


def _compared_ratio(row: Row, _: str) -> str:
    found = row.ratio
    if found is None:
        return ""
    spread = "" if found.least == found.most else f" ({found.least:.3g}-{found.most:.3g})"
    return f"{found.times:.3g} ×{spread}"


_MEASURED: Columns = {
    "what": lambda row, _: row.what,
    "measured": lambda row, _: row.ours.text(),
    "target": _measured_target,
    "ceiling or peer in the same run": _measured_beside,
    "command": lambda row, command: f"`{row.command or command}`",
}
_COMPARED: Columns = {
    "what": lambda row, _: row.what,
    "Valgnatt": lambda row, _: row.ours.text(),
    "beside it": lambda row, _: f"{row.beside.name}: {row.beside.text()}" if row.beside is not None else "",
    "ratio (rounds)": _compared_ratio,
    "target": lambda row, _: row.target.text(as_ratio=row.of_ratio) if row.target is not None else "",
    "reached": lambda row, _: {None: "", True: "yes", False: "NO"}[row.reached],
}

_GOALS: Columns = {
    "what": _COMPARED["what"],
    "Valgnatt": _COMPARED["Valgnatt"],
    "beside it": _COMPARED["beside it"],
    "ratio (rounds)": _COMPARED["ratio (rounds)"],
    "limit": _COMPARED["target"],
    "reached": lambda row, _: {None: "", True: "yes", False: "**NO**"}[row.reached],
    "command": _MEASURED["command"],
}


def _limit(value: float, as_ratio: bool) -> str:
    return f"{value:.3g} ×" if as_ratio else number(value)


def number(value: float) -> str:
    """Return a figure for display, such as 12 345, 12.3 or 1.23."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 reader`, `2 readers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")
