"""PURE: what a comparison found: rounds of each side, the ratio of their medians, and the table they are shown in."""

import statistics
from collections.abc import Sequence
from math import isfinite
from typing import Self

import msgspec


class Absent(Exception):
    """A peer that cannot be had here: its name, why, and how to have it."""

    def __init__(self, name: str, why: str, how: str) -> None:
        super().__init__(f"{name}: {why}; {how}")
        self.name, self.why, self.how = name, why, how


class Skipped(msgspec.Struct, frozen=True):
    """A peer that was left out."""

    name: str
    why: str
    how: str

    @classmethod
    def of(cls, absent: Absent) -> Self:
        """Make one of the reason."""
        return cls(absent.name, absent.why, absent.how)


class Series(msgspec.Struct, frozen=True):
    """What one side showed, round by round."""

    name: str
    unit: str
    rounds: Sequence[float]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.rounds)

    def told(self) -> str:
        """Return median, spread and unit."""
        spread = f" ({number(min(self.rounds))}-{number(max(self.rounds))})" if len(self.rounds) > 1 else ""
        return f"{number(self.median)}{spread} {self.unit}"


class Ratio(msgspec.Struct, frozen=True):
    """One side to the other: of the medians, and of the rounds that followed each other."""

    times: float
    least: float
    most: float


def ratio(one: Series, other: Series) -> Ratio:
    """Compare two sides that had their turns alternately."""
    of_rounds = [_quotient(a, b) for a, b in zip(one.rounds, other.rounds, strict=False)]
    return Ratio(_quotient(one.median, other.median), min(of_rounds), max(of_rounds))


def _quotient(one: float, other: float) -> float:
    return one / other if other else float("inf")


class Target(msgspec.Struct, frozen=True):
    """What a figure has to be: at least, or at most, so much."""

    limit: float
    aim: float | None = None
    most: bool = False

    def told(self, *, as_ratio: bool) -> str:
        """Return it as a person reads it."""
        sign = "≤" if self.most else "≥"
        aim = "" if self.aim is None else f", aim {_shown(self.aim, as_ratio)}"
        return f"{sign} {_shown(self.limit, as_ratio)}{aim}"

    def held(self, value: float) -> bool:
        """Whether a figure is good enough."""
        return value <= self.limit if self.most else value >= self.limit


class Finding(msgspec.Struct, frozen=True):
    """A line of the table: a figure of ours, one of a peer beside it, and what was wanted.

    With a peer beside it the target is about the ratio, else about the figure.
    """

    what: str
    ours: Series
    peer: Series | None = None
    target: Target | None = None

    @property
    def ratio(self) -> Ratio | None:
        """Ours to the peer's."""
        return ratio(self.ours, self.peer) if self.peer is not None else None

    @property
    def held(self) -> bool | None:
        """Whether the target was reached; None without one. It is not, beside a peer that showed nothing."""
        if self.target is None:
            return None
        found = self.ratio
        if found is not None and not isfinite(found.times):
            return False
        return self.target.held(found.times if found is not None else self.ours.median)


class Pair(msgspec.Struct):
    """All that one pair found."""

    name: str
    findings: list[Finding] = []
    figures: list[Series] = []
    """What else was seen, without a target."""
    skipped: list[Skipped] = []
    notes: list[str] = []
    invalid: list[str] = []
    """Why figures say nothing."""


def document(pair: Pair) -> dict[str, object]:
    """Return a pair as it is kept, with what follows from its figures."""
    found: dict[str, object] = msgspec.to_builtins(pair)
    found["findings"] = [
        {
            **msgspec.to_builtins(each),
            "medians": [each.ours.median, each.peer.median if each.peer is not None else None],
            "ratio": msgspec.to_builtins(each.ratio),
            "reached": each.held,
        }
        for each in pair.findings
    ]
    return found


def table(pairs: Sequence[Pair]) -> str:
    """Return what was found as a table in Markdown, with what was left out below it."""
    lines = [
        "| what | Valgnatt | beside it | ratio (rounds) | target | reached |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_line(finding) for pair in pairs for finding in pair.findings]
    for pair in pairs:
        lines += [f"\n{pair.name}: INVALID: {reason}" for reason in pair.invalid]
        lines += [f"\n{pair.name}: without {each.name}: {each.why}; {each.how}" for each in pair.skipped]
        lines += [f"\n{pair.name}: {note}" for note in pair.notes]
        if pair.figures:
            lines += ["", *(f"- {pair.name}: {each.name}: {each.told()}" for each in pair.figures)]
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    found = finding.ratio
    beside = f"{finding.peer.name}: {finding.peer.told()}" if finding.peer is not None else ""
    compared = ""
    if found is not None:
        spread = "" if found.least == found.most else f" ({found.least:.3g}-{found.most:.3g})"
        compared = f"{found.times:.3g} ×{spread}"
    target = finding.target.told(as_ratio=found is not None) if finding.target is not None else ""
    reached = {None: "", True: "yes", False: "NO"}[finding.held]
    return f"| {finding.what} | {finding.ours.told()} | {beside} | {compared} | {target} | {reached} |"


def _shown(value: float, as_ratio: bool) -> str:
    return f"{value:g} ×" if as_ratio else number(value)


def number(value: float) -> str:
    """Return a figure as a person reads it."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
