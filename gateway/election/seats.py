"""PURE: the seats of an election state: a projection from the votes counted so far, exact at every sequence.

Seats follow from the votes of a state alone, whatever led to it. They are computed when they are asked for, and only
where votes have changed since; the cost of applying publications does not depend on them.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Sequence
from operator import add, sub
from typing import TYPE_CHECKING, NamedTuple

from gateway.election.apportionment import (
    Apportionment,
    Counted,
    DistrictSeats,
    HouseSeats,
    district,
    house,
    seats_among,
)

if TYPE_CHECKING:
    from gateway.election.state import ElectionState


class HouseProjection(NamedTuple):
    """The seats of all districts, and of the house, at some sequence. Never changes."""

    districts: tuple[Counted, ...]
    """In the order of `Apportionment.districts`, with their votes in all categories."""
    votes: tuple[int, ...]
    """The votes of the country, by party."""
    seats: HouseSeats


class SeatsProjection:
    """The seats of one state. Invariants:

    * They are those of the state's votes at the moment of the call.
    * A district is computed once per change of its votes (or of the parties that reach a threshold of the country, if
      that applies to ordinary seats), and the house once per change of any votes.
    """

    def __init__(self, state: ElectionState) -> None:
        rule = state.registry.apportionment
        assert rule is not None
        self.rule = rule
        self._areas = state.areas
        self._parties = state.layout.columns.parties
        self._numbers = {each.area: number for number, each in enumerate(rule.districts)}
        """The place of each district in `rule.districts`, by its index in the registry."""
        self._eligible: Sequence[int] = ()
        """The parties that reach a threshold of the country, if that applies to ordinary seats."""
        none = (0,) * len(state.registry.parties)
        self._votes = [none] * len(rule.districts)
        self._total = list(none)
        """The sums of `_votes`."""
        self._sequences = [0] * len(rule.districts)
        """Of each district when its votes were last read."""
        self._districts: list[Counted | None] = [None] * len(rule.districts)
        self._ordinary = list(none)
        """The sums of the seats of `_districts`."""
        self._house: HouseProjection | None = None
        self._house_sequence = -1

    def district(self, index: int) -> DistrictSeats | None:
        """Return the ordinary seats of the area with this index; None if it is no district."""
        number = self._numbers.get(index)
        if number is None:
            return None
        if self.rule.by_country:
            return complete(self.rule, self.house(), number)
        return self._district(number).seats

    def house(self) -> HouseProjection:
        """Return the seats of all districts and of the house.

        Those of districts lack `last` and `next` if they depend on the votes of the country; see `complete`.
        """
        sequence = self._areas[0].sequence
        if self._house is None or sequence != self._house_sequence:
            numbers = range(len(self._districts))
            if self.rule.by_country:
                for number in numbers:
                    self._read(number)
                self._require_eligible()
            districts = tuple(map(self._district, numbers))
            if self._house is None or districts != self._house.districts:
                seats = house(self.rule, districts, self._total, self._ordinary)
                self._house = HouseProjection(districts, tuple(self._total), seats)
            self._house_sequence = sequence
        return self._house

    def refresh(self) -> Generator[None, None, None]:
        """Compute what has changed, in steps of a few milliseconds, so that the next calls are quick."""
        if not self.rule.by_country:
            for number in range(len(self._districts)):
                self._district(number)
                yield
        self.house()

    def _district(self, number: int) -> Counted:
        votes, known = self._read(number), self._districts[number]
        if known is not None and known.votes is votes:
            return known
        seats = self.rule.districts[number].seats
        if self.rule.by_country:
            found = seats_among(self.rule, votes, seats, self._eligible)
        else:
            found = district(self.rule, votes, seats)
        if known is not None:
            _replace(self._ordinary, known.seats.seats, found.seats)
        else:
            _replace(self._ordinary, (0,) * len(votes), found.seats)
        self._districts[number] = known = Counted(votes, found)
        return known

    def _read(self, number: int) -> tuple[int, ...]:
        """Return the present votes of a district, the same tuple as before if they are equal."""
        area = self._areas[self.rule.districts[number].area]
        before = self._votes[number]
        if self._sequences[number] == area.sequence:
            return before
        votes = self._sum(area.figures)
        self._sequences[number] = area.sequence
        if votes == before:
            return before
        _replace(self._total, before, votes)
        self._votes[number] = votes
        return votes

    def _sum(self, figures: array[int]) -> tuple[int, ...]:
        """Return the votes of each party in all categories."""
        if len(self._parties) == 1:
            return tuple(figures[self._parties[0]])
        return tuple(map(sum, zip(*(figures[each] for each in self._parties), strict=True)))

    def _require_eligible(self) -> None:
        """Note which parties reach the threshold of the country; if others do, compute every district again."""
        assert self.rule.threshold is not None
        eligible = self.rule.threshold.eligible(self._total)
        if eligible != self._eligible:
            self._eligible = eligible
            self._districts = [None] * len(self._districts)
            self._ordinary = [0] * len(self._ordinary)


def complete(rule: Apportionment, projection: HouseProjection, number: int) -> DistrictSeats:
    """Return the seats of a district with `last` and `next`."""
    counted = projection.districts[number]
    if not rule.by_country:
        return counted.seats
    return district(rule, counted.votes, rule.districts[number].seats, projection.votes)


def _replace(sums: list[int], before: Sequence[int], after: Sequence[int]) -> None:
    """Replace a summand in sums."""
    sums[:] = map(sub, map(add, sums, after), before)
