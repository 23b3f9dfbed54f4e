"""A step: a report beside the current report of its unit. Rules and explanations look at steps."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from operator import sub
from typing import NamedTuple

from gateway.election.growths import GROWTH_MIN, Growth
from gateway.election.registry import Area
from gateway.election.report import Report


class Category(NamedTuple):
    """A category whose figures differ: per party in the registry's order, blank votes last."""

    category: int
    """Place in `Registry.categories`."""
    before: array[int]
    after: array[int]
    gains: Sequence[int]
    """By how much each of them grew."""
    ballots_before: int
    ballots_after: int


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
        "categories",
        "changed",
        "growths",
        "kept",
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
        """Whether the figures differ. Otherwise none of `categories` does, and ballots are not counted."""
        self.status_before = status_before
        """The status of the current report; None before the first."""
        self.position = position
        """How many reports were placed before."""
        self.categories: tuple[Category, ...] = ()
        self.growths: tuple[Growth, ...] = ()
        """Those of at least GROWTH_MIN ballots."""
        self.ballots_before = self.ballots_after = 0
        """In all categories."""
        self.kept: dict[object, object] = {}
        """What several rules compute from this step."""

    def compare(self, columns: Sequence[slice]) -> None:
        """Compare the figures, given the columns of each category."""
        self.categories = tuple(self._compared(columns))
        self.growths = tuple(
            self.growth(each.category, each.ballots_after - each.ballots_before, array("i", each.gains))
            for each in self.categories
            if each.ballots_after - each.ballots_before >= GROWTH_MIN
        )
        self.ballots_before, self.ballots_after = sum(self.before), sum(self.after)

    def _compared(self, columns: Sequence[slice]) -> Iterator[Category]:
        for number, place in enumerate(columns):
            before, after = self.before[place], self.after[place]
            if before != after:
                gains = list(map(sub, after, before))
                yield Category(number, before, after, gains, sum(before), sum(after))

    def growth(self, category: int, ballots: int, votes: array[int]) -> Growth:
        """Return figures of one category that this step brings, as a growth."""
        return Growth(self.unit.index, self.municipality, category, ballots, votes, self.position + 1)
