"""PURE: what measurements found: figures, each with its target, and a ceiling or a peer of the same run beside it."""

from collections.abc import Sequence
from typing import Self

import msgspec

from bench.figures import Finding, Skipped, Target, number


class Beside(msgspec.Struct, frozen=True):
    """What else did the same work in the same run."""

    name: str
    value: float
    unit: str


class Row(msgspec.Struct, frozen=True):
    """One figure."""

    what: str
    value: float
    unit: str
    target: Target | None = None
    """None: it is printed, and nothing is wanted of it."""
    beside: Beside | None = None
    of_ratio: bool = False
    """Whether the target is about the ratio to what is beside it."""
    command: str = ""
    """What measures this alone, where it is not the whole measurement."""

    @classmethod
    def of(cls, finding: Finding, command: str) -> Self:
        """Make one of what a comparison with peers found."""
        ours, peer = finding.ours, finding.peer
        beside = Beside(peer.name, peer.median, peer.unit) if peer is not None else None
        return cls(finding.what, ours.median, ours.unit, finding.target, beside, peer is not None, command)

    @property
    def ratio(self) -> float | None:
        """To what is beside it."""
        if self.beside is None:
            return None
        return self.value / self.beside.value if self.beside.value else float("inf")

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        if not self.of_ratio or self.ratio is None:
            return self.target.held(self.value)
        return self.ratio != float("inf") and self.target.held(self.ratio)


class Measured(msgspec.Struct):
    """All that one measurement found."""

    name: str
    rows: list[Row] = []
    notes: list[str] = []
    skipped: list[Skipped] = []
    invalid: list[str] = []
    """Why the figures say nothing."""
    seconds: float = 0.0
    """How long measuring took."""
    command: str = ""
    """What measures this alone."""


def document(measured: Measured) -> dict[str, object]:
    """Return it as it is kept, with what follows from its figures."""
    found: dict[str, object] = msgspec.to_builtins(measured)
    found["rows"] = [
        {**msgspec.to_builtins(row), "ratio": row.ratio, "reached": row.reached} for row in measured.rows
    ]
    return found


def markdown(found: Sequence[Measured]) -> str:
    """Return the table, and below it what was left out and what else was seen."""
    lines = [
        "| what | measured | target | ceiling or peer in the same run | command |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_line(row, each.command) for each in found for row in each.rows]
    for each in found:
        lines += [f"\n{each.name}: INVALID: {reason}" for reason in each.invalid]
        lines += [f"\n{each.name}: without {left.name}: {left.why}; {left.how}" for left in each.skipped]
    notes = [f"- {each.name}: {note}" for each in found for note in each.notes]
    took = ", ".join(f"{each.name} {each.seconds:.0f} s" for each in found)
    total = sum(each.seconds for each in found)
    return "\n".join([*lines, "", *notes, "", f"Measuring took {total:.0f} s: {took}."])


def _line(row: Row, command: str) -> str:
    beside = ""
    if row.beside is not None:
        beside = f"{row.beside.name}: {number(row.beside.value)} {row.beside.unit} ({row.ratio:.3g} ×)"
    reached = {None: "printed only", True: "yes", False: "**NO**"}[row.reached]
    wanted = f"{row.target.told(as_ratio=row.of_ratio)}: {reached}" if row.target is not None else reached
    return (
        f"| {row.what} | {number(row.value)} {row.unit} | {wanted} | {beside} | `{row.command or command}` |"
    )
