"""Methods of apportionment: which party gets the next seat.

A method gives each seat of a party a quotient, and seats go to the largest quotients: for divisors, the votes divided
by the divisor of the party's next seat; for the largest remainder (Hare), the party's quota of seats, less one for each
seat before. The largest `seats` of these are the whole quotas and then the largest remainders.

Quotients are compared as integers, exactly. Of equal quotients, the one with more votes comes first; then only a lot
could decide, in place of which the order of the registry is used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

VOTES_BITS = 64
"""Bits of the votes of a party."""


class Method(Protocol):
    """A method for a given number of votes (of all parties that take part) and seats."""

    def rank(self, votes: int, before: int) -> int:
        """Return the quotient of a party's next seat as an integer that orders exactly."""

    def reaching(self, votes: int, of: int, before: int, *, equal: bool) -> int:
        """Return how many seats a party with `votes` has above the next seat of a party with `of` votes.

        Seats of the same quotient count if `equal`.
        """

    def estimate(self, votes: int) -> int:
        """Return about how many seats a party gets."""


class Divisors(NamedTuple):
    """The first divisors, rising; the last step continues them."""

    first: tuple[int, ...]

    @property
    def step(self) -> int:
        """The last step between two divisors."""
        return self.first[-1] - self.first[-2]

    def divisor(self, before: int) -> int:
        """Return the divisor of the next seat of a party that has so many seats."""
        beyond = before - len(self.first)
        return self.first[before] if beyond < 0 else self.first[-1] + (beyond + 1) * self.step

    def up_to(self, most: int) -> int:
        """Return how many divisors are at most `most`."""
        if most < self.first[-1]:
            return bisect_right(self.first, most)
        return len(self.first) + (most - self.first[-1]) // self.step

    def method(self, votes: int, seats: int) -> Method:
        """Return the method for so many votes and seats."""
        return _Quotients(self, votes, seats)


class _Quotients:
    """Votes divided by divisors. Two different fractions differ by more than what `_shift` bits can express."""

    def __init__(self, divisors: Divisors, votes: int, seats: int) -> None:
        self._divisors = divisors
        self._first = divisors.first
        self._last, self._step = divisors.first[-1], divisors.step
        self._beyond = len(divisors.first) - 1
        self._shift = 2 * divisors.divisor(seats).bit_length()
        self._votes, self._seats = votes, seats

    def rank(self, votes: int, before: int) -> int:
        beyond = before - self._beyond
        return (votes << self._shift) // (
            self._first[before] if beyond < 0 else self._last + beyond * self._step
        )

    def reaching(self, votes: int, of: int, before: int, *, equal: bool) -> int:
        return self._divisors.up_to((votes * self._divisors.divisor(before) - (not equal)) // of)

    def estimate(self, votes: int) -> int:
        return self._divisors.up_to(votes * self._seats * self._step // self._votes)


class LargestRemainder(NamedTuple):
    """The largest remainder, with the quota of Hare: votes divided by seats."""

    def method(self, votes: int, seats: int) -> Method:
        """Return the method for so many votes and seats."""
        return _Quotas(votes, seats)


class _Quotas:
    """Quotas in units of 1 ÷ votes."""

    def __init__(self, votes: int, seats: int) -> None:
        self._votes, self._seats = votes, seats

    def rank(self, votes: int, before: int) -> int:
        return votes * self._seats - before * self._votes

    def reaching(self, votes: int, of: int, before: int, *, equal: bool) -> int:
        return max(0, (votes * self._seats - self.rank(of, before) - (not equal)) // self._votes + 1)

    def estimate(self, votes: int) -> int:
        return votes * self._seats // self._votes


AnyMethod = Divisors | LargestRemainder


def ranks(method: Method, votes: Sequence[int]) -> Callable[[int, int], int]:
    """Return a function of party and its seats so far: the rank of its next seat, unique and larger for what is first.

    Without the lowest bits, which are for the order of the registry, ranks are equal if only a lot could decide.
    """
    quotient = method.rank
    bits, most = party_bits(votes), len(votes) - 1

    def rank(party: int, before: int) -> int:
        own = votes[party]
        return (((quotient(own, before) << VOTES_BITS) + own) << bits) + most - party

    return rank


def party_bits(votes: Sequence[int]) -> int:
    """Return how many of the lowest bits of a rank are for the order of the registry."""
    return len(votes).bit_length()
