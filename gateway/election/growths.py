"""PURE: growths, and those among many that are nearly equal to another one.

A growth is, for one category of a unit, the figures of a report minus those of the unit's current report, per party;
blank votes count as one more party. Two of them that are nearly equal, party by party, are rarely a coincidence.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from operator import sub
from typing import NamedTuple

GROWTH_MIN = 100
"""Ballots of the smallest growth that is kept: smaller ones are often equal by coincidence."""
COMPARED_MAX = 200
"""Growths that are compared party by party with one."""
SEEN_MAX = 4_000
"""Growths whose size is compared with that of one."""
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
    """Growths by size and by the votes of every second party, so that few have to be compared party by party.

    Which ones are found, and in which order, depends only on those that were added and not removed.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, list[_Entry]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, growth: Growth) -> None:
        """Add a growth of any size above 0. No two have the same ballots, position and category."""
        insort(self._buckets.setdefault(bucket_of(growth.ballots), []), _entry(growth))
        self._count += 1

    def remove(self, growth: Growth) -> None:
        """Remove a growth that was added: this object, not one that is equal. Raises KeyError."""
        key = bucket_of(growth.ballots)
        bucket = self._buckets.get(key, [])
        for place in range(bisect_left(bucket, _entry(growth)[:3]), len(bucket)):
            if bucket[place][3] is growth:
                del bucket[place]
                break
        else:
            raise KeyError(growth)
        if not bucket:
            del self._buckets[key]
        self._count -= 1

    def near(self, ballots: int, votes: Sequence[int], permille: int) -> Iterator[tuple[int, Growth]]:
        """Yield the growths that differ by at most `permille` ‰ of `ballots`, summed over the parties.

        With each comes by how many votes it differs. `votes` has the same columns as theirs. At most COMPARED_MAX
        are compared party by party, and at most SEEN_MAX by size: where so many are alike, they are alike by chance.
        """
        most = ballots * permille // 1000
        half = sum(votes[::2])
        most_votes = max(votes)
        largest = votes.index(most_votes)
        low, high = most_votes - most, most_votes + most
        seen = compared = 0
        for key in range(bucket_of(max(ballots - most, 1)), bucket_of(ballots + most) + 1):
            bucket = self._buckets.get(key)
            if bucket is None:
                continue
            first, end = bisect_left(bucket, (half - most,)), bisect_left(bucket, (half + most + 1,))
            for _, _, _, growth in bucket[first : min(end, first + SEEN_MAX - seen)]:
                if low <= growth.votes[largest] <= high:
                    compared += 1
                    difference = distance(growth.votes, votes)
                    if difference <= most:
                        yield difference, growth
                    if compared == COMPARED_MAX:
                        return
            seen += end - first
            if seen >= SEEN_MAX:
                return


_Entry = tuple[int, int, int, Growth]
"""Votes of every second party, position, category, and the growth."""


def _entry(growth: Growth) -> _Entry:
    return sum(growth.votes[::2]), growth.position, growth.category, growth


def bucket_of(ballots: int) -> int:
    """Return the bucket of a size: the leading digits, and how many follow. It rises with the size."""
    shift = max(0, ballots.bit_length() - _DIGITS)
    return (shift << (_DIGITS - 1)) + (ballots >> shift)
