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

from gateway.election.changes import Columns
from gateway.election.growths import GROWTH_MIN, Growth, Growths, distance
from gateway.election.registry import Area, Registry
from gateway.election.report import STATUSES, Report
from gateway.election.rules.explained import ExplainedSteps
from gateway.election.rules.step import Category, Step

GROWTHS_MAX = 8
"""Growths of a unit that are compared with others: the last ones."""
ABOUT_EQUAL_PERMILLE = 5
"""‰ of its ballots by which a growth may differ from the current figures, so that these are not kept beside it."""
_NONE: tuple[Growth, ...] = ()


class Explanations(Protocol):
    """What explains falls (`explained.ExplainedSteps`), given every placed report."""

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

    step: Step
    figures: array[int] | None
    status: int
    grown: tuple[Growth, ...]
    wholes: tuple[Growth, ...]


class CurrentReports:
    """The current reports of one election.

    Invariants: sums are those of the units' figures. `growths` contains, of every unit, the last GROWTHS_MAX growths,
    and the current figures of each category where they are not about equal to one of these; each has GROWTH_MIN ballots
    or more. It is empty if the registry does not let rules compare units.
    """

    def __init__(self, registry: Registry, explanations: Explanations | None = None) -> None:
        self.registry = registry
        self.position = 0
        """How many reports were placed."""
        self.growths = Growths()
        self._compares = registry.compares_units
        self.date = _date_of(registry)
        """The date of the election."""
        width = len(registry.party_codes) + 1
        starts = [number * width for number in range(len(registry.categories))]
        self.columns = tuple(slice(start, start + width) for start in starts)
        """By category, where its figures are."""
        self.parties = tuple(slice(start, start + width - 1) for start in starts)
        """By category, where in the figures the votes of its parties are."""
        votes = Columns(self.parties, blank=tuple(start + width - 1 for start in starts))
        self.explanations: Explanations = explanations or ExplainedSteps(registry, votes, self.growths)
        self._places = {
            name: (start + width - 1, {code: start + at for at, code in enumerate(registry.party_codes)})
            for name, start in zip(registry.categories, starts, strict=True)
        }
        """By category, where in the figures its blank votes and those of each party are."""
        self._zeros = array("i", bytes(4 * width * len(starts)))
        areas = registry.areas
        self._defines_ballot = bytearray(len(areas))
        for entry in registry.document["areas"]:
            self._defines_ballot[registry.by_id[entry["id"]].index] = bool(entry.get("parties"))
        self._figures: list[array[int] | None] = [None] * len(areas)
        self._statuses = bytearray(len(areas))
        """By unit, the number of its status in STATUSES plus 1; 0 before its first report, and for a newer status."""
        self._sums: list[array[int] | None] = [None] * len(areas)
        self._grown: dict[int, tuple[Growth, ...]] = {}
        self._wholes: dict[int, tuple[Growth, ...]] = {}
        self._municipalities: dict[int, int] = {}
        self._undo: list[list[_Undo]] = []
        """What was placed since each checkpoint, until the next one."""
        self._last: Step | None = None

    def step(self, report: Report) -> Step:
        """Return the step to a valid or stored report. The last one is kept, so `place` does not compute it again."""
        last = self._last
        if last is not None and last.report is report and last.position == self.position:
            return last
        unit = self.registry.units[report.unit]
        number = self._statuses[unit.index]
        status = STATUSES[number - 1] if number else None
        municipality, before, after = self.municipality(unit), self.figures(unit), self._read(report)
        step = self._last = Step(report, unit, municipality, before, after, status, self.position)
        if step.changed:
            step.compare(self.columns)
        return step

    def place(self, report: Report) -> None:
        """Make a report the current one of its unit, at the next position."""
        step = self.step(report)
        index = step.unit.index
        grown, wholes = self._grown.get(index, _NONE), self._wholes.get(index, _NONE)
        if self._undo:
            undo = _Undo(step, self._figures[index], self._statuses[index], grown, wholes)
            self._undo[-1].append(undo)
        self._statuses[index] = _STATUS_NUMBERS.get(report.status, 0)
        if step.changed or self._figures[index] is None:
            self._figures[index] = step.after
        if step.changed:
            self._add(step.unit, step.before, step.after)
            if step.growths and self._compares:
                grown = (*grown, *step.growths)[-GROWTHS_MAX:]
                self._replace(self._grown, index, grown)
            if (wholes or step.ballots_before) and self._compares:
                self._replace(self._wholes, index, self._wholes_of(step, wholes, grown))
        self.explanations.place(step)
        self.position += 1

    def checkpoint(self) -> None:
        """Remember this state, before reports of a batch are placed that may not be committed.

        There may be several checkpoints: a batch may be judged before the one before it is committed.
        """
        self._undo.append([])
        self.explanations.checkpoint()

    def keep(self) -> None:
        """Forget the oldest checkpoint: what was placed between it and the next one is committed."""
        del self._undo[0]
        self.explanations.keep()

    def roll_back(self) -> None:
        """Return to the newest checkpoint, and forget it."""
        for each in reversed(self._undo.pop()):
            index = each.step.unit.index
            if each.step.changed:
                self._add(each.step.unit, each.step.after, each.step.before)
            self._figures[index] = each.figures
            self._statuses[index] = each.status
            self._replace(self._grown, index, each.grown)
            self._replace(self._wholes, index, each.wholes)
            self.position -= 1
        self._last = None
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
        return list(map(sum, zip(*(figures[parties] for parties in self.parties), strict=True)))

    def reference(self, step: Step, category: int, least: Mapping[str, int]) -> Reference | None:
        """Return the votes of the other units of the nearest area in which these have at least so many, by level.

        The search ends with the area that defines the unit's ballot. None if no area has that many.
        """
        key = "reference", category, id(least)
        if key not in step.kept:
            step.kept[key] = self._reference(step, category, least)
        found = step.kept[key]
        assert found is None or isinstance(found, Reference)
        return found

    def _reference(self, step: Step, category: int, least: Mapping[str, int]) -> Reference | None:
        if self._defines_ballot[step.unit.index]:
            return None
        parties = self.parties[category]
        own = step.before[parties]
        for index in step.unit.path:
            needed = least.get(self.registry.areas[index].level)
            if needed is not None:
                votes = list(map(sub, self.sums(index)[parties], own))
                total = sum(votes)
                if total >= needed:
                    return Reference(index, votes, total)
            if self._defines_ballot[index]:
                return None
        return None

    def grown(self, unit: int) -> tuple[Growth, ...]:
        """Return the last growths of a unit (`Area.index`), the newest last."""
        return self._grown.get(unit, _NONE)

    def municipality(self, unit: Area) -> int:
        """Return the `Area.index` of a unit's municipality."""
        index = self._municipalities.get(unit.index)
        if index is None:
            index = self._municipalities[unit.index] = self.registry.municipality(unit).index
        return index

    def _read(self, report: Report) -> array[int]:
        """Return the figures of a report, as far as its categories and parties are known."""
        figures = self._zeros[:]
        try:
            for category, counts in report.counts.items():
                blank, places = self._places[category]
                figures[blank] = counts.blank
                for party, votes in counts.votes.items():
                    figures[places[party]] = votes
        except KeyError:
            self._read_known(report, figures)
        return figures

    def _read_known(self, report: Report, figures: array[int]) -> None:
        """Read a report with categories or parties that the registry does not have."""
        for category, counts in report.counts.items():
            if category in self._places:
                blank, places = self._places[category]
                figures[blank] = counts.blank
                for party, votes in counts.votes.items():
                    if party in places:
                        figures[places[party]] = votes

    def _wholes_of(
        self, step: Step, kept: tuple[Growth, ...], grown: tuple[Growth, ...]
    ) -> tuple[Growth, ...]:
        """Return the figures as a whole of the categories that are not about equal to a growth after a step."""
        differ = {each.category for each in step.categories}
        return (
            *(each for each in kept if each.category not in differ),
            *(
                step.growth(each.category, each.ballots_after, each.after)
                for each in step.categories
                if each.ballots_before
                and each.ballots_after >= GROWTH_MIN
                and not any(_about_equal(growth, each) for growth in grown)
            ),
        )

    def _add(self, unit: Area, before: array[int], after: array[int]) -> None:
        """Replace figures of a unit in the sums of the areas above it."""
        changes = [(place, change) for place, change in enumerate(map(sub, after, before)) if change]
        for index in unit.path:
            sums = self._sums[index]
            if sums is None:
                sums = self._sums[index] = array("q", self._zeros)
            for place, change in changes:
                sums[place] += change

    def _replace(self, kept: dict[int, tuple[Growth, ...]], unit: int, new: tuple[Growth, ...]) -> None:
        """Replace the growths of a unit that are compared with others."""
        old = kept.pop(unit, _NONE)
        if new:
            kept[unit] = new
        for growth in old:
            if not any(growth is each for each in new):
                self.growths.remove(growth)
        for growth in new:
            if not any(growth is each for each in old):
                self.growths.add(growth)


def _about_equal(growth: Growth, figures: Category) -> bool:
    """Whether a growth of the unit is all that it has in a category, but for few ballots."""
    few = growth.ballots * ABOUT_EQUAL_PERMILLE // 1000
    return (
        growth.category == figures.category
        and abs(growth.ballots - figures.ballots_after) <= few
        and distance(growth.votes, figures.after) <= few
    )


def _date_of(registry: Registry) -> date:
    """Return the date of the election; without one, that of the end of its embargo."""
    try:
        return date.fromisoformat(registry.document["election"]["date"])
    except (KeyError, TypeError, ValueError):
        return registry.publish_from.date()


_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES, start=1)}
