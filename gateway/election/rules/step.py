"""A step: a report beside the current report of its unit. Rules and explanations look at steps."""

from __future__ import annotations

from array import array

from gateway.election.growths import Growth
from gateway.election.registry import Area
from gateway.election.report import Report


class Step:
    """A report and what it changes: the step from the unit's current report to it.

    Figures are one array per unit: for each category of the registry, the votes of the parties in the registry's order,
    then the blank votes.
    """

    __slots__ = (
        "after",
        "ballots_after",
        "ballots_before",
        "before",
        "changed",
        "growths",
        "municipality",
        "position",
        "report",
        "status_before",
        "unit",
    )

    def __init__(
        self,
        report: Report,
        unit: Area,
        municipality: int,
        before: array[int],
        after: array[int],
        status_before: str | None,
        position: int,
    ) -> None:
        self.report = report
        self.unit = unit
        self.municipality = municipality
        """`Area.index` of the unit's municipality."""
        self.before = before
        """The unit's current figures; all 0 before its first report."""
        self.after = after
        self.changed = before != after
        """Whether the figures differ. Only then is what follows of use."""
        self.ballots_before = sum(before) if self.changed else 0
        """In all categories."""
        self.ballots_after = sum(after) if self.changed else 0
        self.status_before = status_before
        """The status of the current report; None before the first."""
        self.growths: tuple[Growth, ...] = ()
        """Those of at least GROWTH_MIN ballots."""
        self.position = position
        """How many reports were placed before."""
