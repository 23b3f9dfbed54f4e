"""PURE: the change of each area since the previous election.

It follows from the figures of the state and the previous election alone, so it is the same after every way to the same
state, and changes only with a publication at or below the area. What is kept is brought up to date when it is read, at
a cost that depends on the units that changed since.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from operator import add, sub
from typing import TYPE_CHECKING, Literal, NamedTuple

from gateway.election.layout import BALLOTS, COUNTED, PARTIES
from gateway.election.percentages import hundredths
from gateway.election.previous import Previous
from gateway.election.report import Status

if TYPE_CHECKING:
    from gateway.election.state import ElectionState

Basis = Literal["same_units", "whole"]
"""What both sides are of: the units below the area that are counted now, or at the previous election the whole area."""
DONE: tuple[Status, ...] = ("final", "controlled", "settled", "counted_elsewhere")
"""Statuses of units that are counted even if they have no ballots."""

UNITS_PER_STEP = 500
"""Units per step of `Comparison.update`."""


class Change(NamedTuple):
    """The change of an area since the previous election, in hundredths of a percentage point."""

    basis: Basis
    shares: tuple[int | None, ...]
    """Of each party in the registry's order; None if it did not stand for election there, or is not on the ballot."""
    turnout: int | None
    """None unless every unit is counted, and for units: ballots are counted where they were cast."""


class Comparison:
    """Compares a state with the previous election. Invariant: `_counted` and the sums agree with each other."""

    def __init__(self, state: ElectionState, previous: Previous) -> None:
        self._state = state
        self._previous = previous
        self._sequence = 0
        """Up to which the units are known."""
        registry, layout = state.registry, state.layout
        self._parties = len(registry.parties)
        self._votes = tuple(slice(base + PARTIES, base + layout.width) for base in layout.bases.values())
        self._counts = tuple((base + COUNTED, base + BALLOTS) for base in layout.bases.values())
        self._done = tuple(layout.statuses[name] for name in DONE)
        self._counting = layout.statuses["counting"]
        self._units = frozenset(area.index for area in registry.units.values())
        self._counted = bytearray(len(registry.areas))
        """1 for each unit that is counted."""
        self._with = array("q", bytes(8 * len(registry.areas)))
        self._without = self._with[:]
        """How many counted units are at or below an area: with votes of the previous election, and without."""
        self._sums: dict[int, array[int]] = {}
        """The figures at the previous election of the counted units below each area."""

    def change(self, index: int) -> Change | None:
        """Return the change of the area with this index; None if nothing can be compared yet."""
        deque(self.update(), maxlen=0)
        basis, before = self._before(index)
        if before is None or not (votes_before := sum(before[: self._parties + 1])):
            return None
        area = self._state.areas[index]
        votes = self._votes_now(area.figures)
        if not (all_votes := sum(votes)):
            return None
        ballot, stood = area.area.ballot, before[self._parties + 1 :]
        shares = tuple(
            hundredths(now, all_votes) - hundredths(then, votes_before) if areas and party in ballot else None
            for party, now, then, areas in zip(
                self._state.registry.party_codes, votes, before, stood, strict=False
            )
        )
        return Change(basis, shares, self._turnout(index))

    def _before(self, index: int) -> tuple[Basis, array[int] | None]:
        """Return what an area is compared with, and its figures at the previous election, None if there are none."""
        if self._with[index] and not self._without[index]:
            return "same_units", self._sums[index]
        whole = self._previous.areas.get(index)
        return "whole", whole.figures if whole is not None else None

    def _votes_now(self, figures: array[int]) -> list[int]:
        """Return the votes of each party in all categories."""
        first, *others = (figures[each] for each in self._votes)
        votes = first.tolist()
        for each in others:
            votes = list(map(add, votes, each))
        return votes

    def _turnout(self, index: int) -> int | None:
        """Return the change of the turnout of an area above units of which every unit is counted completely."""
        area, before = self._state.areas[index], self._previous.areas.get(index)
        complete = self._with[index] + self._without[index] == area.area.units
        if before is None or not complete or area.area.is_unit or area.figures[self._counting]:
            return None
        if not before.eligible or before.ballots is None or not area.area.eligible:
            return None
        ballots = self._state.layout.ballots(area.figures)
        return hundredths(ballots, area.area.eligible) - hundredths(before.ballots, before.eligible)

    def update(self) -> Iterator[None]:
        """Take in the units that were or are no longer counted since the last time, in steps of a few milliseconds.

        Reading a change does the same at once. After many publications were applied, this takes longer than a step.
        """
        state = self._state
        if state.sequence == self._sequence:
            return
        changed = state.changed_since(self._sequence, self._units)
        until = state.sequence
        for number, index in enumerate(changed):
            if number % UNITS_PER_STEP == UNITS_PER_STEP - 1:
                yield
            if self._counted[index] != self._is_counted(state.areas[index].figures):
                self._turn(index)
        self._sequence = max(self._sequence, until)

    def _is_counted(self, figures: array[int]) -> bool:
        """Whether a unit is counted: it has ballots, or a status that says that there are none."""
        has_ballots = any(figures[counted] and figures[ballots] for counted, ballots in self._counts)
        return has_ballots or any(figures[place] for place in self._done)

    def _turn(self, index: int) -> None:
        """Record that a unit is counted now, or no longer."""
        counted = not self._counted[index]
        self._counted[index] = counted
        unit = self._previous.areas.get(index)
        counts = self._with if unit is not None else self._without
        for place in (index, *self._state.registry.areas[index].path):
            counts[place] += 1 if counted else -1
            if unit is None:
                continue
            figures = self._sums.get(place)
            if figures is None:
                self._sums[place] = unit.figures[:]
            else:
                self._sums[place] = array("q", map(add if counted else sub, figures, unit.figures))
