"""How many votes a party can lose before it loses its last seat, and how many it needs for its next one.

Without a threshold, and with divisors, this follows from two quotients. Otherwise a party's own votes also change the
quotas, and which parties reach the threshold; the number of votes is then searched among integers, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gateway.election.apportionment.allocation import Allocation
from gateway.election.apportionment.methods import AnyMethod, Divisors
from gateway.election.apportionment.threshold import WHOLE, Threshold


class Contest(NamedTuple):
    """What the ordinary seats of a district follow from."""

    method: AnyMethod
    votes: Sequence[int]
    seats: int
    threshold: Threshold | None
    """One that applies to ordinary seats."""
    whole: Sequence[int] | None
    """The votes of which the threshold is a share; None without a threshold."""


def lacks(contest: Contest, found: Allocation, last: int, following: int) -> int:
    """Return with how many more votes `following` gets a further seat without a lot. `last` has the last seat."""
    votes, seats = contest.votes, found.seats
    if isinstance(contest.method, Divisors) and contest.threshold is None:
        own, other = votes[following], votes[last]
        mine, its = (
            contest.method.divisor(seats[following]),
            contest.method.divisor(seats[last] - 1),
        )
        needed, rest = divmod(other * mine, its)
        return (needed if not rest and needed > other else needed + 1) - own
    wins = _Changed(contest, following, seats[following], lot=False).has_seat
    return _first(wins, _turning_points(contest, following, 1))


def spare(contest: Contest, found: Allocation, last: int, following: int | None) -> int:
    """Return the most votes that `last` can lose before it loses its last seat without a lot.

    `following` is the party that would get it.
    """
    votes, seats = contest.votes, found.seats
    if isinstance(contest.method, Divisors) and contest.threshold is None:
        if following is None:
            return votes[last] - 1
        other = votes[following]
        mine, its = contest.method.divisor(seats[last] - 1), contest.method.divisor(seats[following])
        needed, rest = divmod(other * mine, its)
        least = needed if not rest and needed >= other else needed + 1
        return votes[last] - max(least, 1)
    has_seat = _Changed(contest, last, seats[last] - 1, lot=True).has_seat
    return _first(lambda lost: not has_seat(-lost), _turning_points(contest, last, -1)) - 1


class _Changed(NamedTuple):
    """The contest if one party had more or fewer votes, all else equal: whether it has the seat after `before`."""

    contest: Contest
    party: int
    before: int
    lot: bool
    """Whether it also has the seat if a lot could give it to the party."""

    def has_seat(self, more: int) -> bool:
        """Whether it has the seat with so many more votes; `more` is negative if it loses votes."""
        method, votes, seats, _, _ = self.contest
        own = votes[self.party] + more
        parties = self._eligible(more)
        if own <= 0 or self.party not in parties:
            return False
        others = [votes[party] for party in parties if party != self.party]
        quotients = method.method(own + sum(others), seats)
        above = sum(
            quotients.reaching(other, own, self.before, equal=other > own or (other == own and not self.lot))
            for other in others
        )
        return above + self.before < seats

    def _eligible(self, more: int) -> Sequence[int]:
        _, votes, _, threshold, whole = self.contest
        if threshold is None or whole is None:
            return [party for party, own in enumerate(votes) if own or party == self.party]
        total = sum(whole) + more
        return [
            party
            for party, own in enumerate(votes)
            if (own or party == self.party)
            and threshold.reached(whole[party] + (more if party == self.party else 0), total)
        ]


def _turning_points(contest: Contest, party: int, sign: int) -> Iterator[int]:
    """Yield, rising, the last changes after which another party passes the threshold, or would.

    Between these, a party that gains votes does not lose seats.
    """
    threshold, whole = contest.threshold, contest.whole
    if threshold is None or whole is None:
        return
    total = sum(whole)
    limits = {own * WHOLE // threshold.parts - total for other, own in enumerate(whole) if other != party}
    yield from sorted(limit if sign > 0 else -limit - 1 for limit in limits)


def _first(holds: Callable[[int], bool], ends: Iterator[int]) -> int:
    """Return the smallest change from 1 for which something holds; up to each of `ends`, it goes on once it holds."""
    start = 1
    for end in ends:
        if end >= start:
            if holds(end):
                return _bisect(holds, start, end)
            start = end + 1
    step = 1
    while not holds(start + step):
        start, step = start + step + 1, 2 * step
    return _bisect(holds, start, start + step)


def _bisect(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the smallest change from `low` to `high`, where it holds."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
