"""PURE: corrections, of which the largest are kept in the order of size.

A correction is a report after which the ballots or a party's votes of its unit, in some category, are fewer than
before.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from heapq import heappush, heappushpop
from typing import NamedTuple

from gateway.election.explanations import Explanation
from gateway.election.registry import Area

CORRECTIONS_MAX = 5000
"""How many corrections of an election, the largest, are kept in addition to the last one of each area."""


class Correction(NamedTuple):
    """A decrease of the ballots or of a party's votes in one unit."""

    sequence: int
    at: datetime
    """When it was published."""
    unit: str
    reason: str | None
    size: int
    """By how much figures fell: the ballots, or the votes if that is more, each summed over what fell."""
    before: int
    """The unit's ballots before."""
    after: int
    replaced: int
    """Sequence of the report whose figures were replaced."""
    since: datetime
    """When that report was published."""
    was_public: bool
    """Whether the replaced figures were public at some time. They were not if both reports were under embargo."""
    previous: array[int]
    """The unit's figures before."""
    explained: Explanation | None = None
    """What it looks like, as far as the record showed it up to some later moment."""

    @property
    def ballots(self) -> int:
        """The change of the unit's ballots: negative if they decreased, 0 or more if only votes did."""
        return self.after - self.before


class CorrectionLog:
    """The largest corrections of figures that were public.

    Invariant: which ones are kept depends on the record alone, not on how or when it was applied.
    """

    def __init__(self, units: Mapping[str, Area], most: int = CORRECTIONS_MAX) -> None:
        self._units = units
        self._most = most
        self._kept: list[tuple[int, int, Correction]] = []
        """A heap by size, then sequence, of which no two are equal."""
        self._explained: dict[int, Explanation | None] = {}
        """By sequence, what the kept ones look like."""
        self.changed = 0
        """Sequence of the last publication that brought or explained a correction."""
        self._largest: dict[int, list[Correction]] | None = None
        """By index of the area at or above the unit, once needed."""

    def add(self, correction: Correction) -> None:
        """Add a correction; drop the smallest one above the maximum."""
        self.changed = correction.sequence
        if not correction.was_public:
            return
        self._explained[correction.sequence] = correction.explained
        entry = correction.size, correction.sequence, correction._replace(previous=_NO_FIGURES)
        if len(self._kept) < self._most:
            heappush(self._kept, entry)
        else:
            _, dropped, _ = heappushpop(self._kept, entry)
            del self._explained[dropped]
        self._largest = None

    def explain(self, correction: int, explanation: Explanation, sequence: int) -> None:
        """Replace the explanation of a correction by one that became known with a publication."""
        self.changed = sequence
        if correction in self._explained:
            self._explained[correction] = explanation
            self._largest = None

    def largest(self, area: int) -> Sequence[Correction]:
        """Return the corrections at and below an area, the largest first; the newest first of equal ones."""
        if self._largest is None:
            self._largest = {}
            for _, sequence, kept in sorted(self._kept, reverse=True):
                each = kept._replace(explained=self._explained[sequence])
                unit = self._units[each.unit]
                for index in (unit.index, *unit.path):
                    self._largest.setdefault(index, []).append(each)
        return self._largest.get(area, ())


_NO_FIGURES: array[int] = array("q")
"""The log keeps no figures of parties: they would take a hundred times the memory."""
