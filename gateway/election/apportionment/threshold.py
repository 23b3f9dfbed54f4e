"""Thresholds: the share of the votes that a party has to reach, as an exact fraction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

WHOLE = 100_000
"""A threshold is a number of these parts of the votes: thousandths of a percent."""


class Threshold(NamedTuple):
    """A share of the votes for parties, of the whole country or of a district; who has exactly this reaches it."""

    parts: int
    """Of WHOLE, more than 0 and less than WHOLE."""
    of: Literal["country", "district"]

    def reached(self, votes: int, total: int) -> bool:
        """Whether a party reaches the threshold with so many of all votes."""
        return votes * WHOLE >= self.parts * total

    def eligible(self, votes: Sequence[int]) -> list[int]:
        """Return the parties that reach it, in the order of the registry; without votes, there are none."""
        least = self.parts * sum(votes)
        return [party for party, own in enumerate(votes) if own and own * WHOLE >= least]

    def margins(self, votes: Sequence[int]) -> tuple[ThresholdMargin, ...]:
        """Return how far each party between half and twice the threshold is from it."""
        return tuple(self._margins(votes, sum(votes)))

    def spare(self, votes: int, total: int) -> int:
        """Return the most of its own votes that a party that reaches the threshold can lose, all else equal."""
        return min((votes * WHOLE - self.parts * total) // (WHOLE - self.parts), votes - 1)

    def lacks(self, votes: int, total: int) -> int:
        """Return how many more votes of its own a party that does not reach it needs, all else equal."""
        return -((votes * WHOLE - self.parts * total) // (WHOLE - self.parts))

    def _margins(self, votes: Sequence[int], total: int) -> Iterator[ThresholdMargin]:
        limit = self.parts * total
        for party, own in enumerate(votes):
            if own and limit <= 2 * own * WHOLE <= 4 * limit:
                above = own * WHOLE >= limit
                margin = self.spare(own, total) if above else self.lacks(own, total)
                yield ThresholdMargin(party, above, margin)


class ThresholdMargin(NamedTuple):
    """How far a party is from the threshold, by votes of its own that are added or removed, all else equal."""

    party: int
    """Its place in the registry."""
    above: bool
    """Whether it reaches the threshold."""
    votes: int
    """If it does, the most votes that it can lose (`spare`); otherwise the votes that it lacks (`lacks`)."""
