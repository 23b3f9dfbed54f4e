"""How many votes a party can lose before it loses its last seat, and how many it needs for its next one.

With divisors, this follows from two quotients, as long as the same other parties reach the threshold. Otherwise, and
with quotas, which its own votes change too, the number of votes is searched among integers, exactly.
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
    if isinstance(contest.method, Divisors):
        own, other, seats = contest.votes[following], contest.votes[last], found.seats
        mine = contest.method.divisor(seats[following])
        needed, rest = divmod(other * mine, contest.method.divisor(seats[last] - 1))
        more = (needed if not rest and needed > other else needed + 1) - own
        if _same_others(contest, following, more):
            return more
    wins = _Changed(contest, following, found.seats[following], lot=False).has_seat
    return _first(wins, _turning_points(contest, following, 1))


def spare(contest: Contest, found: Allocation, last: int, following: int | None) -> int:
    """Return the most votes that `last` can lose before it loses its last seat without a lot.

    `following` is the party that would get it.
    """
    if isinstance(contest.method, Divisors):
        fewer = _spare_by_quotient(contest.method, contest.votes, found.seats, last, following)
        if contest.threshold is not None and contest.whole is not None:
            fewer = min(fewer, contest.threshold.spare(contest.whole[last], sum(contest.whole)))
        if _same_others(contest, last, -fewer - 1):
            return fewer
    has_seat = _Changed(contest, last, found.seats[last] - 1, lot=True).has_seat
    return _first(lambda lost: not has_seat(-lost), _turning_points(contest, last, -1)) - 1


def _spare_by_quotient(
    rule: Divisors, votes: Sequence[int], seats: Sequence[int], last: int, following: int | None
) -> int:
    """Return `spare` as long as the same parties take part."""
    if following is None:
        return votes[last] - 1
    other = votes[following]
    needed, rest = divmod(other * rule.divisor(seats[last] - 1), rule.divisor(seats[following]))
    return votes[last] - (needed if not rest and needed >= other else needed + 1)


def _same_others(contest: Contest, party: int, more: int) -> bool:
    """Whether the others that reach the threshold are the same with so many more votes of a party as without."""
    threshold, whole = contest.threshold, contest.whole
    if threshold is None or whole is None:
        return True
    total = sum(whole)
    return all(
        threshold.reached(own, total) is threshold.reached(own, total + more)
        for other, own in enumerate(whole)
        if own and other != party
    )


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

    Between these, a party that gains votes does not lose seats. With divisors it never does: its quotients rise, and
    others may only fall below the threshold.
    """
    threshold, whole = contest.threshold, contest.whole
    if threshold is None or whole is None or isinstance(contest.method, Divisors):
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
