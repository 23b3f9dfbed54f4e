"""PURE: the seats of an election state: a projection from the votes counted so far, exact at every sequence.

Seats follow from the votes of a state alone, whatever led to it. They are computed when they are asked for, and only
where votes have changed since; the cost of applying publications does not depend on them.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from gateway.election.apportionment import Counted, DistrictSeats, HouseSeats, district, house

if TYPE_CHECKING:
    from gateway.election.state import ElectionState

DISTRICTS_PER_STEP = 10
"""Districts per step of `SeatsProjection.refresh`: about a millisecond with the parties of a country."""


class HouseProjection(NamedTuple):
    """The seats of all districts, and of the house, at some sequence. Never changes."""

    districts: tuple[Counted, ...]
    """In the order of `Apportionment.districts`, with their votes in all categories."""
    seats: HouseSeats


class SeatsProjection:
    """The seats of one state. Invariants:

    * They are those of the state's votes at the moment of the call.
    * A district is computed at most once per change of its votes; of the country's, if its seats depend on these. So is
      the house, per change of any votes.
    """

    def __init__(self, state: ElectionState) -> None:
        rule = state.registry.apportionment
        assert rule is not None
        self.rule = rule
        self._areas = state.areas
        self._parties = state.layout.columns.parties
        self._numbers = {each.area: number for number, each in enumerate(rule.districts)}
        """The place of each district in `rule.districts`, by its index in the registry."""
        self._sequences = [-1] * len(rule.districts)
        """Of each district when its votes were last read."""
        self._votes: list[tuple[int, ...]] = [()] * len(rule.districts)
        self._country: list[int] = []
        """The votes of the country by which the districts were computed, if they depend on it."""
        self._districts: list[Counted | None] = [None] * len(rule.districts)
        self._house: HouseProjection | None = None
        self._house_sequence = -1

    def district(self, index: int) -> DistrictSeats | None:
        """Return the ordinary seats of the area with this index; None if it is no district."""
        number = self._numbers.get(index)
        if number is None:
            return None
        if self.rule.by_country:
            return self.house().districts[number].seats
        return self._district(number).seats

    def house(self) -> HouseProjection:
        """Return the seats of all districts and of the house."""
        sequence = self._areas[0].sequence
        if self._house is None or sequence != self._house_sequence:
            if self.rule.by_country:
                self._read_country()
            districts = tuple(map(self._district, range(len(self._districts))))
            if self._house is None or districts != self._house.districts:
                self._house = HouseProjection(districts, house(self.rule, districts))
            self._house_sequence = sequence
        return self._house

    def refresh(self) -> Generator[None, None, None]:
        """Compute what has changed, in steps of a few milliseconds, so that the next calls are quick."""
        if not self.rule.by_country:
            for number in range(len(self._districts)):
                self._district(number)
                if number % DISTRICTS_PER_STEP == DISTRICTS_PER_STEP - 1:
                    yield
        self.house()

    def _read(self, number: int) -> tuple[int, ...]:
        """Return the present votes of a district, the same tuple as before if they are equal."""
        area = self._areas[self.rule.districts[number].area]
        if self._sequences[number] != area.sequence:
            votes = self._sum(area.figures)
            if votes != self._votes[number]:
                self._votes[number] = votes
            self._sequences[number] = area.sequence
        return self._votes[number]

    def _sum(self, figures: array[int]) -> tuple[int, ...]:
        """Return the votes of each party in all categories."""
        first, *others = self._parties
        if not others:
            return tuple(figures[first])
        return tuple(map(sum, zip(*(figures[each] for each in self._parties), strict=True)))

    def _read_country(self) -> None:
        """Read the votes of the country; if they have changed, every district is to be computed again."""
        votes = [self._read(number) for number in range(len(self._districts))]
        country = list(map(sum, zip(*votes, strict=True)))
        if country != self._country:
            self._country = country
            self._districts = [None] * len(self._districts)

    def _district(self, number: int) -> Counted:
        votes, known = self._read(number), self._districts[number]
        if known is None or known.votes is not votes:
            seats = self.rule.districts[number].seats
            found = district(self.rule, votes, seats, self._country if self.rule.by_country else None)
            known = self._districts[number] = Counted(votes, found)
        return known
