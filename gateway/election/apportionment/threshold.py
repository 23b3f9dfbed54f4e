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

    def _margins(self, votes: Sequence[int], total: int) -> Iterator[ThresholdMargin]:
        limit, rest = self.parts * total, WHOLE - self.parts
        for party, own in enumerate(votes):
            if own and limit <= 2 * own * WHOLE <= 4 * limit:
                more = own * WHOLE - limit
                # Its own votes change the total too; without any, it does not reach the threshold.
                yield ThresholdMargin(
                    party, more >= 0, min(more // rest, own - 1) if more >= 0 else -(more // rest)
                )


class ThresholdMargin(NamedTuple):
    """How far a party is from the threshold, by votes of its own that are added or removed, all else equal."""

    party: int
    """Its place in the registry."""
    above: bool
    """Whether it reaches the threshold."""
    votes: int
    """If it does, the most votes that it can lose (`spare`); otherwise the votes that it lacks (`lacks`)."""
