"""The current reports of an election as the rules compare with them: figures by unit, sums by area, and growths.

A report is *placed* when it gets its position in the record. What is here depends only on the reports that were placed,
in their order.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from datetime import date
from operator import sub
from typing import NamedTuple, Protocol

from gateway.election.growths import GROWTH_MIN, Growth, Growths
from gateway.election.registry import Area, Registry
from gateway.election.report import STATUSES, Report

GROWTHS_MAX = 8
"""Growths of a unit that are compared with others: the last ones."""
_NO_GROWTHS: tuple[Growth, ...] = ()


class Explanations(Protocol):
    """What explains falls (`election/explanations.py`), told of every placed report."""

    def place(self, step: Step) -> None:
        """Add the next placed report."""

    def explained(self, step: Step) -> str | None:
        """Return the code that explains a report which is not placed yet, as far as the record shows it now."""

    def checkpoint(self) -> None:
        """As `CurrentReports.checkpoint`."""

    def roll_back(self) -> None:
        """As `CurrentReports.roll_back`."""

    def keep(self) -> None:
        """As `CurrentReports.keep`."""


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
        growths: tuple[Growth, ...],
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
        """Whether the figures differ."""
        self.ballots_before = sum(before)
        """In all categories."""
        self.ballots_after = sum(after)
        self.status_before = status_before
        """The status of the current report; None before the first."""
        self.growths = growths
        """Those of at least GROWTH_MIN ballots."""
        self.position = position
        """How many reports were placed before."""


class Reference(NamedTuple):
    """Votes of one category elsewhere, from which it follows what a party may be expected to have."""

    area: int
    """`Area.index` of the area whose other units these are."""
    votes: Sequence[int]
    """Per party in the registry's order."""
    total: int
    """The sum of these; more than 0."""


class _Undo(NamedTuple):
    """What placing one report replaced."""

    unit: int
    figures: array[int] | None
    status: int
    changes: Sequence[tuple[int, int]]
    grown: tuple[Growth, ...]


class CurrentReports:
    """The current reports of one election.

    Invariants: sums are those of the units' figures; `growths` has the last GROWTHS_MAX growths of every unit.
    """

    def __init__(self, registry: Registry, explanations: Explanations | None = None) -> None:
        self.registry = registry
        self.explanations = explanations
        self.position = 0
        """How many reports were placed."""
        self.width = len(registry.party_codes) + 1
        """Columns of a category: the parties, then blank votes."""
        self.growths = Growths()
        self.date = _date_of(registry)
        """The date of the election."""
        areas = registry.areas
        self._columns = {code: number for number, code in enumerate(registry.party_codes)}
        self._bases = {name: number * self.width for number, name in enumerate(registry.categories)}
        self.parties = tuple(slice(base, base + self.width - 1) for base in self._bases.values())
        """By category, where in the figures the votes of its parties are."""
        self._own_ballot = frozenset(
            registry.by_id[entry["id"]].index for entry in registry.document["areas"] if entry.get("parties")
        )
        """Areas that define a ballot."""
        self._zeros = array("i", bytes(4 * self.width * len(self._bases)))
        self._figures: list[array[int] | None] = [None] * len(areas)
        self._statuses = bytearray(len(areas))
        """By unit, the number of its status in STATUSES plus 1; 0 before its first report, and for a newer status."""
        self._sums: list[array[int] | None] = [None] * len(areas)
        self._grown: dict[int, tuple[Growth, ...]] = {}
        self._municipalities: dict[int, int] = {}
        self._undo: list[_Undo] | None = None
        self._last: Step | None = None

    def step(self, report: Report) -> Step:
        """Return the step to a valid or stored report. The last one is kept, so `place` does not compute it again."""
        last = self._last
        if last is not None and last.report is report and last.position == self.position:
            return last
        unit = self.registry.units[report.unit]
        before = self.figures(unit)
        after = self._read(report)
        growths = self._growths_between(unit, before, after) if before != after else _NO_GROWTHS
        number = self._statuses[unit.index]
        status = STATUSES[number - 1] if number else None
        self._last = Step(
            report, unit, self.municipality(unit), before, after, status, growths, self.position
        )
        return self._last

    def place(self, report: Report) -> None:
        """Make a report the current one of its unit, at the next position."""
        step = self.step(report)
        index = step.unit.index
        grown = self._grown.get(index, _NO_GROWTHS)
        changes: Sequence[tuple[int, int]] = ()
        if step.changed:
            changes = [
                (place, new - old)
                for place, (old, new) in enumerate(zip(step.before, step.after, strict=True))
                if old != new
            ]
            self._add(step.unit, changes)
        if self._undo is not None:
            self._undo.append(_Undo(index, self._figures[index], self._statuses[index], changes, grown))
        self._figures[index] = step.after
        self._statuses[index] = _STATUS_NUMBERS.get(report.status, 0)
        if step.growths:
            self._replace_growths(index, (*grown, *step.growths)[-GROWTHS_MAX:])
        if self.explanations is not None:
            self.explanations.place(step)
        self.position += 1

    def checkpoint(self) -> None:
        """Remember this state, before reports of a batch are placed that may not be committed."""
        assert self._undo is None, "one checkpoint at a time"
        self._undo = []
        if self.explanations is not None:
            self.explanations.checkpoint()

    def keep(self) -> None:
        """Forget the checkpoint: what was placed since is committed."""
        self._undo = None
        if self.explanations is not None:
            self.explanations.keep()

    def roll_back(self) -> None:
        """Return to the checkpoint, and forget it."""
        assert self._undo is not None, "no checkpoint"
        for each in reversed(self._undo):
            unit = self.registry.areas[each.unit]
            self._add(unit, [(place, -change) for place, change in each.changes])
            self._figures[each.unit] = each.figures
            self._statuses[each.unit] = each.status
            self._replace_growths(each.unit, each.grown)
            self.position -= 1
        self._undo = None
        self._last = None
        if self.explanations is not None:
            self.explanations.roll_back()

    def figures(self, unit: Area) -> array[int]:
        """Return the current figures of a unit, as in `Step`; all 0 before its first report. Must not be changed."""
        return self._figures[unit.index] or self._zeros

    def sums(self, area: int) -> array[int]:
        """Return the sums of the current figures of all units below an area (`Area.index`), or of a unit itself."""
        return self._sums[area] or self._figures[area] or self._zeros

    def ballots(self, area: int) -> int:
        """Return the current ballots below an area (`Area.index`), or of a unit, in all categories."""
        return sum(self.sums(area))

    def votes(self, figures: array[int]) -> list[int]:
        """Return the votes of each party in all categories."""
        return list(map(sum, zip(*(figures[columns] for columns in self.parties), strict=True)))

    def reference(self, step: Step, category: int, least: Mapping[str, int]) -> Reference | None:
        """Return the votes of the other units of the nearest area in which these have at least so many, by level.

        The search ends with the area that defines the unit's ballot. None if no area has that many.
        """
        if step.unit.index in self._own_ballot:
            return None
        columns = self.parties[category]
        own: array[int] | None = None
        for index in step.unit.path:
            needed = least.get(self.registry.areas[index].level)
            if needed is not None:
                if own is None:
                    own = step.before[columns]
                votes = list(map(sub, self.sums(index)[columns], own))
                total = sum(votes)
                if total >= needed:
                    return Reference(index, votes, total)
            if index in self._own_ballot:
                return None
        return None

    def grown(self, unit: int) -> tuple[Growth, ...]:
        """Return the last growths of a unit (`Area.index`), the newest last."""
        return self._grown.get(unit, _NO_GROWTHS)

    def municipality(self, unit: Area) -> int:
        """Return the `Area.index` of a unit's municipality."""
        index = self._municipalities.get(unit.index)
        if index is None:
            index = self._municipalities[unit.index] = self.registry.municipality(unit).index
        return index

    def _read(self, report: Report) -> array[int]:
        """Return the figures of a report, as far as its categories and parties are known."""
        figures = self._zeros[:]
        columns = self._columns
        for category, counts in report.counts.items():
            base = self._bases.get(category)
            if base is None:
                continue
            for party, votes in counts.votes.items():
                if party in columns:
                    figures[base + columns[party]] = votes
            figures[base + self.width - 1] = counts.blank
        return figures

    def _growths_between(self, unit: Area, before: array[int], after: array[int]) -> tuple[Growth, ...]:
        found = []
        for number, base in enumerate(self._bases.values()):
            end = base + self.width
            old, new = before[base:end], after[base:end]
            ballots = sum(new) - sum(old)
            if ballots >= GROWTH_MIN:
                votes = array("i", map(sub, new, old))
                place = unit.index, self.municipality(unit), number
                found.append(Growth(*place, ballots, votes, self.position + 1))
        return tuple(found)

    def _add(self, unit: Area, changes: Sequence[tuple[int, int]]) -> None:
        """Add changes of a unit to the sums of the areas above it."""
        for index in unit.path:
            sums = self._sums[index]
            if sums is None:
                sums = self._sums[index] = array("q", self._zeros)
            for place, change in changes:
                sums[place] += change

    def _replace_growths(self, unit: int, grown: tuple[Growth, ...]) -> None:
        """Replace the growths of a unit that are compared with others."""
        before = self._grown.pop(unit, _NO_GROWTHS)
        if grown:
            self._grown[unit] = grown
        for growth in before:
            if not any(growth is each for each in grown):
                self.growths.remove(growth)
        for growth in grown:
            if not any(growth is each for each in before):
                self.growths.add(growth)


def _date_of(registry: Registry) -> date:
    """Return the date of the election; without one, that of the end of its embargo."""
    try:
        return date.fromisoformat(registry.document["election"]["date"])
    except (KeyError, TypeError, ValueError):
        return registry.publish_from.date()


_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES, start=1)}
