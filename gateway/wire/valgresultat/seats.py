"""The seats of a state as the documents show them: of each party in a district, and in the house."""

from collections.abc import Mapping

from gateway.election.apportionment import Counted, Divisors, HouseSeats, Ranked, Ranking, ranking
from gateway.election.registry import Area, Registry
from gateway.election.seats import SeatsProjection
from gateway.wire.valgresultat.figures import rounded
from gateway.wire.valgresultat.mandates import DistrictMandates, HouseMandates, Quotient


class Seats:
    """The seats of one state, by the code of the party. What is not known yet is None."""

    def __init__(self, registry: Registry, projection: SeatsProjection) -> None:
        self._codes = registry.party_codes
        self._projection = projection
        rule = self._rule = projection.rule
        self._numbers = {each.area: number for number, each in enumerate(rule.districts)}
        self._unit = _unit(rule.method) if isinstance(rule.method, Divisors) else (1, 1)
        self._rankings: dict[int, tuple[Counted, tuple[Ranking, ...]]] = {}
        """By number of the district, with what they follow from."""

    @property
    def districts(self) -> frozenset[int]:
        """Indexes of the districts."""
        return frozenset(self._numbers)

    def number(self, area: Area) -> int:
        """Return how many seats the root or a district has, levelling seats included."""
        return self._rule.districts[self._numbers[area.index]].seats if area.path else self._rule.seats

    def district(self, area: Area) -> Mapping[str, DistrictMandates] | None:
        """Return the seats of each party in a district; None before any votes there."""
        number = self._numbers[area.index]
        projected = self._projection.house()
        votes, seats = projected.districts[number]
        if not any(votes):
            return None
        levelling = _levelling(projected.seats, number, len(votes))
        ranks = self._ranking(number, projected.districts[number])
        return {
            code: DistrictMandates(
                seats.seats[party] + (levelling[party] if levelling is not None else 0),
                levelling[party] if levelling is not None else self._not_given,
                self._quotient(ranks[party].last),
                self._quotient(ranks[party].next),
            )
            for party, code in enumerate(self._codes)
        }

    def house(self) -> Mapping[str, HouseMandates] | None:
        """Return the seats of each party in the house; None before any votes."""
        projected = self._projection.house()
        if not any(any(each.votes) for each in projected.districts):
            return None
        seats = projected.seats
        last = {
            each.party: Quotient(each.numerator / each.denominator, rank)
            for rank, each in enumerate(seats.given or (), 1)
        }
        return {
            code: HouseMandates(
                seats.seats[party],
                seats.levelling[party] if seats.given is not None else self._not_given,
                last.get(party),
            )
            for party, code in enumerate(self._codes)
        }

    def _ranking(self, number: int, counted: Counted) -> tuple[Ranking, ...]:
        """Return the ranking of every party of a district, computed once per change of its votes."""
        known = self._rankings.get(number)
        if known is None or known[0] is not counted:
            votes, seats = counted
            known = counted, ranking(self._rule.method, votes, seats.ordinary, seats.seats)
            self._rankings[number] = known
        return known[1]

    @property
    def _not_given(self) -> int | None:
        """How many levelling seats a party has until they are given: None, or 0 if there never are any."""
        return 0 if self._rule.levelling is None else None

    def _quotient(self, ranked: Ranked | None) -> Quotient | None:
        if ranked is None:
            return None
        multiple, divisor = self._unit
        return Quotient(rounded(ranked.numerator * multiple, ranked.denominator * divisor, 5), ranked.rank)


def _levelling(seats: HouseSeats, district: int, parties: int) -> list[int] | None:
    """Return the levelling seats of each party in a district; None if they are not given."""
    if seats.given is None:
        return None
    found = [0] * parties
    for each in seats.given:
        found[each.party] += each.district == district
    return found


def _unit(divisors: Divisors) -> tuple[int, int]:
    """Return the unit of the divisors as a fraction, so that 14, 30, 50 are 1.4, 3, 5 and 10, 20, 30 are 1, 2, 3.

    The last step is 1 for divisors that are its multiples, as those of D'Hondt, and otherwise 2, as with odd numbers.
    """
    multiples = divisors.first[1] % divisors.step == 0
    return (divisors.step, 1) if multiples else (divisors.step, 2)
