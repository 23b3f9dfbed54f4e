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
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from gateway.election.layout import BALLOTS, COUNTED, PARTIES
from gateway.election.percentages import hundredths
from gateway.election.previous import Previous
from gateway.election.registry import Area
from gateway.election.report import Status

if TYPE_CHECKING:
    from gateway.election.state import ElectionState

Basis = Literal["same_units", "whole"]
"""What the figures of the previous election are of: the units that are counted now, or the whole area."""
Vector: TypeAlias = "array[int]"
"""The figures of a `PreviousArea`, of which the last is the votes now of counted units without earlier ones."""
DONE: tuple[Status, ...] = ("final", "controlled", "settled", "counted_elsewhere")
"""Statuses of units that are counted even if they have no ballots."""

OPEN_MOST = 20
"""An area is compared with what is known of its counted units if the votes of the others are at most 1 in OPEN_MOST."""
UNITS_PER_STEP = 500
"""Units per step of `Comparison.update`."""


Shares: TypeAlias = "tuple[int | None, ...]"
"""Of each party in the registry's order, in hundredths of a percent."""


class Change(NamedTuple):
    """The change of an area since the previous election, in hundredths of a percentage point."""

    basis: Basis
    shares: Shares
    """None for a party that did not stand for election there, or is not on the ballot."""
    turnout: int | None
    """None unless every unit is counted, and for units: ballots are counted where they were cast."""


class Comparison:
    """Compares a state with the previous election.

    What an area is compared with is the sum of what the areas directly below it are compared with: a counted unit with
    its own earlier votes, and an area that the document has with the votes given there, once all its units are counted.
    Invariant: `_sums` has these sums of the units as they were when `_counted` and `_open` were set.
    """

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
        self._nothing: Vector = array("q", bytes(8 * (2 * self._parties + 2)))
        self._counted = array("q", bytes(8 * len(registry.areas)))
        """How many counted units are at or below each area."""
        self._earlier: dict[int, tuple[Vector, Shares | None]] = {}
        """By area, the earlier shares that follow from a vector."""
        self._open: dict[int, int] = {}
        """The votes of each counted unit without earlier ones."""
        self._sums: dict[int, Vector] = {}
        """Of units themselves, and of areas above them the sum of those directly below."""

    def change(self, index: int) -> Change | None:
        """Return the change of the area with this index; None if nothing can be compared yet."""
        deque(self.update(), maxlen=0)
        area = self._state.areas[index]
        votes = self._votes_now(area.figures)
        all_votes = sum(votes)
        basis, before = self._before(index, all_votes)
        if before is None or not all_votes:
            return None
        earlier = self._shares_of(area.area, before)
        if earlier is None:
            return None
        shares = tuple(
            None if then is None else hundredths(now, all_votes) - then
            for now, then in zip(votes, earlier, strict=True)
        )
        return Change(basis, shares, self._turnout(index))

    def _shares_of(self, area: Area, before: Vector) -> Shares | None:
        """Return the earlier share of each party; they are computed once, since most publications turn no unit."""
        cached = self._earlier.get(area.index)
        if cached is not None and cached[0] is before:
            return cached[1]
        parties = self._parties
        votes = sum(before[: parties + 1])
        codes, stood = self._state.registry.party_codes, before[parties + 1 : 2 * parties + 1]
        shares = votes and tuple(
            hundredths(then, votes) if areas and party in area.ballot else None
            for party, then, areas in zip(codes, before[:parties], stood, strict=True)
        )
        self._earlier[area.index] = before, shares or None
        return shares or None

    def _before(self, index: int, all_votes: int) -> tuple[Basis, Vector | None]:
        """Return what an area is compared with, and its figures at the previous election, None if there are none."""
        known = self._known(index)
        if known is not None and any(known[: self._parties + 1]) and known[-1] * OPEN_MOST <= all_votes:
            return "same_units", known
        return "whole", self._whole(index)

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
        if (
            before is None
            or area.area.is_unit
            or not self._is_complete(index)
            or area.figures[self._counting]
        ):
            return None
        if not before.eligible or before.ballots is None or not area.area.eligible:
            return None
        ballots = self._state.layout.ballots(area.figures)
        return hundredths(ballots, area.area.eligible) - hundredths(before.ballots, before.eligible)

    def _is_complete(self, index: int) -> bool:
        return self._counted[index] == self._state.registry.areas[index].units

    def update(self) -> Iterator[None]:
        """Take in the units that changed since the last time, in steps of a few milliseconds.

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
            self._take_in(index)
        self._sequence = max(self._sequence, until)

    def _take_in(self, index: int) -> None:
        """Bring the sums above a unit up to date."""
        figures = self._state.areas[index].figures
        counted, was_counted = int(self._is_counted(figures)), self._counted[index]
        if index in self._previous.areas:
            if counted != was_counted and (known := self._whole(index)) is not None:
                self._add(index, known if counted else _minus(self._nothing, known), counted - was_counted)
            return
        votes = sum(self._votes_now(figures)) if counted else 0
        more = votes - self._open.get(index, 0)
        if more or counted != was_counted:
            self._open[index] = votes
            change = self._nothing[:]
            change[-1] = more
            self._add(index, change, counted - was_counted)

    def _add(self, index: int, change: Vector, turned: int) -> None:
        """Add to what is known of a unit and of the areas above it.

        `turned` is 1 if the unit is counted now, -1 if it is no longer, and 0 otherwise.
        """
        for place in (index, *self._state.registry.areas[index].path):
            before = self._known(place)
            sums = self._sums.get(place)
            self._sums[place] = change if sums is None else array("q", map(add, sums, change))
            self._counted[place] += turned
            if place in self._previous.given:
                after = self._known(place)
                assert after is not None
                change = after if before is None else _minus(after, before)

    def _known(self, index: int) -> Vector | None:
        """Return what the counted units at or below an area are compared with; None before the first."""
        if index in self._previous.given and self._is_complete(index):
            return self._whole(index)
        return self._sums.get(index)

    def _whole(self, index: int) -> Vector | None:
        """Return the earlier figures of a whole area, None if they are not known."""
        area = self._previous.areas.get(index)
        return area.figures if area is not None else None

    def _is_counted(self, figures: array[int]) -> bool:
        """Whether a unit is counted: it has ballots, or a status that says that there are none."""
        has_ballots = any(figures[counted] and figures[ballots] for counted, ballots in self._counts)
        return has_ballots or any(figures[place] for place in self._done)


def _minus(one: Vector, other: Vector) -> Vector:
    return array("q", map(sub, one, other))
