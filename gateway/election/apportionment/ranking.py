"""The rank of each party's last and next seat among all seats of a district, as results services publish them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.election.apportionment.methods import AnyMethod, Divisors


class Ranked(NamedTuple):
    """A seat of a party: its quotient, `numerator` ÷ `denominator`, and its rank from 1.

    It is ranked among the seats that each party would have if it won all of them.
    """

    numerator: int
    denominator: int
    """With divisors, the divisor as in the registry: 14, not 1.4."""
    rank: int


class Ranking(NamedTuple):
    """The last seat of a party, None if it has none, and the next one it would get, None if it has no votes."""

    last: Ranked | None
    next: Ranked | None


def ranking(
    rule: AnyMethod, votes: Sequence[int], ordinary: int, seats: Sequence[int]
) -> tuple[Ranking, ...]:
    """Return the ranking of every party of a district, in the order of the registry, by its ordinary `seats`.

    All parties are ranked, also those below a threshold.
    """
    total = sum(votes)
    if not total or ordinary <= 0:
        return (Ranking(None, None),) * len(votes)
    method = rule.method(total, ordinary)

    def ranked(party: int, before: int) -> Ranked:
        above = sum(
            min(
                ordinary,
                method.reaching(
                    other,
                    votes[party],
                    before,
                    equal=other > votes[party] or (other == votes[party] and place < party),
                ),
            )
            for place, other in enumerate(votes)
            if other and place != party
        )
        if isinstance(rule, Divisors):
            return Ranked(votes[party], rule.divisor(before), above + before + 1)
        return Ranked(method.rank(votes[party], before), total, above + before + 1)

    return tuple(
        Ranking(ranked(party, seats[party] - 1) if seats[party] else None, ranked(party, seats[party]))
        if own
        else Ranking(None, None)
        for party, own in enumerate(votes)
    )
