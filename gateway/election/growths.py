"""PURE: growths, and those among many that are nearly equal to another one.

A growth is, for one category of a unit, the figures of a report minus those of the unit's current report, per party;
blank votes count as one more party. Two of them that are nearly equal, party by party, are rarely a coincidence.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Iterator, Sequence
from operator import sub
from typing import NamedTuple

GROWTH_MIN = 100
"""Ballots of the smallest growth that is kept: smaller ones are often equal by coincidence."""
_DIGITS = 7
"""Binary digits of `ballots` that decide in which bucket a growth is; so a bucket is 0.8 to 1.6 % wide."""


class Growth(NamedTuple):
    """By how much the figures of one category of a unit grew with one report."""

    unit: int
    """`Area.index` of the unit."""
    municipality: int
    """`Area.index` of the municipality of the unit."""
    category: int
    """Place of the category in `Registry.categories`."""
    ballots: int
    """The sum of `votes`."""
    votes: array[int]
    """Difference per party in the registry's order, blank votes last (32-bit signed). Must not be changed."""
    position: int = 0
    """Position of the report in the record, from 1. Growths of one size are found in this order."""


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Return by how many votes two vectors differ, summed over the parties."""
    return sum(map(abs, map(sub, one, other)))


class Growths:
    """Growths by size, so that few have to be compared party by party.

    Which ones are found, and in which order, depends only on those that were added and not removed.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, list[Growth]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, growth: Growth) -> None:
        """Add a growth of any size above 0."""
        insort(self._buckets.setdefault(_bucket(growth.ballots), []), growth, key=_by_size)
        self._count += 1

    def remove(self, growth: Growth) -> None:
        """Remove a growth that was added: this object, not one that is equal. Raises KeyError."""
        key = _bucket(growth.ballots)
        bucket = self._buckets[key]
        for number, each in enumerate(bucket):
            if each is growth:
                del bucket[number]
                break
        else:
            raise KeyError(growth)
        if not bucket:
            del self._buckets[key]
        self._count -= 1

    def near(self, ballots: int, votes: Sequence[int], permille: int) -> Iterator[tuple[int, Growth]]:
        """Yield the growths that differ by at most `permille` ‰ of `ballots`, summed over the parties.

        With each comes by how many votes it differs. `votes` has the same columns as theirs.
        """
        most = ballots * permille // 1000
        largest = max(range(len(votes)), key=votes.__getitem__)
        low, high = votes[largest] - most, votes[largest] + most
        for key in range(_bucket(max(ballots - most, 1)), _bucket(ballots + most) + 1):
            for growth in self._buckets.get(key, ()):
                if low <= growth.votes[largest] <= high:
                    difference = distance(growth.votes, votes)
                    if difference <= most:
                        yield difference, growth


def _bucket(ballots: int) -> int:
    """Return the bucket of a size: the leading digits, and how many follow. It rises with the size."""
    shift = max(0, ballots.bit_length() - _DIGITS)
    return (shift << (_DIGITS - 1)) + (ballots >> shift)


def _by_size(growth: Growth) -> tuple[int, int, int]:
    return growth.ballots, growth.position, growth.category
